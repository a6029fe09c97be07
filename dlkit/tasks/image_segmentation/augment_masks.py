"""Random augmentation of images with masks, a pure function of the batch, the seed and the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from dlkit.lazy import tf
from dlkit.tasks.image_segmentation.mask_png import IGNORE_CLASS
from dlkit.training.step_seeds import StepSeeds
from dlkit.vision.color_jitter import color_jitter as jitter_colors
from dlkit.vision.sample_windows import flip_signs, sample_windows, window_sides


@tf.autograph.experimental.do_not_convert  # nothing to convert, and the conversion takes seconds
def augment_masks(
    images: tf.Tensor,
    masks: tf.Tensor,
    *,
    seed: int,
    step: tf.Tensor,
    flip: Literal["none", "horizontal", "vertical", "both"] = "none",
    rotate_90: bool = False,
    rotate: float = 0.0,
    scale: float = 0.0,
    crop: float = 1.0,
    color_jitter: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augment a training batch inside the `map` of `tf.data`; masks are transformed with their images.

    Each image has its own random parameters. All geometric transformations are one resampling, bilinear for images
    and nearest for masks. Pixels from outside of the image are black, and belong to the ignored class (255).

    Args:
        images: (batch, height, width, channels) uint8; height, width and channels are static.
        masks: (batch, height, width) uint8, class ids.
        seed: seed of the run.
        step: () int64, number of the batch since the start of training.
        flip: "none", "horizontal", "vertical" or "both"; each flip is applied to half of the images.
        rotate_90: rotate half of the images by 90 degrees; with both flips, all multiples of 90 degrees occur. For
            square images, such as aerial images.
        rotate: maximum angle of a random rotation in either direction, in degrees.
        scale: maximum downscaling: the sampled window is up to 1 + `scale` times as wide as the image.
        crop: minimum fraction of the image area in the sampled window, above 0 and at most 1.
        color_jitter: strength of random changes of brightness, contrast and saturation, between 0 and 1.

    Returns:
        (images, masks) with the shapes and dtypes of the arguments.
    """
    draws = StepSeeds(seed, step)
    if flip != "none" or rotate_90 or rotate or scale or crop < 1:
        size = list(images.shape[1:3])
        matrices, centers = _windows(tf.shape(images)[0], size, flip, rotate_90, rotate, scale, crop, draws)
        images = sample_windows(images, matrices, centers, size)
        masks = sample_windows(masks[..., tf.newaxis], matrices, centers, size, "NEAREST", IGNORE_CLASS)[..., 0]
    if color_jitter:
        images = jitter_colors(images, color_jitter, draws)
    return images, masks


def _windows(
    batch: tf.Tensor,
    size: Sequence[int],
    flip: Literal["none", "horizontal", "vertical", "both"],
    rotate_90: bool,
    rotate: float,
    scale: float,
    crop: float,
    draws: StepSeeds,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw random windows: their matrices, (batch, 2, 2), and centers, (batch, 2) in pixels."""
    size = tf.constant(size, tf.float32)
    sides = window_sides(batch, scale, math.sqrt(crop), draws)
    centers = size * (0.5 + (1.0 - sides) * draws.uniform([batch, 2], -0.5, 0.5))
    quarter_turns = tf.round(draws.uniform([batch], 0.0, 1.0)) if rotate_90 else 0.0
    angle = quarter_turns * (math.pi / 2) + draws.uniform([batch], -1.0, 1.0) * math.radians(rotate)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    rotation = tf.stack([tf.stack([cosine, sine], 1), tf.stack([-sine, cosine], 1)], 1)
    scales = sides * flip_signs(batch, flip, draws)
    return scales[:, :, tf.newaxis] * rotation, centers
