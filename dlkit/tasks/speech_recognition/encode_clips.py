"""Clips as rows of one shape, and what is wrong with them."""

from __future__ import annotations

from dlkit.lazy import tf


def cut_or_pad(values: tf.Tensor, frames: int) -> tf.Tensor:
    """Bring (batch, any, ...) to (batch, frames, ...), with zeros behind shorter ones."""
    values = values[:, :frames]
    rest = [[0, 0]] * (len(values.shape) - 2)
    padded = tf.pad(values, [[0, 0], [0, frames - tf.shape(values)[1]], *rest])
    return tf.ensure_shape(padded, [None, frames, *values.shape[2:]])


def first_error(error: tf.Tensor, is_wrong: tf.Tensor, reason: str) -> tf.Tensor:
    """Add a reason to rows that are wrong and have no error yet: (batch,) string."""
    return tf.where((error == "") & is_wrong, reason, error)
