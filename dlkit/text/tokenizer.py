"""The base of tokenizers with a vocabulary: their common options and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.text import normalize
from dlkit.text.vocabulary import FIRST_ID, check_tokenizer, token_specs


class Tokenizer(keras.layers.Layer):
    """Base layer from texts, (batch,) string, to a dict of `token_ids`, `padding_mask` and `truncated`.

    Args:
        vocabulary: list of distinct tokens.
        max_tokens: positive integer, maximum sequence length.
        lowercase: whether to lowercase texts first.
        nfc: whether to compose characters first (Unicode's NFC).
    """

    # Arguments in the config besides the vocabulary and `max_tokens`.
    options: ClassVar[tuple[str, ...]] = ("lowercase", "nfc")

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        *,
        lowercase: bool,
        nfc: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_tokenizer(vocabulary, max_tokens)
        self.vocabulary = list(vocabulary)
        self.max_tokens = max_tokens
        self.lowercase = lowercase
        self.nfc = nfc
        self._convert_input_args = False  # Keras has no string tensors
        self._allow_non_tensor_positional_args = True  # a list of str may be given

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, padding and unknown included."""
        return len(self.vocabulary) + FIRST_ID

    @property
    def limits(self) -> dict[str, Limits]:
        """Bounds of its outputs, for requests that bring preprocessed tensors."""
        return {"token_ids": Limits(0, self.vocabulary_size - 1), "padding_mask": Limits(nonzero=True)}

    def packed(self, ids: tf.RaggedTensor, longer: tf.Tensor) -> dict[str, tf.Tensor]:
        """Make the output of `call` from (batch, (tokens)) int32 ids and whether each text is longer, (batch,) bool."""
        made = normalize.pack(ids, self.max_tokens)
        return {**made, "truncated": longer}

    def compute_output_spec(self, text: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        return token_specs(text, self.max_tokens)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("vocabulary", "max_tokens", *self.options)}
        return {**super().get_config(), **own}
