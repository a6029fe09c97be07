"""What the tokenizers share that have a vocabulary of tokens: their options, and the form of what they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.text import normalize
from dlkit.text.vocabulary import FIRST_ID, check_tokenizer, token_specs


class Tokenizer(keras.layers.Layer):
    """A layer from texts, (batch,) string, to `token_ids` and `padding_mask`, and to `truncated` where that is told.

    Args:
        vocabulary: list of distinct tokens.
        max_tokens: positive integer, the width of the answer.
        lowercase: whether to lower the case first.
        nfc: whether to compose characters first (Unicode's NFC).
        tell_truncated: whether to give `truncated`, (batch,) bool, too: which texts are longer.
    """

    # What the config holds beside the vocabulary and `max_tokens`.
    options: ClassVar[tuple[str, ...]] = ("lowercase", "nfc", "tell_truncated")

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        *,
        lowercase: bool,
        nfc: bool,
        tell_truncated: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_tokenizer(vocabulary, max_tokens)
        self.vocabulary = list(vocabulary)
        self.max_tokens = max_tokens
        self.lowercase = lowercase
        self.nfc, self.tell_truncated = nfc, tell_truncated
        self._convert_input_args = False  # Keras knows no string tensors
        self._allow_non_tensor_positional_args = True  # a list of str may be given

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, padding and unknown included."""
        return len(self.vocabulary) + FIRST_ID

    @property
    def limits(self) -> dict[str, Limits]:
        """What its tensors can be, where a request brings them."""
        return {"token_ids": Limits(0, self.vocabulary_size - 1), "padding_mask": Limits(nonzero=True)}

    def packed(self, ids: tf.RaggedTensor, longer: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `call` returns, of (batch, (tokens)) int32 ids and of which texts are longer, (batch,) bool."""
        made = normalize.pack(ids, self.max_tokens)
        return {**made, "truncated": longer} if self.tell_truncated else made

    def compute_output_spec(self, text: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        return token_specs(text, self.max_tokens, self.tell_truncated)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("vocabulary", "max_tokens", *self.options)}
        return {**super().get_config(), **own}
