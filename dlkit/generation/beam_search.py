"""Beam search over tokens, of which greedy decoding is the case of one beam."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

from dlkit.lazy import tf
from dlkit.text.subword_tokenizer import END_ID, PADDING_ID, START_ID

NEGATIVE_INFINITY = float("-inf")  # the log-probability of impossible tokens

SearchState = namedtuple(
    "SearchState",
    "step last_ids ids log_probs best_ids best_score best_log_prob best_length num_finished is_done cache",
)


def compute_mean_probability(state: SearchState) -> tf.Tensor:
    """Compute the geometric mean of the probabilities of the tokens of each row's best sequence, (batch,) float32.

    The end token is one of them; the mean is 1 where there is none.
    """
    return tf.exp(state.best_log_prob / tf.cast(tf.maximum(state.best_length, 1), tf.float32))


def compute_log_probs(logits: tf.Tensor) -> tf.Tensor:
    """Compute log-probabilities in which padding and the start token are impossible: (..., vocabulary) float32."""
    mask = tf.one_hot([PADDING_ID, START_ID], logits.shape[-1], on_value=NEGATIVE_INFINITY, off_value=0.0)
    return tf.nn.log_softmax(tf.cast(logits, tf.float32) + tf.reduce_sum(mask, 0))


def make_initial_state(
    first_ids: tf.Tensor, num_beams: int | tf.Tensor, cache: list[Any], is_done: tf.Tensor
) -> SearchState:
    """Make the state before the first step.

    Args:
        first_ids: (rows,) int32, the token after which each row goes on.
        num_beams: number of hypotheses of each row.
        cache: the decoder's cache, by hypothesis.
        is_done: (rows,) bool, true at rows that get no token.
    """
    rows = tf.shape(first_ids)[0]
    # All hypotheses of a row are equal at the start: only the first one is possible.
    first = tf.one_hot(0, num_beams, on_value=0.0, off_value=NEGATIVE_INFINITY)
    return SearchState(
        step=tf.constant(0),
        last_ids=tf.repeat(first_ids, num_beams),
        ids=tf.zeros([rows, num_beams, 0], tf.int32),
        log_probs=tf.tile(first[tf.newaxis], [rows, 1]),
        best_ids=tf.zeros([rows, 0], tf.int32),
        best_score=tf.fill([rows], NEGATIVE_INFINITY),
        best_log_prob=tf.zeros([rows]),
        best_length=tf.zeros([rows], tf.int32),
        num_finished=tf.zeros([rows], tf.int32),
        is_done=is_done,
        cache=cache,
    )


def make_state_shapes(num_beams: int | tf.Tensor, cache_shapes: list[Any]) -> SearchState:
    """Return the shapes of the state that hold for all steps."""
    row, beams = tf.TensorShape([None]), None if tf.is_tensor(num_beams) else num_beams
    return SearchState(
        step=tf.TensorShape([]),
        last_ids=row,
        ids=tf.TensorShape([None, beams, None]),
        log_probs=tf.TensorShape([None, beams]),
        best_ids=tf.TensorShape([None, None]),
        best_score=row,
        best_log_prob=row,
        best_length=row,
        num_finished=row,
        is_done=row,
        cache=cache_shapes,
    )


def advance(
    state: SearchState,
    log_probs: tf.Tensor,
    cache: list[Any],
    max_tokens: tf.Tensor,
    beam_width: tf.Tensor,
    length_penalty: tf.Tensor,
    is_stopped: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> SearchState:
    """Compute the state after a step of beam search.

    Args:
        state: the state before the step.
        log_probs: (rows, beams, vocabulary) float32, of the next tokens.
        cache: the decoder's cache after the step, by hypothesis.
        max_tokens, beam_width, length_penalty: (rows,) each.
        is_stopped: maps the best hypotheses, (rows, tokens) int32, to whether the rows end with them, (rows,) bool.
    """
    rows, num_beams, vocabulary_size = tf.shape(log_probs)[0], tf.shape(log_probs)[1], log_probs.shape[-1]
    total = tf.reshape(state.log_probs[:, :, tf.newaxis] + log_probs, [rows, -1])
    values, indices = tf.math.top_k(total, 2 * num_beams)  # at least half of them do not end
    parents, tokens = indices // vocabulary_size, indices % vocabulary_size
    is_end, rank = tokens == END_ID, tf.range(2 * num_beams)
    length = tf.fill([rows], state.step + 1)

    is_finished = is_end & (values > NEGATIVE_INFINITY) & (rank < beam_width[:, tf.newaxis])
    is_finished &= ~state.is_done[:, tf.newaxis]
    finished_log_prob = tf.reduce_max(tf.where(is_finished, values, NEGATIVE_INFINITY), 1)
    chosen = tf.argmax(tf.cast(is_finished, tf.int32), 1, tf.int32)  # the first one, which is the best
    parent = tf.gather(parents, chosen, batch_dims=1)
    ids = tf.pad(tf.gather(state.ids, parent, batch_dims=1), [[0, 0], [0, 1]], constant_values=END_ID)
    state = _update_best(state, ids, finished_log_prob, length, length_penalty)
    num_finished = state.num_finished + tf.reduce_sum(tf.cast(is_finished, tf.int32), 1)

    beam_log_probs, order = tf.math.top_k(tf.where(is_end, NEGATIVE_INFINITY, values), num_beams)
    beam_log_probs = tf.where(tf.range(num_beams) < beam_width[:, tf.newaxis], beam_log_probs, NEGATIVE_INFINITY)
    parents, tokens = (tf.gather(each, order, batch_dims=1) for each in (parents, tokens))
    beam_ids = tf.concat([tf.gather(state.ids, parents, batch_dims=1), tokens[:, :, tf.newaxis]], 2)

    is_last = state.step + 1 >= max_tokens
    if is_stopped is not None:
        is_last |= is_stopped(beam_ids[:, 0])
    is_unfinished = is_last & ~state.is_done & (num_finished == 0)
    unfinished_log_prob = tf.where(is_unfinished, beam_log_probs[:, 0], NEGATIVE_INFINITY)
    state = _update_best(state, beam_ids[:, 0], unfinished_log_prob, length, length_penalty, extend=False)
    if log_probs.shape[1] != 1:  # with one beam every hypothesis keeps its cache
        hypotheses = tf.reshape(tf.range(rows)[:, tf.newaxis] * num_beams + parents, [-1])
        cache = tf.nest.map_structure(lambda values: tf.gather(values, hypotheses), cache)
    return state._replace(
        step=state.step + 1,
        last_ids=tf.reshape(tokens, [-1]),
        ids=beam_ids,
        log_probs=beam_log_probs,
        num_finished=num_finished,
        is_done=state.is_done | is_last | (num_finished >= beam_width),
        cache=cache,
    )


def _update_best(
    state: SearchState,
    ids: tf.Tensor,
    log_prob: tf.Tensor,
    length: tf.Tensor,
    length_penalty: tf.Tensor,
    *,
    extend: bool = True,
) -> SearchState:
    """Replace the best hypotheses of rows where `ids`, of log-probability -inf for none, have a better score."""
    score = log_prob / ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** length_penalty
    is_better = score > state.best_score
    previous = tf.pad(state.best_ids, [[0, 0], [0, 1]]) if extend else state.best_ids
    return state._replace(
        best_ids=tf.where(is_better[:, tf.newaxis], ids, previous),
        best_score=tf.where(is_better, score, state.best_score),
        best_log_prob=tf.where(is_better, log_prob, state.best_log_prob),
        best_length=tf.where(is_better, length, state.best_length),
    )
