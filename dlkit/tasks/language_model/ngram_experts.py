"""Next-token probabilities of n-grams of the training text and of repetitions in the window, in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dlkit.lazy import tf
from dlkit.text.kneser_ney import KneserNey

CACHES = 4  # experts of what the window has so far: its recent tokens, and what followed the same 1, 2 and 3 tokens
RECENT_TOKENS = 150.0  # after which a recent token counts 1 / e


class NgramTable(NamedTuple):
    """The n-grams of one order of a `KneserNey` model, sorted by (context, token).

    Attributes:
        keys: (n-grams,) int64, context * vocabulary size + token.
        probabilities: (n-grams,) float32, discounted probability of the token in its context.
        backoff: (contexts,) float32, the weight of the order below.
        log_totals: (contexts,) float32, log(1 + count) of each context.
        starts: (contexts + 1,) int32, the first n-gram of each context.
    """

    keys: tf.Tensor
    probabilities: tf.Tensor
    backoff: tf.Tensor
    log_totals: tf.Tensor
    starts: tf.Tensor


class Experts(NamedTuple):
    """What the experts say of tokens.

    Attributes:
        probabilities: (..., experts) float32, of the next token: those of `num_orders(order)` orders, then of the
            `CACHES`.
        features: (..., `num_features(order)`) float32, how much they know: by order, counts and backoff; by cache,
            counts and whether there are any.
    """

    probabilities: tf.Tensor
    features: tf.Tensor


def num_orders(order: int) -> int:
    """Return the number of experts that are n-gram models: of all orders from 2 to `order`, or of order 1."""
    return max(order - 1, 1)


def num_experts(order: int) -> int:
    """Return the number of experts."""
    return num_orders(order) + CACHES


def num_features(order: int) -> int:
    """Return the number of features, the last `CACHES` of which tell whether a cache has anything."""
    return 2 * order + 2 * CACHES


def make_tables(model: KneserNey) -> list[NgramTable]:
    """Make the tables of a model, one for each order, as arrays."""
    tables = []
    for level in model.levels:
        starts = np.searchsorted(level.keys, np.arange(len(level.backoff) + 1) * model.vocabulary_size)
        tables.append(
            NgramTable(
                level.keys,
                level.probabilities.astype(np.float32),
                level.backoff.astype(np.float32),
                level.log_totals.astype(np.float32),
                starts.astype(np.int32),
            )
        )
    return tables


def score_next(
    tables: Sequence[NgramTable],
    vocabulary_size: int,
    token_ids: tf.Tensor,
    segment_ids: tf.Tensor,
    next_ids: tf.Tensor,
) -> Experts:
    """Compute what the experts say of the token after each token of windows.

    Args:
        tables: of each order.
        vocabulary_size: number of ids.
        token_ids, segment_ids: (windows, tokens) int32; tokens of other segments are not seen.
        next_ids: (windows, tokens) int32, the token after each.

    Returns:
        Experts, of (windows, tokens).
    """
    probability = tf.fill(tf.shape(token_ids), 1.0 / vocabulary_size)
    found, features = [], []
    for table, context in zip(tables, find_contexts(tables, vocabulary_size, token_ids, segment_ids), strict=True):
        index = _look_up(table, vocabulary_size, context, next_ids)
        own = tf.where(index >= 0, tf.gather(table.probabilities, tf.maximum(index, 0)), 0.0)
        backoff, log_total = _describe(table, context)
        probability = own + backoff * probability
        found.append(probability)
        features += [0.3 * log_total, backoff]
    # The token after an earlier token, which is in the window, as its target may be none.
    followers = tf.concat([token_ids[:, 1:], tf.zeros_like(token_ids[:, :1])], 1)
    is_next = tf.cast(followers[:, tf.newaxis] == next_ids[:, :, tf.newaxis], tf.float32)
    sums = []
    for weights in _match_windows(token_ids, segment_ids):
        total = tf.reduce_sum(weights, 2)
        found.append(tf.reduce_sum(weights * is_next, 2) / tf.maximum(total, 1e-6))
        sums.append(total)
    return Experts(tf.stack(found[-num_experts(len(tables)) :], -1), _join_features(features, sums))


def score_all(
    tables: Sequence[NgramTable], vocabulary_size: int, token_ids: tf.Tensor, segment_ids: tf.Tensor
) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor]], list[tuple[tf.Tensor, tf.Tensor]]]:
    """Look up what the experts know of the token after the last token of each row.

    Args:
        tables, vocabulary_size: as of `score_next`.
        token_ids, segment_ids: (rows, tokens) int32, the tokens so far, padded on the left with tokens of segment 0.

    Returns:
        Tuple of the features, (rows, `num_features(order)`), and what `mix_all` takes: the context and backoff of each
        order, (rows,) each; the weight of each token after an earlier one by cache, (rows, tokens - 1), and their sums.
    """
    reach = max(len(tables) - 1, 1)
    contexts = find_contexts(tables, vocabulary_size, token_ids[:, -reach:], segment_ids[:, -reach:])
    orders, features = [], []
    for table, every in zip(tables, contexts, strict=True):
        backoff, log_total = _describe(table, every[:, -1])
        orders.append((every[:, -1], backoff))
        features += [0.3 * log_total, backoff]
    caches = [(weights, tf.reduce_sum(weights, 1)) for weights in _match_last(token_ids, segment_ids)]
    return _join_features(features, [total for _, total in caches]), orders, caches


def mix_all(
    tables: Sequence[NgramTable],
    vocabulary_size: int,
    token_ids: tf.Tensor,
    weights: tf.Tensor,
    orders: Sequence[tuple[tf.Tensor, tf.Tensor]],
    caches: Sequence[tuple[tf.Tensor, tf.Tensor]],
) -> tf.Tensor:
    """Mix the experts' probabilities of all tokens.

    Args:
        tables, vocabulary_size, token_ids: as of `score_all`.
        weights: (rows, experts) float32, of each expert.
        orders, caches: from `score_all`.

    Returns:
        (rows, vocabulary_size) float32; a row sums to the sum of its weights, of experts that know anything.
    """
    rows = tf.shape(token_ids)[0]
    offsets = tf.range(rows) * vocabulary_size
    places, values = list[tf.Tensor](), list[tf.Tensor]()
    below, first = tf.zeros([rows]), len(tables) - num_orders(len(tables))
    for number in reversed(range(1, len(tables))):
        table, (context, backoff) = tables[number], orders[number]
        below += weights[:, number - first]
        known = tf.maximum(context, 0)
        start = tf.gather(table.starts, known)
        stop = tf.where(context >= 0, tf.gather(table.starts, known + 1), start)
        followers = tf.ragged.range(start, stop)
        row, gram = followers.value_rowids(), followers.flat_values
        # The key, less that of token 0 of the context, is the token.
        shift = tf.cast(known, tf.int64) * vocabulary_size - tf.cast(offsets, tf.int64)
        places.append(tf.cast(tf.gather(table.keys, gram) - tf.gather(shift, row), tf.int32))
        values.append(tf.gather(table.probabilities, gram) * tf.gather(below, row))
        below *= backoff
    if not first:
        below += weights[:, 0]
    length = tf.shape(token_ids)[1] - 1
    followers = tf.reshape(token_ids[:, 1:] + offsets[:, tf.newaxis], [-1])
    for number, (matches, total) in enumerate(caches):
        weight = weights[:, num_orders(len(tables)) + number] / tf.maximum(total, 1e-6)
        places.append(followers)
        values.append(tf.reshape(matches * weight[:, tf.newaxis], [rows * length]))
    unigrams = tables[0]  # every token has the same context: a row of the table is a vector
    frequencies = tf.scatter_nd(unigrams.keys[:, tf.newaxis], unigrams.probabilities, [vocabulary_size])
    frequencies += unigrams.backoff[0] / vocabulary_size
    mixed = tf.reshape(below[:, tf.newaxis] * frequencies, [-1])
    mixed = tf.tensor_scatter_nd_add(mixed, tf.concat(places, 0)[:, tf.newaxis], tf.concat(values, 0))
    return tf.reshape(mixed, [rows, vocabulary_size])


def find_contexts(
    tables: Sequence[NgramTable], vocabulary_size: int, token_ids: tf.Tensor, segment_ids: tf.Tensor
) -> list[tf.Tensor]:
    """Find the context of the token after each token: for each order, its index, -1 for an unknown one.

    Args:
        tables, vocabulary_size: as of `score_next`.
        token_ids, segment_ids: (windows, tokens) int32; contexts lie in one segment.

    Returns:
        List of (windows, tokens) int32.
    """
    contexts = [tf.zeros_like(token_ids)]
    no_token = -tf.ones_like(token_ids[:, :1])
    is_same = tf.concat([tf.zeros_like(no_token, tf.bool), segment_ids[:, 1:] == segment_ids[:, :-1]], 1)
    for number, table in enumerate(tables[:-1]):
        before = contexts[-1]
        if number:
            before = tf.where(is_same, tf.concat([no_token, before[:, :-1]], 1), -1)
        contexts.append(_look_up(table, vocabulary_size, before, token_ids))
    return contexts


def _look_up(table: NgramTable, vocabulary_size: int, contexts: tf.Tensor, token_ids: tf.Tensor) -> tf.Tensor:
    """Return the indices of n-grams, int32, -1 where there is none."""
    wanted = tf.cast(contexts, tf.int64) * vocabulary_size + tf.cast(token_ids, tf.int64)
    index = tf.reshape(tf.searchsorted(table.keys, tf.reshape(wanted, [-1])), tf.shape(wanted))
    index = tf.minimum(index, tf.size(table.keys) - 1)
    return tf.where((contexts >= 0) & (tf.gather(table.keys, index) == wanted), index, -1)


def _describe(table: NgramTable, contexts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the backoff and the logarithm of the count of contexts: 1 and 0 for unknown ones."""
    known, index = contexts >= 0, tf.maximum(contexts, 0)
    return (
        tf.where(known, tf.gather(table.backoff, index), 1.0),
        tf.where(known, tf.gather(table.log_totals, index), 0.0),
    )


