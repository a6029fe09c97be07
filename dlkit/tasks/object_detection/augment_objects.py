"""Random changes to images with boxes, a pure function of the batch, the seed and the step."""

from __future__ import annotations

from typing import Literal

from dlkit.lazy import tf
from dlkit.tasks.object_detection.objects import CROWD
from dlkit.vision.augment_images import StepSeeds
from dlkit.vision.color_jitter import color_jitter
from dlkit.vision.sample_windows import flip_signs, sample_windows, window_sides

VISIBLE = 0.35  # share of an object that must be left of it; with less, nobody can tell whether it is there
MOST = 128  # objects of a training image


@tf.autograph.experimental.do_not_convert  # there is nothing to convert, and it takes seconds
def augment_objects(
    images: tf.Tensor,
    objects: tf.Tensor,
    *,
    seed: int,
    step: tf.Tensor,
    flip: Literal["none", "horizontal", "vertical", "both"] = "none",
    turn: bool = False,
    scale: float = 0.0,
    crop: float = 1.0,
    colour: float = 0.0,
    mosaic: float = 0.0,
    mixup: float = 0.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augments a batch inside `tf.data`'s `map`; training only. Boxes move along, each image has draws of its own.

    All that moves pixels is one bilinear sampling: a window of the image, or of four of them side by side, flipped and
    turned. Objects of which less than 35 % remain are marked as crowds, which no loss looks at.

    Args:
        images: (batch, height, width, channels) uint8; height, width and channels are static.
        objects: (batch, objects, 6) float32, as `dlkit.tasks.object_detection.objects` says.
        seed: Python integer, the seed of the run.
        step: () int64, the number of the batch since the start of training.
        flip: "none", "horizontal", "vertical" or "both": mirror half of the images.
        turn: turn images by 0 or 90 degrees; with both flips, by any quarter. For square images seen from above.
        scale: the window's side is at most 1 + scale times the image's: objects shrink.
        crop: and at least so large a share of it: objects grow, and some leave.
        colour: strength, 0 to 1, of changes of brightness, contrast and saturation.
        mosaic: share of the images, 0 to 1, that are a window of four (Bochkovskiy et al., 2020, arXiv:2004.10934).
        mixup: share of the images, 0 to 1, blended half and half with another one, with the objects of both
            (Zhang et al., 2017, arXiv:1710.09412; Ge et al., 2021, arXiv:2107.08430).

    Returns:
        images: as given, uint8. objects: (batch, more objects, 6), at most 128 an image.
    """
    draws = StepSeeds(seed, step)
    moves = flip != "none" or turn or scale or crop < 1 or mosaic
    size = tuple(images.shape[1:3])
    if mosaic:
        images, objects, wide = _four(images, objects, mosaic, draws)
    else:
        wide = tf.zeros([tf.shape(images)[0]], tf.bool)
    if moves:
        images, objects = _window(images, objects, size, wide, flip, turn, scale, crop, draws)
    if mixup:
        images, objects = _blend(images, objects, mixup, draws)
    if colour:
        images = color_jitter(images, colour, draws)
    return images, _first_valid(objects)


def _four(
    images: tf.Tensor, objects: tf.Tensor, share: float, draws: StepSeeds
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(batch, 2 height, 2 width, channels): each image beside the next three of its batch, or beside black."""
    batch, (height, width) = tf.shape(images)[0], images.shape[1:3]
    wide = draws.uniform([batch]) < share
    canvas, together = [images], [objects]
    for number, (down, right) in enumerate(((0, width), (height, 0), (height, width)), start=1):
        other, boxes = tf.roll(images, number, axis=0), tf.roll(objects, number, axis=0)
        canvas.append(tf.where(wide[:, tf.newaxis, tf.newaxis, tf.newaxis], other, tf.zeros_like(other)))
        boxes += tf.constant([down, right, down, right, 0, 0], tf.float32)
        together.append(_keep(boxes, wide[:, tf.newaxis]))
    rows = [tf.concat(canvas[:2], axis=2), tf.concat(canvas[2:], axis=2)]
    return tf.concat(rows, axis=1), tf.concat(together, axis=1), wide


def _keep(objects: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
    """The objects for which a condition holds; the others become padding."""
    padding = tf.constant([0.0, 0.0, 0.0, 0.0, -1.0, 0.0])
    return tf.where(condition[..., tf.newaxis], objects, padding)


def _window(
    images: tf.Tensor,
    objects: tf.Tensor,
    size: tuple[int, int],
    wide: tf.Tensor,
    flip: Literal["none", "horizontal", "vertical", "both"],
    turn: bool,
    scale: float,
    crop: float,
    draws: StepSeeds,
) -> tuple[tf.Tensor, tf.Tensor]:
    """A window of each image, at the network's size. `wide` ones have it anywhere in four images."""
    batch = tf.shape(images)[0]
    height, width = (float(side) for side in size)
    side = window_sides(batch, scale, crop, draws)
    room = tf.where(wide, 2.0, 1.0)[:, tf.newaxis] - side  # negative where the window is larger than the image
    offset = room * draws.uniform([batch, 2]) * tf.constant([height, width])
    signs = flip_signs(batch, flip, draws)
    turned = (draws.uniform([batch]) < 0.5) if turn else tf.zeros([batch], tf.bool)
    images = _sample(images, size, side, offset, signs, turned)
    middle = tf.constant([height / 2, width / 2])
    corners = tf.reshape(objects[..., :4], [batch, -1, 2, 2])
    corners = (corners - offset[:, tf.newaxis, tf.newaxis]) / side[:, tf.newaxis, tf.newaxis] - middle
    corners *= signs[:, tf.newaxis, tf.newaxis]
    corners = tf.where(turned[:, tf.newaxis, tf.newaxis, tf.newaxis], corners[..., ::-1], corners) + middle
    low, high = tf.reduce_min(corners, axis=2), tf.reduce_max(corners, axis=2)
    return images, _clip(objects, low, high, tf.constant([height, width]))


def _sample(
    images: tf.Tensor, size: tuple[int, int], side: tf.Tensor, offset: tf.Tensor, signs: tf.Tensor, turned: tf.Tensor
) -> tf.Tensor:
    """The windows: the output's (y, x) is the input's at side · turn(sign · ((y, x) - middle)) + middle + offset."""
    moves = signs * side
    straight, zero = tf.linalg.diag(moves), tf.zeros_like(moves[:, 0])
    crossed = tf.stack([tf.stack([zero, moves[:, 0]], 1), tf.stack([moves[:, 1], zero], 1)], 1)
    matrices = tf.where(turned[:, tf.newaxis, tf.newaxis], crossed, straight)
    return sample_windows(images, matrices, side * tf.constant(list(size), tf.float32) / 2 + offset, size)


def _clip(objects: tf.Tensor, low: tf.Tensor, high: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Moved objects, cut off at the border; those of which too little is left become crowds or padding."""
    inside_low, inside_high = tf.clip_by_value(low, 0.0, size), tf.clip_by_value(high, 0.0, size)
    left = tf.reduce_prod(inside_high - inside_low, axis=-1)
    share = tf.math.divide_no_nan(left, tf.reduce_prod(high - low, axis=-1))
    crowd = tf.where(share < VISIBLE, CROWD, tf.math.floormod(objects[..., 5], 2.0))
    moved = tf.concat([inside_low, inside_high, objects[..., 4:5], crowd[..., tf.newaxis]], axis=-1)
    return _keep(moved, (objects[..., 4] >= 0) & (left > 1.0))


def _blend(images: tf.Tensor, objects: tf.Tensor, share: float, draws: StepSeeds) -> tuple[tf.Tensor, tf.Tensor]:
    chosen = draws.uniform([tf.shape(images)[0]]) < share
    other = tf.roll(images, 1, axis=0)
    mean = (tf.cast(images, tf.int32) + tf.cast(other, tf.int32)) // 2
    mixed = tf.where(chosen[:, tf.newaxis, tf.newaxis, tf.newaxis], tf.cast(mean, images.dtype), images)
    return mixed, tf.concat([objects, _keep(tf.roll(objects, 1, axis=0), chosen[:, tf.newaxis])], axis=1)


def _first_valid(objects: tf.Tensor) -> tf.Tensor:
    """Objects before padding, the first 128 of them."""
    order = tf.argsort(tf.cast(objects[..., 4] < 0, tf.int32), axis=1, stable=True)
    return tf.gather(objects, order[:, :MOST], batch_dims=1)
