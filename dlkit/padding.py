"""Padding: rows of similar length share a batch, and padding that all rows of a batch have is removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlkit.lazy import tf

if TYPE_CHECKING:
    import numpy as np

    from dlkit.training.store import Store


@dataclass(frozen=True)
class Padding:
    """Describes the padding of a batch.

    Attributes:
        mask: the tensor that tells it, (batch, steps): False or 0 where a row is padded.
        tensors: the tensors to trim by it, all of (batch, steps, ...); () for all there are.
        multiple: trimmed lengths are multiples of it: each length is a plan of its own for the kernels.
        left: whether the padding stands before the row instead of after it.
        buckets: whether rows of like length share a batch.
    """

    mask: str = "padding_mask"
    tensors: tuple[str, ...] = ()
    multiple: int = 8
    left: bool = False
    buckets: bool = True


def trim(tensors: Mapping[str, tf.Tensor], paddings: Sequence[Padding]) -> dict[str, tf.Tensor]:
    """Remove padding that all rows of a batch have. Paddings whose mask is missing are ignored."""
    trimmed = dict(tensors)
    for padding in paddings:
        if padding.mask not in tensors:
            continue
        mask = tensors[padding.mask]
        length = _trimmed_length(mask, padding)
        for name in padding.tensors or tensors:
            trimmed[name] = tensors[name][:, -length:] if padding.left else tensors[name][:, :length]
    return trimmed


def _trimmed_length(mask: tf.Tensor, padding: Padding) -> tf.Tensor:
    """Return the length of the longest row of a batch, rounded up to the multiple."""
    present = tf.cast(tf.cast(mask, tf.bool), tf.int32)
    if padding.left:
        present = tf.cast(tf.cumsum(present, axis=1) > 0, tf.int32)
    longest = tf.maximum(tf.reduce_max(tf.reduce_sum(present, axis=1)), 1)
    length = (longest + padding.multiple - 1) // padding.multiple * padding.multiple
    return tf.minimum(length, tf.shape(mask)[1])


def row_lengths(store: Store, paddings: Sequence[Padding]) -> np.ndarray | None:
    """Return the length of each encoded row, (rows,) int, or None if rows are not bucketed by length.

    Args:
        store: the encoded rows.
        paddings: of the task.
    """
    first = next((padding for padding in paddings if padding.buckets), None)
    if first is None or store.lengths is not None:
        return store.lengths
    if not store.has(first.mask):
        return None
    mask: Any = store.every(lambda row: row[0][first.mask])
    return (mask != 0).sum(axis=1)