def _join_features(features: list[tf.Tensor], sums: Sequence[tf.Tensor]) -> tf.Tensor:
    counts = [0.5 * tf.math.log1p(total) for total in sums]
    return tf.stack([*features, *counts, *(tf.cast(total > 0, tf.float32) for total in sums)], -1)


def _match_windows(token_ids: tf.Tensor, segment_ids: tf.Tensor) -> list[tf.Tensor]:
    """Return by cache how much each earlier token of a window is like each token: (windows, tokens, tokens) float32."""
    at = tf.range(tf.shape(token_ids)[1])
    age = at[:, tf.newaxis] - at
    is_same = segment_ids[:, :, tf.newaxis] == segment_ids[:, tf.newaxis]
    is_earlier = is_same & (age > 0)
    is_equal = is_same & (token_ids[:, :, tf.newaxis] == token_ids[:, tf.newaxis])
    recency = tf.exp(-tf.cast(age, tf.float32) / RECENT_TOKENS)
    matches, equal, before = [tf.where(is_earlier, recency, 0.0)], is_earlier & is_equal, is_equal
    for number in range(CACHES - 1):
        if number:
            before = tf.pad(before[:, :-1, :-1], [[0, 0], [1, 0], [1, 0]])
            equal &= before
        matches.append(tf.cast(equal, tf.float32))
    return matches


def _match_last(token_ids: tf.Tensor, segment_ids: tf.Tensor) -> list[tf.Tensor]:
    """Return by cache how much each token but the last is like the last one: (rows, tokens - 1) float32."""
    length = tf.shape(token_ids)[1]
    is_same = segment_ids[:, :-1] == segment_ids[:, -1:]
    age = tf.cast(tf.range(length - 1, 0, -1), tf.float32)
    matches, equal = [tf.where(is_same, tf.exp(-age / RECENT_TOKENS), 0.0)], is_same
    for back in range(CACHES - 1):
        # The token `back` before each, against that before the last; -1 where there is none, or in another segment.
        shifted = tf.pad(token_ids, [[0, 0], [back, 0]], constant_values=-1)[:, :length]
        segments = tf.pad(segment_ids, [[0, 0], [back, 0]], constant_values=-1)[:, :length]
        equal &= (shifted[:, :-1] == shifted[:, -1:]) & (segments[:, :-1] == segment_ids[:, :-1])
        equal &= segments[:, -1:] == segment_ids[:, -1:]
        matches.append(tf.cast(equal, tf.float32))
    return matches
