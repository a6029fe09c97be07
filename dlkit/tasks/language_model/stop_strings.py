"""Strings at which generation stops."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import tf


def find_stop(text: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
    """Find the first stop string of each text, as if it were written byte by byte.

    That is the one that is complete first; of several that end at the same byte, the longest.

    Args:
        text: (rows,) string.
        stop: (rows, strings) string, "" for none.

    Returns:
        (rows,) int32, the byte at which the stop string begins; -1 if there is none.

    Examples:
        >>> find_stop(tf.constant(["a b. c.", "a b"]), tf.constant([[". ", ""], [".", "\\n"]])).numpy().tolist()
        [3, -1]
    """
    sizes, length = tf.strings.length(stop), tf.strings.length(text)
    longest = tf.reduce_max(tf.concat([length, [0]], 0))
    start = tf.range(longest + 1)  # (starts,), the last of which holds for every text
    shape = [tf.shape(stop)[0], tf.shape(stop)[1], longest + 1]
    is_inside = start + sizes[..., tf.newaxis] <= length[:, tf.newaxis, tf.newaxis]
    found = tf.strings.substr(
        tf.broadcast_to(text[:, tf.newaxis, tf.newaxis], shape),
        tf.broadcast_to(tf.where(is_inside, start, 0), shape),
        tf.broadcast_to(sizes[..., tf.newaxis], shape),
    )
    is_stop = is_inside & (sizes[..., tf.newaxis] > 0) & (found == stop[..., tf.newaxis])
    # The least of (end, start), in one number.
    order = (start + sizes[..., tf.newaxis]) * (longest + 1) + start
    none = (2 * longest + 2) * (longest + 1)
    best = tf.reduce_min(tf.where(is_stop, order, none), [1, 2])
    return tf.where(best < none, best % (longest + 1), -1)


class StopStringFinder:
    """Tells which rows of generated tokens contain a stop string.

    Args:
        spellings: the bytes of each token, by id.
        stop: (rows, strings) string, "" for none.
    """

    def __init__(self, spellings: Sequence[bytes], stop: tf.Tensor):
        self._spellings, self._stop = tf.constant(list(spellings)), stop
        self._longest = tf.reduce_max(tf.concat([[0], tf.reshape(tf.strings.length(stop), [-1])], 0))

    def spell(self, ids: tf.Tensor) -> tf.Tensor:
        """Join the bytes of tokens: (rows, tokens) int32 to (rows,) string."""
        return tf.strings.reduce_join(tf.gather(self._spellings, ids), axis=1)

    def is_stopped(self, ids: tf.Tensor) -> tf.Tensor:
        """Return whether a stop string ends in the last of the tokens, (rows, tokens) int32: (rows,) bool."""
        return tf.cond(
            self._longest > 0,
            lambda: find_stop(self.spell(ids[:, -self._longest :]), self._stop) >= 0,
            lambda: tf.zeros(tf.shape(ids)[:1], tf.bool),
        )

    def cut(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Cut texts before their first stop string: (rows,) string and whether there was one, (rows,) bool."""

        def cut() -> tuple[tf.Tensor, tf.Tensor]:
            start = find_stop(text, self._stop)
            size = tf.where(start >= 0, start, tf.strings.length(text))
            return tf.strings.substr(text, tf.zeros_like(size), size), start >= 0

        return tf.cond(self._longest > 0, cut, lambda: (text, tf.zeros(tf.shape(text), tf.bool)))
