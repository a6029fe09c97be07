"""Ids of the words of free texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.text.words import Words


@keras.saving.register_keras_serializable("dlkit")
class WordIds(keras.layers.Layer):
    """Gives the ids of the words of several columns of texts.

    Call with a list of (batch,) string tensors, one for each column. Returns (batch, columns, max_tokens) int32: 0
    padding, 1 unknown; see `dlkit.text.words.Words`.

    Args:
        vocabulary: words.
        max_tokens: number of words that are read of a text.

    Examples:
        >>> import tensorflow as tf
        >>> WordIds.learn(["a good film"], 10, 3)([tf.constant(["good film"])]).numpy().tolist()
        [[[4, 3, 0]]]
    """

    def __init__(self, vocabulary: Sequence[str], max_tokens: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.words = Words(vocabulary, max_tokens)
        self._convert_input_args = False  # Keras has no string tensors

    @classmethod
    def learn(cls, texts: Iterable[str], size: int, max_tokens: int, **kwargs: Any) -> Self:
        """Make a layer from the most frequent words of texts; `size` is the maximum number of ids."""
        return cls(Words.learn(texts, size, max_tokens).vocabulary, max_tokens, **kwargs)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, padding and unknown included."""
        return self.words.vocabulary_size

    @property
    def limits(self) -> dict[str, Limits]:
        """Bounds of its output, for requests that bring preprocessed tensors."""
        return {"token_ids": Limits(0, self.vocabulary_size - 1)}

    def call(self, columns: list[tf.Tensor]) -> tf.Tensor:
        return tf.stack([self.words(column)["token_ids"] for column in columns], axis=1)

    def compute_output_spec(self, columns: list[keras.KerasTensor]) -> keras.KerasTensor:
        return keras.KerasTensor((columns[0].shape[0], len(columns), self.words.max_tokens), "int32")

    def get_config(self) -> dict[str, Any]:
        own = {"vocabulary": self.words.vocabulary, "max_tokens": self.words.max_tokens}
        return {**super().get_config(), **own}
