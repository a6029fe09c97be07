"""Windows of images, shifted, mirrored, rotated and scaled in one resampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from dlkit.lazy import tf

if TYPE_CHECKING:
    from dlkit.training.step_seeds import StepSeeds


def sample_windows(
    images: tf.Tensor,
    matrices: tf.Tensor,
    centers: tf.Tensor,
    size: Sequence[int],
    interpolation: Literal["BILINEAR", "NEAREST"] = "BILINEAR",
    fill: float = 0.0,
) -> tf.Tensor:
    """Sample windows of images: the output's pixel at (y, x) is the input's at matrix · ((y, x) - middle of the output)
    + center.

    Positions are measured from the upper left corner of the image; the center of a pixel is half a pixel from its
    corner.

    Args:
        images: (batch, height, width, channels) uint8 or float32.
        matrices: (batch, 2, 2) float32, of y and x.
        centers: (batch, 2) float32, y and x in pixels of the input.
        size: height and width of the output in pixels.
        interpolation: "BILINEAR" or "NEAREST".
        fill: value of pixels outside of an image.

    Returns:
        (batch, *size, channels), of the images' dtype.
    """
    height, width = size
    middle = tf.constant(
        [(height - 1) / 2, (width - 1) / 2], tf.float32
    )  # of indices, which count from pixels' middles
    starts = centers - 0.5 - tf.linalg.matvec(matrices, middle)
    zero = tf.zeros_like(starts[:, 0])
    (yy, yx), (xy, xx) = (tf.unstack(tf.transpose(matrices, [1, 2, 0])[axis]) for axis in (0, 1))
    transforms = tf.stack([xx, xy, starts[:, 1], yx, yy, starts[:, 0], zero, zero], axis=1)
    exact = interpolation == "NEAREST" or images.dtype == tf.float32  # the operation itself would cut fractions off
    sampled = tf.raw_ops.ImageProjectiveTransformV3(
        images=images if exact else tf.cast(images, tf.float32),
        transforms=transforms,
        output_shape=tf.constant([height, width]),
        fill_value=fill,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )
    if not exact:
        sampled = tf.cast(tf.round(sampled), images.dtype)
    return tf.ensure_shape(sampled, [None, height, width, images.shape[-1]])


def flip_signs(
    batch: tf.Tensor, flip: Literal["none", "horizontal", "vertical", "both"], draws: StepSeeds
) -> tf.Tensor:
    """Draw random flips: (batch, 2) float32, -1 where y or x is mirrored, each with probability 0.5.

    Args:
        batch: () int32.
        flip: "none", "horizontal", "vertical" or "both".
        draws: returns a seed at each `next()`.
    """
    mirrored = tf.where(draws.uniform([batch, 2]) < 0.5, -1.0, 1.0)
    axes = {"none": [0.0, 0.0], "vertical": [1.0, 0.0], "horizontal": [0.0, 1.0], "both": [1.0, 1.0]}[flip]
    return tf.where(tf.constant(axes) > 0, mirrored, 1.0)


def window_sides(batch: tf.Tensor, scale: float, min_side: float, draws: StepSeeds) -> tf.Tensor:
    """Draw the sides of random windows, log-uniformly.

    Args:
        batch: () int32, how many to draw.
        scale: windows are up to 1 + `scale` times as large as the image.
        min_side: the smallest side, as a fraction of the image's; the square root of a fraction of the area.
        draws: returns a seed at each `next()`.

    Returns:
        (batch, 1) float32, sides as fractions of the image's.
    """
    return tf.exp(draws.uniform([batch], math.log(min_side), math.log(1 + scale) + 1e-6))[:, tf.newaxis]
