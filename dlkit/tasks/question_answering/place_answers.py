"""Where the answer stands in the windows of a text, and the loss of a network that looks for it."""

from __future__ import annotations

from collections.abc import Mapping

from dlkit.lazy import ops, tf

MOST = 4  # answers of a question that training learns from


def place_answers(windows: Mapping[str, tf.Tensor], answers: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Chooses for each row the window with its answer and, of long texts, a neighbour without.

    Of the answers, the first that a window holds whole decides which one it is. In a window without an answer, and in
    the first two of a row that has none, the right place is 0, the opening token.

    Args:
        windows: what `Windows` gives.
        answers: (batch, most, 2) string, text and decimal start, "" for none; -1 if it is not known.

    Returns:
        Tuple of `chosen`: (chosen,) int32, windows in order; and `start_logits`, `end_logits`: (chosen, 4) int32, the
        right places, -1 for none.

    Raises:
        tf.errors.InvalidArgumentError: a row has answers, and none of them lies in a window.
    """
    rows, row = tf.shape(answers)[0], windows["row"]
    padded = tf.pad(answers, [[0, 0], [0, MOST], [0, 0]])[:, :MOST]
    texts, starts = padded[..., 0], tf.strings.to_number(tf.where(padded[..., 0] == "", "-1", padded[..., 1]), tf.int32)
    known = starts >= 0
    begin, end = _places(windows, tf.gather(starts, row), tf.gather(tf.strings.length(texts, "UTF8_CHAR"), row))
    holds = (begin >= 0) & tf.gather(known, row)  # (windows, most)
    any_held = tf.reduce_any(holds, axis=1)
    first = tf.where(any_held, tf.argmax(tf.cast(holds, tf.int32), axis=1, output_type=tf.int32), MOST)
    number = tf.range(tf.size(row))
    rank = first * tf.size(row) + number  # by answer, then by place
    best = tf.math.unsorted_segment_min(rank, row, rows)
    told = tf.reduce_any(texts != "", axis=1)
    missing = tf.reduce_any(told & (best >= MOST * tf.size(row)))
    message = (
        "none of the answers can be learned: each is missing from the text or longer than the overlap of two "
        "windows, or the question is empty. Correct them, or remove the row."
    )
    with tf.control_dependencies([tf.debugging.Assert(~missing, [message])]):
        base = tf.identity(tf.gather(best, row) % tf.size(row))  # of a row without answers its first window
    after, before = base + 1, base - 1
    is_last = tf.gather(tf.concat([row, [-1]], 0), after) != row
    beside = tf.where(is_last, before, after)
    chosen = tf.where((number == base) | ((number == beside) & ~any_held))[:, 0]
    chosen = tf.cast(chosen, tf.int32)

    def targets(places: tf.Tensor) -> tf.Tensor:
        none = tf.pad(tf.zeros([tf.size(row), 1], tf.int32), [[0, 0], [0, MOST - 1]], constant_values=-1)
        placed = tf.where(any_held[:, tf.newaxis], tf.where(holds, places, -1), none)
        return tf.ensure_shape(tf.gather(placed, chosen), [None, MOST])

    return chosen, {"start_logits": targets(begin), "end_logits": targets(end)}


def _places(windows: Mapping[str, tf.Tensor], starts: tf.Tensor, sizes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """First and last token of spans of characters, (windows, most) int32 each; -1 where a window holds no such span."""
    first, after = windows["starts"][:, tf.newaxis], windows["ends"][:, tf.newaxis]  # (windows, 1, length)
    inside = after > 0
    starts, ends = starts[:, :, tf.newaxis], (starts + sizes)[:, :, tf.newaxis]
    touched = inside & (after > starts) & (first < ends)  # (windows, most, length)
    length = tf.shape(first)[2]
    begin = tf.argmax(tf.cast(touched, tf.int32), axis=2, output_type=tf.int32)
    end = length - 1 - tf.argmax(tf.cast(touched[..., ::-1], tf.int32), axis=2, output_type=tf.int32)
    # A window that owns the first token touched has all that are before it, if there are any.
    owned = tf.reduce_any(tf.gather(windows["own"], begin, batch_dims=1)[..., tf.newaxis] & touched, axis=2)
    # The text ends with the last window of a row; of others the next token would have to be there.
    reaches = tf.reduce_max(tf.where(inside, after, 0), axis=2)
    row = windows["row"]
    is_last = tf.concat([row[1:] != row[:-1], tf.ones_like(row[:1], tf.bool)], 0)
    whole = (reaches >= ends[..., 0]) | is_last[:, tf.newaxis]
    held = owned & whole
    return tf.where(held, begin, -1), tf.where(held, end, -1)


def place_loss(places: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean cross entropy of the right places: (batch,) float32.

    Args:
        places: (batch, most) int, the right places, -1 for none; at least one is right.
        logits: (batch, length) float32.
    """
    places = ops.cast(places, "int32")
    log_probabilities = ops.take_along_axis(ops.log_softmax(logits, axis=-1), ops.maximum(places, 0), axis=1)
    right = ops.cast(places >= 0, logits.dtype)
    return -ops.sum(log_probabilities * right, axis=1) / ops.maximum(ops.sum(right, axis=1), 1)
