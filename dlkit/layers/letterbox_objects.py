"""Boxes of the original image as a detector's targets, inside the graph."""

import tensorflow as tf

from dlkit.detectors import CLIPPED
from dlkit.layers.decode_image import pad_frame


def letterbox_objects(boxes, labels, original_size, known, height, width, most):
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
        (batch, most, 6) float32, as `dlkit.detectors` says.
    """
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
