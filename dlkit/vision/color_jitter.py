"""Random changes of the colors and the brightness of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.lazy import tf

if TYPE_CHECKING:
    from dlkit.training.step_seeds import StepSeeds


def color_jitter(images: tf.Tensor, strength: float, draws: StepSeeds) -> tf.Tensor:
    """Change saturation, contrast and brightness by random factors, drawn for each image.

    Args:
        images: (batch, height, width, channels) uint8.
        strength: 0 to 1; at 1, contrast and brightness change by up to 50 %, saturation by up to 75 %.
        draws: returns a seed at each `next()`.
    """
    shape = [3, tf.shape(images)[0], 1, 1, 1]
    factors = 1.0 + 0.5 * strength * tf.random.stateless_uniform(shape, draws.next(), -1.0, 1.0)
    pixels = tf.cast(images, tf.float32)
    gray = tf.reduce_mean(pixels, axis=-1, keepdims=True)
    pixels = gray + (pixels - gray) * (1.0 + 1.5 * (factors[0] - 1.0))  # changes of saturation are the least visible
    middle = tf.reduce_mean(gray, axis=(1, 2), keepdims=True)
    pixels = (middle + (pixels - middle) * factors[1]) * factors[2]
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), images.dtype)
