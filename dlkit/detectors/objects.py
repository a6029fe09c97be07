"""Targets of a detector: what the six numbers of an object say."""

import tensorflow as tf


def boxes_of(objects):
    """(..., 4) float32: ymin, xmin, ymax, xmax."""
    return objects[..., :4]


def classes_of(objects):
    """(...) int32: the number of the class, -1 for padding."""
    return tf.cast(objects[..., 4], tf.int32)


def is_crowd(objects):
    """(...) bool: whether it stands for many objects, which are neither to be found nor to be penalised."""
    return (objects[..., 4] >= 0) & (tf.math.floormod(objects[..., 5], 2.0) == 1.0)


def is_object(objects):
    """(...) bool: whether it is to be found: neither padding nor a crowd."""
    return (objects[..., 4] >= 0) & ~is_crowd(objects)


def in_crowd(objects, centres):
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


def grid(height, width, stride):
    """(places, 2) float32: y and x of the centres of a feature map's cells, in pixels of the network's image."""
    rows = (tf.range(height // stride, dtype=tf.float32) + 0.5) * stride
    columns = (tf.range(width // stride, dtype=tf.float32) + 0.5) * stride
    return tf.reshape(tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1), [-1, 2])
