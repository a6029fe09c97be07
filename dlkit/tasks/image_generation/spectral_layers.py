"""Layers of a critic: their kernels have the spectral norm 1, and the gradient can be kept away from them."""

from __future__ import annotations

import math
from typing import Any

from dlkit.lazy import keras, tf

SQUARINGS = 6  # 64 steps of the power iteration
LEAST_NORM = 1e-12


def spectral_norm(matrix: tf.Tensor) -> tf.Tensor:
    """Compute the largest singular value of a matrix, (rows, columns) float32, as a scalar.

    The power iteration begins anew each time, and squares the matrix W^T W instead of keeping a vector between calls:
    so the value depends on the matrix alone. It is never too high, and too low by about a percent at most. The
    direction counts as a constant in the gradient, as in Miyato et al., 2018, arXiv:1802.05957.

    Examples:
        >>> float(spectral_norm(tf.constant([[3.0, 0.0], [0.0, -4.0]])))
        4.0
    """
    constant = tf.stop_gradient(matrix)
    wide = matrix.shape[0] < matrix.shape[1]
    power = tf.matmul(constant, constant, transpose_a=not wide, transpose_b=wide)
    for _ in range(SQUARINGS):
        power /= tf.maximum(tf.linalg.trace(power), LEAST_NORM)
        power = power @ power
    # The columns are multiples of the same vector, of which the longest is the most exact.
    direction = tf.gather(power, tf.argmax(tf.linalg.diag_part(power)))[:, tf.newaxis]
    direction /= tf.maximum(tf.norm(direction), LEAST_NORM)
    return tf.norm(tf.matmul(matrix, tf.stop_gradient(direction), transpose_a=wide))


@keras.saving.register_keras_serializable("dlkit")
class SpectralDense(keras.layers.Layer):
    """A dense layer whose kernel is divided by its spectral norm.

    Call with (batch, inputs), and with `frozen=True` for weights that count as constants in the gradient.

    Args:
        units: number of outputs.
        bias: whether to add a bias.
        pace: how much faster than others its weights learn; see `scaled_weights`.
    """

    def __init__(self, units: int, bias: bool = True, pace: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.bias, self.pace = units, bias, pace

    def build(self, input_shape: Any) -> None:
        scaled_weights(self, (input_shape[-1], self.units), self.pace, bias=self.bias)

    def call(self, x: tf.Tensor, frozen: bool = False) -> tf.Tensor:
        kernel, offset = _normalized(self, frozen)
        return x @ kernel + offset

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "bias": self.bias, "pace": self.pace}


@keras.saving.register_keras_serializable("dlkit")
class SpectralConv2D(keras.layers.Layer):
    """A convolution whose kernel, as a matrix with a column for each filter, is divided by its spectral norm.

    Call with (batch, height, width, channels), and with `frozen=True` for weights that count as constants in the
    gradient. Padding is "same".

    Args:
        filters: number of filters.
        kernel_size: side of the kernel.
        strides: strides in both directions.
        pace: how much faster than others its weights learn; see `scaled_weights`.
    """

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, pace: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides, self.pace = filters, kernel_size, strides, pace

    def build(self, input_shape: Any) -> None:
        scaled_weights(self, (self.kernel_size, self.kernel_size, input_shape[-1], self.filters), self.pace)

    def call(self, x: tf.Tensor, frozen: bool = False) -> tf.Tensor:
        kernel, offset = _normalized(self, frozen)
        return tf.nn.conv2d(x, kernel, self.strides, "SAME") + offset

    def compute_output_spec(self, x: keras.KerasTensor, frozen: bool = False) -> keras.KerasTensor:
        sides = (-(-side // self.strides) for side in x.shape[1:3])
        return keras.KerasTensor((x.shape[0], *sides, self.filters), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "kernel_size": self.kernel_size, "strides": self.strides, "pace": self.pace}
        return {**super().get_config(), **own}


def scaled_weights(layer: keras.layers.Layer, shape: tuple[int, ...], pace: float, bias: bool = True) -> None:
    """Add a kernel and a bias, float32 in every precision, to a layer; a step of an optimizer moves them `pace` times
    as far as other weights.

    Adam and its relatives take steps of the same length whatever the scale of the gradient, so that a factor on the
    gradient would change nothing; here the weights that the layer uses are `pace` times its variables (Karras et al.,
    2018, arXiv:1710.10196, section 4.1). Of the kernel, whose scale the spectral norm takes away, only the initial
    values show it.
    """
    scale = keras.initializers.VarianceScaling(1.0 / pace**2, "fan_avg", "uniform")
    layer.kernel = layer.add_weight(shape, scale, name="kernel", autocast=False)
    layer.offset = layer.add_weight((shape[-1],), "zeros", name="bias", autocast=False) if bias else None


def _normalized(layer: Any, frozen: bool) -> tuple[tf.Tensor, tf.Tensor | float]:
    kernel = tf.convert_to_tensor(layer.kernel)
    offset = 0.0 if layer.offset is None else tf.cast(layer.pace * layer.offset, layer.compute_dtype)
    inputs = math.prod(kernel.shape[:-1])
    norm = spectral_norm(tf.reshape(kernel, (inputs, kernel.shape[-1])))
    kernel = tf.cast(kernel / tf.maximum(norm, LEAST_NORM), layer.compute_dtype)
    return (tf.stop_gradient(kernel), tf.stop_gradient(offset)) if frozen else (kernel, offset)
