"""Embeddings that know features of what they embed."""

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("dlkit")
class FeaturedEmbedding(keras.layers.Layer):
    """An embedding for each number, and, where there are features, a linear map of them added to it.

    Number 0 is nothing and has zeros. The features are not trained; assign them after building: (rows, features).

    Call with int of any shape, or with nothing for all rows, (rows, width).

    Args:
        rows: positive integer, how many numbers there are, 0 included.
        width: positive integer.
        features: integer, how many features each row has.
        stddev: positive float, of the initial embeddings.
    """

    def __init__(self, rows, width, features=0, stddev=0.05, **kwargs):
        super().__init__(**kwargs)
        self.rows, self.width, self.feature_count, self.stddev = rows, width, features, stddev
        self.build()

    def build(self, *_):
        if self.built:
            return
        normal = keras.initializers.RandomNormal(stddev=self.stddev)
        self.embeddings = self.add_weight(shape=(self.rows, self.width), initializer=normal, name="embeddings")
        if self.feature_count:
            shape = (self.rows, self.feature_count)
            self.features = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="features")
            shape = (self.feature_count, self.width)
            self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        self.built = True

    def call(self, numbers=None):
        embeddings = ops.convert_to_tensor(self.embeddings)
        if numbers is None:
            if self.feature_count:
                embeddings += ops.matmul(self.features, self.kernel)
            return embeddings * ops.cast(ops.arange(self.rows) > 0, embeddings.dtype)[:, None]
        found = ops.take(embeddings, numbers, axis=0)
        if self.feature_count:
            found += ops.matmul(ops.take(self.features, numbers, axis=0), self.kernel)
        return found * ops.cast(numbers > 0, found.dtype)[..., None]

    def bag(self, numbers):
        """The sum of the rows of (batch, any) numbers over the root of their count: (batch, width)."""
        count = ops.sum(ops.cast(numbers > 0, self.compute_dtype), axis=1, keepdims=True)
        return ops.sum(self(numbers), axis=1) / ops.sqrt(ops.maximum(count, 1))

    def bags(self, numbers):
        """What `bag` gives, of very many rows at a time: no vector is held twice."""
        cells = tf.where(numbers > 0)
        sums = tf.sparse.segment_sqrt_n(
            self(), tf.cast(tf.gather_nd(numbers, cells), tf.int32), cells[:, 0], num_segments=tf.shape(numbers)[0]
        )
        return tf.ensure_shape(sums, [numbers.shape[0], self.width])

    def get_config(self):
        own = {"rows": self.rows, "width": self.width, "features": self.feature_count, "stddev": self.stddev}
        return {**super().get_config(), **own}
