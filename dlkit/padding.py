"""Padding that rows share: by it rows of like length share a batch, and batches lose what all their rows have of it."""

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
    """Where the padding of a batch is.

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
    """A batch without the padding that all its rows have. Paddings whose mask is not there are passed over."""
    trimmed = dict(tensors)
    for padding in paddings:
        if padding.mask not in tensors:
            continue
        mask = tensors[padding.mask]
        kept = _kept(mask, padding)
        for name in padding.tensors or tensors:
            trimmed[name] = tensors[name][:, -kept:] if padding.left else tensors[name][:, :kept]
    return trimmed


def _kept(mask: tf.Tensor, padding: Padding) -> tf.Tensor:
    """How many steps the longest row of a batch has, rounded up."""
    there = tf.cast(tf.cast(mask, tf.bool), tf.int32)
    if padding.left:
        there = tf.cast(tf.cumsum(there, axis=1) > 0, tf.int32)
    longest = tf.maximum(tf.reduce_max(tf.reduce_sum(there, axis=1)), 1)
    kept = (longest + padding.multiple - 1) // padding.multiple * padding.multiple
    return tf.minimum(kept, tf.shape(mask)[1])


def row_lengths(store: Store, paddings: Sequence[Padding]) -> np.ndarray | None:
    """(rows,) int: the length of each encoded row, as it was told when encoding, or by the mask; None for no buckets.

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
