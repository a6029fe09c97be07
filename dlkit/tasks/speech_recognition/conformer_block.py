"""The block of a Conformer: attention to all frames of a clip, and convolution of those close by."""

from __future__ import annotations

from typing import Any

from dlkit.layers.transformer_blocks import CachedMultiHeadAttention, Rotation, rotary_positions
from dlkit.layers.transformer_stacks import mask_padding
from dlkit.lazy import keras, layers, tf
from dlkit.tasks.speech_recognition.masked_conv import MaskedConv1D


@keras.saving.register_keras_serializable("dlkit")
class ConformerBlock(layers.Layer):
    """Half a feed-forward network, attention, convolution, and the other half, each added to its input.

    Source: Gulati et al., 2020, arXiv:2005.08100, section 2.4, with rotary instead of sinusoidal relative positions,
    and layer normalization in the convolution instead of batch normalization, whose statistics would mix clips.

    Call with `x`: (batch, frames, width) and `mask`: (batch, frames) bool, true at the frames of the clip. Returns the
    shape of x.

    Args:
        heads: positive integer, number of attention heads; the width is an even multiple of it.
        feedforward_width: positive integer, hidden width of the feed-forward networks.
        kernel_size: positive integer, of the convolution, in frames.
        dropout: float in [0, 1), dropout rate of the output of each part.

    Raises:
        ValueError: `heads` does not divide the width into even parts.

    Examples:
        >>> block = ConformerBlock(heads=2, feedforward_width=16, kernel_size=3)
        >>> block(tf.ones([1, 5, 8]), tf.ones([1, 5], tf.bool)).shape
        TensorShape([1, 5, 8])
    """

    def __init__(self, heads: int, feedforward_width: int, kernel_size: int = 15, dropout: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads, self.feedforward_width, self.kernel_size = heads, feedforward_width, kernel_size
        self.dropout = dropout

    def build(self, shape: Any, *_: Any) -> None:
        width, policy = shape[-1], self.dtype_policy
        if width % (2 * self.heads):
            raise ValueError(f"the width must be a multiple of 2 * `heads`. Received: {width}, heads={self.heads}.")
        self.depth = width // self.heads
        self.drop = layers.Dropout(self.dropout, dtype=policy)
        self.attention = CachedMultiHeadAttention(self.heads, dtype=policy, name="attention")
        self.convolution = MaskedConv1D(width, self.kernel_size, depthwise=True, dtype=policy, name="convolution")
        for name in ("first_norm", "attention_norm", "conv_norm", "depthwise_norm", "second_norm", "last_norm"):
            setattr(self, name, layers.LayerNormalization(epsilon=1e-6, dtype=policy, name=name))
            getattr(self, name).build(shape)
        hidden = self.feedforward_width
        for name, before, after in (
            ("first_in", width, hidden),
            ("first_out", hidden, width),
            ("conv_in", width, 2 * width),
            ("conv_out", width, width),
            ("second_in", width, hidden),
            ("second_out", hidden, width),
        ):
            setattr(self, name, layers.Dense(after, dtype=policy, name=name))
            getattr(self, name).build((None, None, before))
        self.attention.build(shape)
        self.convolution.build(shape)

    def call(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        x += 0.5 * self.drop(self.first_out(tf.nn.silu(self.first_in(self.first_norm(x)))))
        x += self.drop(self._attend(self.attention_norm(x), mask))
        x += self.drop(self._convolve(self.conv_norm(x), mask))
        x += 0.5 * self.drop(self.second_out(tf.nn.silu(self.second_in(self.second_norm(x)))))
        return self.last_norm(x)

    def _attend(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        positions = tf.range(tf.shape(x)[1])[tf.newaxis]
        rotation: Rotation = rotary_positions(positions, self.depth, self.compute_dtype)
        keys, values = self.attention.project_keys_values(x, rotation)
        return self.attention(x, keys, values, mask_padding(mask), rotation)

    def _convolve(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        values, gates = tf.split(self.conv_in(x), 2, -1)
        x = self.depthwise_norm(self.convolution(values * tf.sigmoid(gates), mask))
        return self.conv_out(tf.nn.silu(x))

    def compute_output_spec(self, x: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "heads": self.heads,
            "feedforward_width": self.feedforward_width,
            "kernel_size": self.kernel_size,
            "dropout": self.dropout,
        }
        return {**super().get_config(), **own}
