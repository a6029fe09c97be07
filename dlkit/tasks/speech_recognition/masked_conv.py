"""Convolution over the frames of clips of different lengths, whole or in chunks."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, layers, tf


@keras.saving.register_keras_serializable("dlkit")
class MaskedConv1D(layers.Layer):
    """Convolves over frames, so that a clip's outputs do not depend on the padding after it.

    Keras's padding "same" with a stride depends on the length that a batch is padded to. Here output `t` lies at frame
    `t * strides` for every length, and frames of padding count as zero.

    Call with `x`: (batch, frames, channels) and `mask`: (batch, frames) bool, true at frames that are no padding.
    Returns (batch, ceil(frames / strides), filters), whose mask is `mask[:, ::strides]`.

    Args:
        filters: positive integer, number of output channels; with `depthwise`, that of the input.
        kernel_size: positive integer, in frames.
        strides: positive integer, at most `kernel_size`.
        causal: whether output `t` sees no frame after the last of its stride, `(t + 1) * strides - 1`.
        depthwise: whether each channel has a filter of its own.

    Raises:
        ValueError: the stride is longer than the kernel, so that frames would be skipped.

    Examples:
        >>> conv = MaskedConv1D(4, kernel_size=3, strides=2)
        >>> conv(tf.ones([1, 5, 8]), tf.ones([1, 5], tf.bool)).shape
        TensorShape([1, 3, 4])
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        causal: bool = False,
        depthwise: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 1 <= strides <= kernel_size:
            raise ValueError(f"`strides` must be from 1 to `kernel_size`. Received: {strides=}, {kernel_size=}.")
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.causal, self.depthwise = causal, depthwise
        self.frames_before = kernel_size - strides if causal else (kernel_size - 1) // 2  # of an output's first frame

    def build(self, shape: Any, *_: Any) -> None:
        if self.depthwise and shape[-1] != self.filters:
            raise ValueError(f"a depthwise convolution keeps the channels: {shape[-1]}. Received: {self.filters=}.")
        kernel_shape = (self.kernel_size, 1 if self.depthwise else shape[-1], self.filters)
        self.kernel = self.add_weight(shape=kernel_shape, initializer="he_uniform", name="kernel")
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        before, after = self.frames_before, self.kernel_size - 1 - self.frames_before
        return self._convolve(tf.pad(mask_frames(x, mask), [[0, 0], [before, after], [0, 0]]))

    def step(self, x: tf.Tensor, mask: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Convolve the next chunk of clips by a causal convolution.

        Args:
            x: (rows, frames, channels), as many frames as a multiple of the stride.
            mask: (rows, frames) bool, true at the frames of each chunk, which are the first ones; their number is a
                multiple of the stride, but for the last chunk of a clip.
            state: (rows, kernel_size - strides, channels), the last frames before, as the last call gives them; zeros
                before the first.

        Returns:
            Tuple of the outputs of these frames, as `call` gives them for the whole clip, and the next state.
        """
        x = tf.concat([state, mask_frames(x, mask)], 1)
        frames = tf.reduce_sum(tf.cast(mask, tf.int32), 1, keepdims=True) + tf.range(tf.shape(state)[1])
        return self._convolve(x), tf.gather(x, frames, batch_dims=1)

    def _convolve(self, x: tf.Tensor) -> tf.Tensor:
        if not self.depthwise:
            return tf.nn.conv1d(x, self.kernel, self.strides, "VALID") + self.bias
        kernel = tf.transpose(tf.convert_to_tensor(self.kernel), [0, 2, 1])[tf.newaxis]
        strides = [1, self.strides, self.strides, 1]
        outputs = tf.nn.depthwise_conv2d(x[:, tf.newaxis], kernel, strides, "VALID")
        return outputs[:, 0] + self.bias

    def compute_output_spec(self, x: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        frames = x.shape[1] if x.shape[1] is None else -(-x.shape[1] // self.strides)
        return keras.KerasTensor((x.shape[0], frames, self.filters), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "causal": self.causal,
            "depthwise": self.depthwise,
        }
        return {**super().get_config(), **own}


def mask_frames(x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Set padding to zero: (batch, frames, channels) by a mask of (batch, frames) bool, true at frames of the clip."""
    return tf.where(mask[:, :, tf.newaxis], x, tf.zeros([], x.dtype))
