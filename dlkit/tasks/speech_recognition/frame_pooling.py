"""What is left of the frames of a clip, without its padding."""

from __future__ import annotations

from dlkit.lazy import keras, layers, tf


@keras.saving.register_keras_serializable("dlkit")
class MaskFrames(layers.Layer):
    """Sets padding to zero.

    Call with `x`: (batch, frames, ...) and `mask`: (batch, frames) bool, true at the frames of a clip. Returns the
    shape of x.

    Examples:
        >>> MaskFrames()(tf.ones([1, 2, 1]), tf.constant([[True, False]])).numpy().tolist()
        [[[1.0], [0.0]]]
    """

    def call(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        mask = tf.reshape(mask, tf.concat([tf.shape(mask), [1] * (len(x.shape) - 2)], 0))
        return tf.where(mask, x, tf.zeros([], x.dtype))

    def compute_output_spec(self, x: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)


@keras.saving.register_keras_serializable("dlkit")
class FramePooling(layers.Layer):
    """Mean and maximum over the frames of a clip.

    Call with `x`: (batch, frames, channels) and `mask`: (batch, frames) bool. Returns (batch, 2 * channels): means,
    then maxima; zeros for a clip without frames.

    Examples:
        >>> mask = tf.constant([[True, True, False]])
        >>> FramePooling()(tf.constant([[[1.0], [3.0], [9.0]]]), mask).numpy().tolist()
        [[2.0, 3.0]]
    """

    def call(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        mask = mask[:, :, tf.newaxis]
        count = tf.maximum(tf.reduce_sum(tf.cast(mask, x.dtype), 1), 1)
        mean = tf.reduce_sum(tf.where(mask, x, tf.zeros([], x.dtype)), 1) / count
        maximum = tf.reduce_max(tf.where(mask, x, x.dtype.min), 1)
        maximum = tf.where(tf.reduce_any(mask, 1), maximum, tf.zeros([], x.dtype))
        return tf.concat([mean, maximum], -1)

    def compute_output_spec(self, x: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((x.shape[0], 2 * x.shape[2]), self.compute_dtype)
