"""Operations on flat arrays whose elements belong to groups: the tokens of rows, the neighbors of atoms."""

from __future__ import annotations

from dlkit.lazy import tf


def last_with_key(keys: tf.Tensor, flags: tf.Tensor, *, inclusive: bool = False) -> tf.Tensor:
    """Find for each element the last flagged element before it with the same key.

    A stable sort brings elements of a key together, so that the work grows with n log n and no element is visited in
    a loop.

    Args:
        keys: (n,) int32.
        flags: (n,) bool.
        inclusive: whether an element that is flagged finds itself.

    Returns:
        (n,) int32 indices, -1 where there is none.

    Examples:
        >>> last_with_key(tf.constant([1, 2, 1, 2, 1]), tf.constant([True, False, True, True, False])).numpy()
        array([-1, -1,  0, -1,  2], dtype=int32)
    """
    order = tf.argsort(keys, stable=True)
    sorted_keys, sorted_flags = tf.gather(keys, order), tf.gather(flags, order)
    flagged = tf.concat([[0], tf.boolean_mask(order, sorted_flags)], 0)  # the first stands for none
    rank = tf.cumsum(tf.cast(sorted_flags, tf.int32), exclusive=not inclusive)
    found = tf.gather(flagged, rank)
    same = (rank > 0) & (tf.gather(keys, found) == sorted_keys)
    return tf.scatter_nd(order[:, tf.newaxis], tf.where(same, found, -1), tf.shape(keys))


def position_in_group(keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Number the elements of each key in their order.

    Args:
        keys: (n,) int.

    Returns:
        Tuple of the order that sorts the keys, (n,) int32, and, in this order, the position of each element among
        those of its key, (n,) int32.

    Examples:
        >>> order, position = position_in_group(tf.constant([7, 3, 7, 7]))
        >>> order.numpy(), position.numpy()
        (array([1, 0, 2, 3], dtype=int32), array([0, 0, 1, 2], dtype=int32))
    """
    order = tf.argsort(keys, stable=True)
    sorted_keys = tf.gather(keys, order)
    first = tf.concat([tf.ones_like(sorted_keys[:1], tf.bool), sorted_keys[1:] != sorted_keys[:-1]], 0)
    starts = tf.boolean_mask(tf.range(tf.shape(keys)[0]), first)
    return order, tf.range(tf.shape(keys)[0]) - tf.gather(starts, tf.cumsum(tf.cast(first, tf.int32)) - 1)


def any_in_rows(flags: tf.Tensor, rows: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """Return whether any element of each row is flagged, (num_rows,) bool, for (n,) flags and row numbers."""
    return tf.math.unsorted_segment_sum(tf.cast(flags, tf.int32), rows, num_rows) > 0


def gather_or(values: tf.Tensor, indices: tf.Tensor, default: int) -> tf.Tensor:
    """Gather (n,) values by (m,) indices; negative indices give `default`.

    Examples:
        >>> gather_or(tf.constant([5, 6]), tf.constant([1, -1]), default=0).numpy()
        array([6, 0], dtype=int32)
    """
    padded = tf.concat([values, tf.fill([1], tf.cast(default, values.dtype))], 0)
    return tf.gather(padded, tf.where(indices < 0, tf.shape(values)[0], indices))
