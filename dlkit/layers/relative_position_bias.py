"""Relative position bias for attention."""

from __future__ import annotations

import math
from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class RelativePositionBias(keras.layers.Layer):
    """Learned attention bias for each distance between query and key, in buckets that widen with the distance.

    Source: Raffel et al., 2020, arXiv:1910.10683, section 2.1, and the buckets of its code. One layer serves all
    blocks.

    Call with the positions `queries`, (queries,) int32, and `keys`, (keys,) int32. Returns (1, heads, queries, keys).

    Args:
        num_heads: number of attention heads.
        bidirectional: whether keys may come after queries.
        num_buckets: number of buckets of distances; half of those of a direction are single distances.
        max_distance: distance from which on all distances share a bucket.

    Examples:
        >>> RelativePositionBias(4, bidirectional=True)(tf.range(3), tf.range(5)).shape
        TensorShape([1, 4, 3, 5])
    """

    def __init__(
        self, num_heads: int, bidirectional: bool, num_buckets: int = 32, max_distance: int = 128, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.bidirectional, self.num_buckets, self.max_distance = (
            num_heads,
            bidirectional,
            num_buckets,
            max_distance,
        )

    def build(self, input_shape: Any = None) -> None:
        self.biases = self.add_weight(shape=(self.num_buckets, self.num_heads), initializer="zeros", name="biases")

    def call(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        distance = queries[:, tf.newaxis] - keys[tf.newaxis, :]
        biases = tf.gather(tf.convert_to_tensor(self.biases), self.bucket(distance))
        return tf.transpose(biases, [2, 0, 1])[tf.newaxis]

    def bucket(self, distance: tf.Tensor) -> tf.Tensor:
        """Return the bucket of each distance, query minus key: int32 to int32 of the same shape."""
        num_buckets, offset = self.num_buckets, 0
        if self.bidirectional:
            num_buckets //= 2
            offset = tf.where(distance < 0, num_buckets, 0)
            distance = tf.abs(distance)
        distance = tf.maximum(distance, 0)
        num_exact = num_buckets // 2
        fraction = tf.math.log(tf.cast(tf.maximum(distance, 1), tf.float32) / num_exact) / math.log(
            self.max_distance / num_exact
        )
        logarithmic = tf.minimum(num_exact + tf.cast(fraction * (num_buckets - num_exact), tf.int32), num_buckets - 1)
        return offset + tf.where(distance < num_exact, distance, logarithmic)

    def compute_output_spec(self, queries: keras.KerasTensor, keys: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((1, self.num_heads, queries.shape[0], keys.shape[0]), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "num_heads": self.num_heads,
            "bidirectional": self.bidirectional,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
        }
        return {**super().get_config(), **own}
