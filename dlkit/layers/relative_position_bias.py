"""How far apart two tokens are, as attention sees it."""

from __future__ import annotations

import math
from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class RelativePositionBias(keras.layers.Layer):
    """A learned bias of attention for each distance between query and key, in buckets that widen with the distance.

    Source: Raffel et al., 2020, arXiv:1910.10683, section 2.1, and the buckets of its code. One for all blocks.

    Call with `queries`: (queries,) int32 and `keys`: (keys,) int32, positions. Returns (1, heads, queries, keys).

    Args:
        heads: number of attention heads.
        both_ways: whether keys may come after queries.
        buckets: how many distances are told apart; half of them, or of a direction's, exactly.
        farthest: distance from which all are one.
    """

    def __init__(self, heads: int, bidirectional: bool, buckets: int = 32, farthest: int = 128, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.bidirectional, self.buckets, self.farthest = heads, bidirectional, buckets, farthest

    def build(self, input_shape: Any = None) -> None:
        self.biases = self.add_weight(shape=(self.buckets, self.heads), initializer="zeros", name="biases")

    def call(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
        distance = queries[:, tf.newaxis] - keys[tf.newaxis, :]
        biases = tf.gather(tf.convert_to_tensor(self.biases), self.bucket(distance))
        return tf.transpose(biases, [2, 0, 1])[tf.newaxis]

    def bucket(self, distance: tf.Tensor) -> tf.Tensor:
        """The bucket of each distance, query minus key: int32 to int32 of the same shape."""
        buckets, first = self.buckets, 0
        if self.bidirectional:
            buckets //= 2
            first = tf.where(distance < 0, buckets, 0)
            distance = tf.abs(distance)
        distance = tf.maximum(distance, 0)
        exact = buckets // 2
        share = tf.math.log(tf.cast(tf.maximum(distance, 1), tf.float32) / exact) / math.log(self.farthest / exact)
        wide = tf.minimum(exact + tf.cast(share * (buckets - exact), tf.int32), buckets - 1)
        return first + tf.where(distance < exact, distance, wide)

    def compute_output_spec(self, queries: keras.KerasTensor, keys: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((1, self.heads, queries.shape[0], keys.shape[0]), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "heads": self.heads,
            "bidirectional": self.bidirectional,
            "buckets": self.buckets,
            "farthest": self.farthest,
        }
        return {**super().get_config(), **own}
