"""Random changes of an image's colours and light."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.lazy import tf

if TYPE_CHECKING:
    from dlkit.vision.augment_images import StepSeeds


def color_jitter(images: tf.Tensor, strength: float, draws: StepSeeds) -> tf.Tensor:
    """Saturation, contrast and brightness by random factors, each image by its own.

    Args:
        images: (batch, height, width, channels) uint8.
        strength: 0 to 1; at 1 contrast and brightness change by up to a half, saturation by three quarters.
        draws: gives a seed at each `next()`.
    """
    shape = [3, tf.shape(images)[0], 1, 1, 1]
    factors = 1.0 + 0.5 * strength * tf.random.stateless_uniform(shape, draws.next(), -1.0, 1.0)
    pixels = tf.cast(images, tf.float32)
    grey = tf.reduce_mean(pixels, axis=-1, keepdims=True)
    pixels = grey + (pixels - grey) * (1.0 + 1.5 * (factors[0] - 1.0))  # the eye forgives changes of saturation most
    middle = tf.reduce_mean(grey, axis=(1, 2), keepdims=True)
    pixels = (middle + (pixels - middle) * factors[1]) * factors[2]
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0.0, 255.0), images.dtype)
