"""Random changes to images with masks, a pure function of the batch, the seed and the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from dlkit.lazy import tf
from dlkit.tasks.image_segmentation.mask_png import NO_CLASS
from dlkit.vision.augment_images import StepSeeds
from dlkit.vision.color_jitter import color_jitter
from dlkit.vision.sample_windows import flip_signs, sample_windows, window_sides


@tf.autograph.experimental.do_not_convert  # there is nothing to convert, and it takes seconds
def augment_masks(
    images: tf.Tensor,
    masks: tf.Tensor,
    *,
    seed: int,
    step: tf.Tensor,
    flip: Literal["none", "horizontal", "vertical", "both"] = "none",
    turn: bool = False,
    rotate: float = 0.0,
    scale: float = 0.0,
    crop: float = 1.0,
    colour: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augments a batch inside `tf.data`'s `map`; training only. Masks move along, each image has draws of its own.

    All that moves pixels is one sampling: bilinear of the image, nearest of the mask. What comes in from beyond the
    image is black, and no class (255).

    Args:
        images: (batch, height, width, channels) uint8; height, width and channels are static.
        masks: (batch, height, width) uint8, class ids.
        seed: Python integer, the seed of the run.
        step: () int64, the number of the batch since the start of training.
        flip: "none", "horizontal", "vertical" or "both": mirror half of the images.
        turn: turn images by 0 or 90 degrees; with both flips, by any quarter. For square images seen from above.
        rotate: largest angle of a random rotation, in degrees, either way.
        scale: the window's side is at most 1 + scale times the image's: things shrink, and move.
        crop: and at least so large a share of it: things grow, and some leave.
        colour: strength, 0 to 1, of changes of brightness, contrast and saturation.

    Returns:
        (images, masks): as given.
    """
    draws = StepSeeds(seed, step)
    if flip != "none" or turn or rotate or scale or crop < 1:
        size = list(images.shape[1:3])
        matrices, centres = _windows(tf.shape(images)[0], size, flip, turn, rotate, scale, crop, draws)
        images = sample_windows(images, matrices, centres, size)
        masks = sample_windows(masks[..., tf.newaxis], matrices, centres, size, "NEAREST", NO_CLASS)[..., 0]
    if colour:
        images = color_jitter(images, colour, draws)
    return images, masks


def _windows(
    batch: tf.Tensor,
    size: Sequence[int],
    flip: Literal["none", "horizontal", "vertical", "both"],
    turn: bool,
    rotate: float,
    scale: float,
    crop: float,
    draws: StepSeeds,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Matrices (batch, 2, 2) and centres (batch, 2) of the windows."""
    size = tf.constant(size, tf.float32)
    side = window_sides(batch, scale, crop, draws)
    centres = size * (0.5 + (1.0 - side) * draws.uniform([batch, 2], -0.5, 0.5))
    quarters = tf.round(draws.uniform([batch], 0.0, 1.0)) if turn else 0.0
    angle = quarters * (math.pi / 2) + draws.uniform([batch], -1.0, 1.0) * math.radians(rotate)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    rotation = tf.stack([tf.stack([cosine, sine], 1), tf.stack([-sine, cosine], 1)], 1)
    moves = side * flip_signs(batch, flip, draws)
    return moves[:, :, tf.newaxis] * rotation, centres
