"""Random augmentation of images with boxes, a pure function of the batch, the seed and the step."""

from __future__ import annotations

import math
from typing import Literal

from dlkit.lazy import tf
from dlkit.tasks.object_detection.objects import CROWD
from dlkit.training.step_seeds import StepSeeds
from dlkit.vision.color_jitter import color_jitter as jitter_colors
from dlkit.vision.sample_windows import flip_signs, sample_windows, window_sides

MIN_VISIBLE_FRACTION = 0.35  # an object with a smaller visible fraction is ignored
MAX_OBJECTS = 128  # maximum number of objects per training image


@tf.autograph.experimental.do_not_convert  # nothing to convert, and the conversion takes seconds
def augment_objects(
    images: tf.Tensor,
    objects: tf.Tensor,
    *,
    seed: int,
    step: tf.Tensor,
    flip: Literal["none", "horizontal", "vertical", "both"] = "none",
    rotate_90: bool = False,
    scale: float = 0.0,
    crop: float = 1.0,
    color_jitter: float = 0.0,
    mosaic: float = 0.0,
    mixup: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augment a training batch inside the `map` of `tf.data`; boxes are transformed with their images.

    Each image has its own random parameters. All geometric transformations are one bilinear resampling: of a window of
    the image, or of a mosaic of four, flipped and rotated. Objects of which less than 35 % remain visible are marked as
    crowds, which losses ignore.

    Args:
        images: (batch, height, width, channels) uint8; height, width and channels are static.
        objects: (batch, objects, 6) float32, as described in `dlkit.tasks.object_detection.objects`.
        seed: seed of the run.
        step: () int64, number of the batch since the start of training.
        flip: "none", "horizontal", "vertical" or "both"; each flip is applied to half of the images.
        rotate_90: rotate half of the images by 90 degrees; with both flips, all multiples of 90 degrees occur. For
            square images, such as aerial images.
        scale: maximum downscaling: the sampled window is up to 1 + `scale` times as wide as the image.
        crop: minimum fraction of the image area in the sampled window, above 0 and at most 1.
        color_jitter: strength of random changes of brightness, contrast and saturation, between 0 and 1.
        mosaic: fraction of the images that are a window of a mosaic of four (Bochkovskiy et al., 2020,
            arXiv:2004.10934), between 0 and 1.
        mixup: fraction of the images that are blended with another one at equal weights, with the objects of both
            (Zhang et al., 2017, arXiv:1710.09412; Ge et al., 2021, arXiv:2107.08430), between 0 and 1.

    Returns:
        images: shape and dtype of the argument. objects: (batch, more objects, 6), at most 128 per image.
    """
    draws = StepSeeds(seed, step)
    needs_resampling = flip != "none" or rotate_90 or scale or crop < 1 or mosaic
    size = tuple(images.shape[1:3])
    if mosaic:
        images, objects, is_mosaic = _mosaic(images, objects, mosaic, draws)
    else:
        is_mosaic = tf.zeros([tf.shape(images)[0]], tf.bool)
    if needs_resampling:
        images, objects = _random_window(images, objects, size, is_mosaic, flip, rotate_90, scale, crop, draws)
    if mixup:
        images, objects = _mixup(images, objects, mixup, draws)
    if color_jitter:
        images = jitter_colors(images, color_jitter, draws)
    return images, _pack_objects(objects)


def _mosaic(
    images: tf.Tensor, objects: tf.Tensor, fraction: float, draws: StepSeeds
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Place each image next to the next three of its batch, or next to black: (batch, 2 height, 2 width, channels)."""
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    is_mosaic = draws.uniform([batch]) < fraction
    tiles, all_objects = [images], [objects]
    for number, (down, right) in enumerate(((0, width), (height, 0), (height, width)), start=1):
        other, boxes = tf.roll(images, number, axis=0), tf.roll(objects, number, axis=0)
        tiles.append(tf.where(is_mosaic[:, tf.newaxis, tf.newaxis, tf.newaxis], other, tf.zeros_like(other)))
        boxes += tf.constant([down, right, down, right, 0, 0], tf.float32)
        all_objects.append(_keep_where(boxes, is_mosaic[:, tf.newaxis]))
    rows = [tf.concat(tiles[:2], axis=2), tf.concat(tiles[2:], axis=2)]
    return tf.concat(rows, axis=1), tf.concat(all_objects, axis=1), is_mosaic


def _keep_where(objects: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
    """Replace the objects for which the condition does not hold by padding."""
    padding = tf.constant([0.0, 0.0, 0.0, 0.0, -1.0, 0.0])
    return tf.where(condition[..., tf.newaxis], objects, padding)


def _random_window(
    images: tf.Tensor,
    objects: tf.Tensor,
    size: tuple[int, int],
    is_mosaic: tf.Tensor,
    flip: Literal["none", "horizontal", "vertical", "both"],
    rotate_90: bool,
    scale: float,
    crop: float,
    draws: StepSeeds,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Sample a random window of each image or mosaic, at the size of the network's input."""
    batch = tf.shape(images)[0]
    height, width = (float(side) for side in size)
    side = window_sides(batch, scale, math.sqrt(crop), draws)
    # Negative where the window is larger than the image.
    free_space = tf.where(is_mosaic, 2.0, 1.0)[:, tf.newaxis] - side
    offset = free_space * draws.uniform([batch, 2]) * tf.constant([height, width])
    signs = flip_signs(batch, flip, draws)
    rotated = (draws.uniform([batch]) < 0.5) if rotate_90 else tf.zeros([batch], tf.bool)
    images = _resample(images, size, side, offset, signs, rotated)
    center = tf.constant([height / 2, width / 2])
    corners = tf.reshape(objects[..., :4], [batch, -1, 2, 2])
    corners = (corners - offset[:, tf.newaxis, tf.newaxis]) / side[:, tf.newaxis, tf.newaxis] - center
    corners *= signs[:, tf.newaxis, tf.newaxis]
    corners = tf.where(rotated[:, tf.newaxis, tf.newaxis, tf.newaxis], corners[..., ::-1], corners) + center
    low, high = tf.reduce_min(corners, axis=2), tf.reduce_max(corners, axis=2)
    return images, _clip_objects(objects, low, high, tf.constant([height, width]))


def _resample(
    images: tf.Tensor, size: tuple[int, int], side: tf.Tensor, offset: tf.Tensor, signs: tf.Tensor, rotated: tf.Tensor
) -> tf.Tensor:
    """Sample windows: output (y, x) is the input at side * rotate(sign * ((y, x) - center)) + center + offset."""
    scales = signs * side
    diagonal, zero = tf.linalg.diag(scales), tf.zeros_like(scales[:, 0])
    antidiagonal = tf.stack([tf.stack([zero, scales[:, 0]], 1), tf.stack([scales[:, 1], zero], 1)], 1)
    matrices = tf.where(rotated[:, tf.newaxis, tf.newaxis], antidiagonal, diagonal)
    return sample_windows(images, matrices, side * tf.constant(list(size), tf.float32) / 2 + offset, size)


def _clip_objects(objects: tf.Tensor, low: tf.Tensor, high: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Clip transformed objects to the window; those that are hardly visible become crowds, or padding."""
    inside_low, inside_high = tf.clip_by_value(low, 0.0, size), tf.clip_by_value(high, 0.0, size)
    visible_area = tf.reduce_prod(inside_high - inside_low, axis=-1)
    visible_fraction = tf.math.divide_no_nan(visible_area, tf.reduce_prod(high - low, axis=-1))
    crowd = tf.where(visible_fraction < MIN_VISIBLE_FRACTION, CROWD, tf.math.floormod(objects[..., 5], 2.0))
    moved = tf.concat([inside_low, inside_high, objects[..., 4:5], crowd[..., tf.newaxis]], axis=-1)
    return _keep_where(moved, (objects[..., 4] >= 0) & (visible_area > 1.0))


def _mixup(images: tf.Tensor, objects: tf.Tensor, fraction: float, draws: StepSeeds) -> tuple[tf.Tensor, tf.Tensor]:
    is_mixed = draws.uniform([tf.shape(images)[0]]) < fraction
    other = tf.roll(images, 1, axis=0)
    mean = (tf.cast(images, tf.int32) + tf.cast(other, tf.int32)) // 2
    mixed = tf.where(is_mixed[:, tf.newaxis, tf.newaxis, tf.newaxis], tf.cast(mean, images.dtype), images)
    return mixed, tf.concat([objects, _keep_where(tf.roll(objects, 1, axis=0), is_mixed[:, tf.newaxis])], axis=1)


def _pack_objects(objects: tf.Tensor) -> tf.Tensor:
    """Move objects before padding, and keep at most 128 of them."""
    order = tf.argsort(tf.cast(objects[..., 4] < 0, tf.int32), axis=1, stable=True)
    return tf.gather(objects, order[:, :MAX_OBJECTS], batch_dims=1)
