"""Targets of detectors: objects as tensors.

Each detector is a module with `build_network`, `build_loss` and `decode_predictions`. The output of a network is
`predictions`, (batch, locations, channels) float32; its targets are objects, (batch, objects, 6) float32: ymin, xmin,
ymax, xmax in pixels of the network's input, the class index or -1 for padding, and the flags `CROWD` and `CLIPPED`,
added up. Losses are means over rows: the loss of a row does not depend on other rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import tf

CROWD, CLIPPED = 1.0, 2.0


def get_boxes(objects: tf.Tensor) -> tf.Tensor:
    """Get the boxes of objects, (..., 4) float32: ymin, xmin, ymax, xmax."""
    return objects[..., :4]


def get_classes(objects: tf.Tensor) -> tf.Tensor:
    """Get the class indices of objects, (...) int32; -1 for padding."""
    return tf.cast(objects[..., 4], tf.int32)


def is_crowd(objects: tf.Tensor) -> tf.Tensor:
    """Return which objects are crowds, (...) bool: many objects in one box, ignored by losses."""
    return (objects[..., 4] >= 0) & (tf.math.floormod(objects[..., 5], 2.0) == 1.0)


def is_object(objects: tf.Tensor) -> tf.Tensor:
    """Return which objects are to be detected, (...) bool: neither padding nor crowds."""
    return (objects[..., 4] >= 0) & ~is_crowd(objects)


def in_crowd(objects: tf.Tensor, centers: tf.Tensor) -> tf.Tensor:
    """Return which locations lie inside of a crowd.

    Args:
        objects: (batch, objects, 6) float32.
        centers: (locations, 2) float32, y and x in pixels of the network's input.

    Returns:
        (batch, locations) bool.
    """
    boxes = get_boxes(objects)[:, :, tf.newaxis]
    inside = tf.reduce_all((centers >= boxes[..., :2]) & (centers <= boxes[..., 2:]), axis=-1)
    return tf.reduce_any(inside & is_crowd(objects)[:, :, tf.newaxis], axis=1)


def cell_centers(height: int, width: int, stride: int) -> tf.Tensor:
    """Compute the centers of the cells of a feature map.

    Args:
        height, width: size of the network's input, in pixels.
        stride: side of a cell, in pixels.

    Returns:
        (locations, 2) float32, y and x in pixels of the network's input.
    """
    rows = (tf.range(height // stride, dtype=tf.float32) + 0.5) * stride
    columns = (tf.range(width // stride, dtype=tf.float32) + 0.5) * stride
    return tf.reshape(tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1), [-1, 2])


def letterbox_objects(
    boxes: tf.Tensor,
    labels: tf.Tensor,
    original_size: tf.Tensor,
    class_names: Sequence[str],
    height: int,
    width: int,
    max_objects: int,
) -> tf.Tensor:
    """Map objects to the letterboxed input of the network.

    Boxes are clipped to their image and marked as `CLIPPED`; boxes outside of their image become padding.

    Args:
        boxes: (batch, objects, 5) float32, ymin, xmin, ymax, xmax in pixels of the original image, and whether it is a
            crowd.
        labels: (batch, objects) string, "" for padding.
        original_size: (batch, 2) int32, height and width in pixels.
        class_names: all class names.
        height, width: size of the network's input, in pixels.
        max_objects: number of objects per row in the result; further objects are dropped.

    Returns:
        (batch, max_objects, 6) float32, as described in the docstring of this module.
    """
    from dlkit.vision.decode_image import pad_frame  # defines a layer, and `--help` imports this module

    size = tf.cast(original_size, tf.float32)[:, tf.newaxis]
    resized_size, offset = (
        tf.cast(pair, tf.float32)[:, tf.newaxis] for pair in pad_frame(original_size, height, width)
    )
    low, high = (tf.clip_by_value(corner, 0.0, size) for corner in (boxes[..., 0:2], boxes[..., 2:4]))
    is_clipped = tf.reduce_any(tf.concat([low, high], -1) != boxes[..., :4], axis=-1)
    is_inside = tf.reduce_all(high > low, axis=-1)
    classes = tf.argmax(labels[..., tf.newaxis] == tf.constant(list(class_names)), axis=-1, output_type=tf.int32)
    classes = tf.where((labels != "") & is_inside, classes, -1)
    flags = boxes[..., 4] + CLIPPED * tf.cast(is_clipped & (labels != ""), tf.float32)
    corners = [corner * resized_size / size + offset for corner in (low, high)]
    objects = tf.concat([*corners, tf.cast(classes, tf.float32)[..., tf.newaxis], flags[..., tf.newaxis]], axis=-1)
    padded = tf.pad(objects, [[0, 0], [0, max_objects], [0, 0]])
    is_padding = tf.range(tf.shape(padded)[1]) >= tf.shape(objects)[1]
    padded = tf.where(is_padding[:, tf.newaxis], tf.constant([0.0, 0.0, 0.0, 0.0, -1.0, 0.0]), padded)
    return tf.ensure_shape(padded[:, :max_objects], [None, max_objects, 6])
