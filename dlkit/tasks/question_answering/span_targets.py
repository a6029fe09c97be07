"""Targets of a span network, which are the positions of answers in windows, and its loss."""

from __future__ import annotations

from collections.abc import Mapping

from dlkit.lazy import ops, tf

MAX_GOLD_ANSWERS = 4  # gold answers of a question that training learns from


def make_span_targets(windows: Mapping[str, tf.Tensor], answers: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Choose for each row the window that contains its answer and, of long contexts, a neighbor without one.

    The first of the gold answers that lies completely within a window decides which window it is. In a window without
    an answer, and in the first two windows of a row that has none, the target is position 0, the opening token.

    Args:
        windows: the tensors of `WindowPacker`.
        answers: (batch, answers, 2) string, text and decimal offset; "" for none, the offset -1 if it is unknown.

    Returns:
        Tuple of (chosen,) int32, the indices of the chosen windows in order; and the targets `start_logits` and
        `end_logits`: (chosen, 4) int32, the positions of the gold answers, padded with -1.

    Raises:
        tf.errors.InvalidArgumentError: a row has answers, and none of them lies within a window.
    """
    rows, row_ids = tf.shape(answers)[0], windows["row_ids"]
    padded = tf.pad(answers, [[0, 0], [0, MAX_GOLD_ANSWERS], [0, 0]])[:, :MAX_GOLD_ANSWERS]
    texts, starts = padded[..., 0], tf.strings.to_number(tf.where(padded[..., 0] == "", "-1", padded[..., 1]), tf.int32)
    has_offset = starts >= 0
    lengths = tf.strings.length(texts, "UTF8_CHAR")
    first_tokens, last_tokens = _find_positions(windows, tf.gather(starts, row_ids), tf.gather(lengths, row_ids))
    contains = (first_tokens >= 0) & tf.gather(has_offset, row_ids)  # (windows, answers)
    contains_any = tf.reduce_any(contains, axis=1)
    first_answer = tf.argmax(tf.cast(contains, tf.int32), axis=1, output_type=tf.int32)
    first_answer = tf.where(contains_any, first_answer, MAX_GOLD_ANSWERS)
    number = tf.range(tf.size(row_ids))
    rank = first_answer * tf.size(row_ids) + number  # by answer, then by window
    best = tf.math.unsorted_segment_min(rank, row_ids, rows)
    has_answer = tf.reduce_any(texts != "", axis=1)
    is_missing = tf.reduce_any(has_answer & (best >= MAX_GOLD_ANSWERS * tf.size(row_ids)))
    message = (
        "none of the answers can be learned: each is missing from the text or longer than the overlap of two "
        "windows, or the question is empty. Correct them, or remove the row."
    )
    with tf.control_dependencies([tf.debugging.Assert(~is_missing, [message])]):
        base = tf.identity(tf.gather(best, row_ids) % tf.size(row_ids))  # the first window of a row without answers
    after, before = base + 1, base - 1
    is_last = tf.gather(tf.concat([row_ids, [-1]], 0), after) != row_ids
    neighbor = tf.where(is_last, before, after)
    chosen = tf.where((number == base) | ((number == neighbor) & ~contains_any))[:, 0]
    chosen = tf.cast(chosen, tf.int32)

    def make_targets(positions: tf.Tensor) -> tf.Tensor:
        paddings = [[0, 0], [0, MAX_GOLD_ANSWERS - 1]]
        no_answer = tf.pad(tf.zeros([tf.size(row_ids), 1], tf.int32), paddings, constant_values=-1)
        targets = tf.where(contains_any[:, tf.newaxis], tf.where(contains, positions, -1), no_answer)
        return tf.ensure_shape(tf.gather(targets, chosen), [None, MAX_GOLD_ANSWERS])

    return chosen, {"start_logits": make_targets(first_tokens), "end_logits": make_targets(last_tokens)}


def _find_positions(
    windows: Mapping[str, tf.Tensor], starts: tf.Tensor, lengths: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the tokens of answers in their windows.

    Args:
        windows: the tensors of `WindowPacker`.
        starts, lengths: (windows, answers) int32, offset and length of the answers in characters.

    Returns:
        First and last token, (windows, answers) int32 each; -1 where a window does not contain the answer.
    """
    token_starts, token_ends = windows["token_starts"][:, tf.newaxis], windows["token_ends"][:, tf.newaxis]
    in_context = token_ends > 0  # (windows, 1, length)
    starts, ends = starts[:, :, tf.newaxis], (starts + lengths)[:, :, tf.newaxis]
    in_answer = in_context & (token_ends > starts) & (token_starts < ends)  # (windows, answers, length)
    length = tf.shape(token_starts)[2]
    first = tf.argmax(tf.cast(in_answer, tf.int32), axis=2, output_type=tf.int32)
    last = length - 1 - tf.argmax(tf.cast(in_answer[..., ::-1], tf.int32), axis=2, output_type=tf.int32)
    # A window that is the maximum context of the first token found contains all tokens before it, if there are any.
    is_max_context = tf.gather(windows["is_max_context"], first, batch_dims=1)
    is_max_context = tf.reduce_any(is_max_context[..., tf.newaxis] & in_answer, axis=2)
    # A context ends with the last window of its row; in others the end of the answer must be reached.
    context_end = tf.reduce_max(tf.where(in_context, token_ends, 0), axis=2)
    row_ids = windows["row_ids"]
    is_last_window = tf.concat([row_ids[1:] != row_ids[:-1], tf.ones_like(row_ids[:1], tf.bool)], 0)
    is_complete = (context_end >= ends[..., 0]) | is_last_window[:, tf.newaxis]
    contains = is_max_context & is_complete
    return tf.where(contains, first, -1), tf.where(contains, last, -1)


def position_crossentropy(positions: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Compute the mean cross-entropy of the gold positions of each row: (batch,) float32.

    Args:
        positions: (batch, answers) int, the gold positions, padded with -1; a row has at least one.
        logits: (batch, length) float32.

    Examples:
        >>> loss = position_crossentropy(tf.constant([[0, -1]]), tf.constant([[0.0, 0.0]]))
        >>> round(float(loss[0]), 4)  # ln 2
        0.6931
    """
    positions = ops.cast(positions, "int32")
    log_probs = ops.take_along_axis(ops.log_softmax(logits, axis=-1), ops.maximum(positions, 0), axis=1)
    is_gold = ops.cast(positions >= 0, logits.dtype)
    return -ops.sum(log_probs * is_gold, axis=1) / ops.maximum(ops.sum(is_gold, axis=1), 1)
