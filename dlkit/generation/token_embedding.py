"""Embeddings of tokens that are also the output layer."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class TokenEmbedding(keras.layers.Layer):
    """Embeds tokens, and computes logits with the same matrix (tied embeddings).

    Source: Press and Wolf, 2017, arXiv:1608.05859; embeddings are scaled by the square root of the width as in Vaswani
    et al., 2017, arXiv:1706.03762, section 3.4, which Keras's `ReversibleEmbedding` does not do.

    Call with ids, (...) int32, to get vectors, (..., width); or with `reverse=True` and vectors, to get logits, (...,
    vocabulary_size) float32.

    Args:
        vocabulary_size: positive integer, number of ids.
        width: positive integer, width of the vectors.

    Examples:
        >>> embedding = TokenEmbedding(300, 16)
        >>> vectors = embedding(tf.constant([[5, 7, 2]]))
        >>> vectors.shape, embedding(vectors, reverse=True).shape
        (TensorShape([1, 3, 16]), TensorShape([1, 3, 300]))
    """

    def __init__(self, vocabulary_size: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.vocabulary_size, self.width = vocabulary_size, width

    def build(self, input_shape: Any = None) -> None:
        initializer = keras.initializers.RandomNormal(stddev=self.width**-0.5)
        self.embeddings = self.add_weight(
            shape=(self.vocabulary_size, self.width), initializer=initializer, name="embeddings", autocast=False
        )

    def call(self, inputs: tf.Tensor, reverse: bool = False) -> tf.Tensor:
        matrix = tf.convert_to_tensor(self.embeddings)
        if not reverse:
            # In float32 up to here: the gradient of a frequent token is a sum of thousands, too many for 16 bits.
            return tf.cast(tf.gather(matrix, inputs), self.compute_dtype) * self.width**0.5
        matrix = tf.cast(matrix, inputs.dtype)
        if len(inputs.shape) == 2:
            return tf.cast(tf.matmul(inputs, matrix, transpose_b=True), tf.float32)
        flat = tf.matmul(tf.reshape(inputs, [-1, self.width]), matrix, transpose_b=True)
        shape = tf.concat([tf.shape(inputs)[:-1], [self.vocabulary_size]], 0)
        logits = tf.reshape(tf.cast(flat, tf.float32), shape)
        return tf.ensure_shape(logits, [*inputs.shape[:-1], self.vocabulary_size])

    def compute_output_spec(self, inputs: keras.KerasTensor, reverse: bool = False) -> keras.KerasTensor:
        if reverse:
            return keras.KerasTensor((*inputs.shape[:-1], self.vocabulary_size), "float32")
        return keras.KerasTensor((*inputs.shape, self.width), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size, "width": self.width}
