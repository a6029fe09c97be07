"""Networks that find objects: each a module with `network`, `loss_of` and `decode`, which know the same grid.

Whatever the network, its one output is `predictions`, (batch, places, numbers) float32, and its targets are objects,
(batch, objects, 6) float32: ymin, xmin, ymax, xmax in pixels of the network's image, the number of the class or -1 for
padding, and `CROWD`, `CLIPPED`, their sum, or 0. A loss is the mean over rows: a row's does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import tf

CROWD, CLIPPED = 1.0, 2.0


def boxes_of(objects: tf.Tensor) -> tf.Tensor:
    """(..., 4) float32: ymin, xmin, ymax, xmax."""
    return objects[..., :4]


def classes_of(objects: tf.Tensor) -> tf.Tensor:
    """(...) int32: the number of the class, -1 for padding."""
    return tf.cast(objects[..., 4], tf.int32)


def is_crowd(objects: tf.Tensor) -> tf.Tensor:
    """(...) bool: whether it stands for many objects, which are neither to be found nor to be penalised."""
    return (objects[..., 4] >= 0) & (tf.math.floormod(objects[..., 5], 2.0) == 1.0)


def is_object(objects: tf.Tensor) -> tf.Tensor:
    """(...) bool: whether it is to be found: neither padding nor a crowd."""
    return (objects[..., 4] >= 0) & ~is_crowd(objects)


def in_crowd(objects: tf.Tensor, centres: tf.Tensor) -> tf.Tensor:
    """Which places lie inside of a crowd.

    Args:
        objects: (batch, objects, 6) float32.
        centres: (places, 2) float32, y and x in pixels of the network's image.

    Returns:
        (batch, places) bool.
    """
    boxes = boxes_of(objects)[:, :, tf.newaxis]
    inside = tf.reduce_all((centres >= boxes[..., :2]) & (centres <= boxes[..., 2:]), axis=-1)
    return tf.reduce_any(inside & is_crowd(objects)[:, :, tf.newaxis], axis=1)


def grid(height: int, width: int, stride: int) -> tf.Tensor:
    """(places, 2) float32: y and x of the centres of a feature map's cells, in pixels of the network's image."""
    rows = (tf.range(height // stride, dtype=tf.float32) + 0.5) * stride
    columns = (tf.range(width // stride, dtype=tf.float32) + 0.5) * stride
    return tf.reshape(tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1), [-1, 2])


def letterbox_objects(
    boxes: tf.Tensor,
    labels: tf.Tensor,
    original_size: tf.Tensor,
    known: Sequence[str],
    height: int,
    width: int,
    most: int,
) -> tf.Tensor:
    """Where objects lie in the network's image.

    Boxes are cut off at the border of their image, and marked as `CLIPPED`; what lies outside of it is padding.

    Args:
        boxes: (batch, objects, 5) float32, yxyx in pixels of the original image, and whether it is a crowd.
        labels: (batch, objects) string, "" for padding.
        original_size: (batch, 2) int32, height and width.
        known: names of the classes.
        height, width: of the network's image, which the original one is letterboxed into.
        most: objects of a row in the result; more are left out.

    Returns:
        (batch, most, 6) float32, as the head of this module says.
    """
    from dlkit.vision.decode_image import pad_frame  # defines a layer: `--help` reads this module

    size = tf.cast(original_size, tf.float32)[:, tf.newaxis]
    inner, before = (tf.cast(pair, tf.float32)[:, tf.newaxis] for pair in pad_frame(original_size, height, width))
    low, high = (tf.clip_by_value(corner, 0.0, size) for corner in (boxes[..., 0:2], boxes[..., 2:4]))
    cut = tf.reduce_any(tf.concat([low, high], -1) != boxes[..., :4], axis=-1)
    inside = tf.reduce_all(high > low, axis=-1)
    classes = tf.argmax(labels[..., tf.newaxis] == tf.constant(list(known)), axis=-1, output_type=tf.int32)
    classes = tf.where((labels != "") & inside, classes, -1)
    flags = boxes[..., 4] + CLIPPED * tf.cast(cut & (labels != ""), tf.float32)
    moved = [corner * inner / size + before for corner in (low, high)]
    objects = tf.concat([*moved, tf.cast(classes, tf.float32)[..., tf.newaxis], flags[..., tf.newaxis]], axis=-1)
    padding = tf.pad(objects, [[0, 0], [0, most], [0, 0]])
    is_padding = tf.range(tf.shape(padding)[1]) >= tf.shape(objects)[1]
    padding = tf.where(is_padding[:, tf.newaxis], tf.constant([0.0, 0.0, 0.0, 0.0, -1.0, 0.0]), padding)
    return tf.ensure_shape(padding[:, :most], [None, most, 6])
