"""Training examples of a recommender: windows of user histories, and the random parts of a batch.

Random numbers depend on the seed and on the number of the training step only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.lazy import tf

if TYPE_CHECKING:
    from dlkit.tasks.recommendation.history_lookup import HistoryLookup

MASK_STREAM, POSITIVE_STREAM, NEGATIVE_STREAM = range(3)  # independent streams of random numbers
UNIT_WEIGHT = 1000  # weights are stored as integers, in thousandths, next to the item numbers


def split_into_windows(
    lookup: HistoryLookup,
    history: tf.Tensor,
    target_items: tf.Tensor,
    windows_per_row: int,
    weights: tf.Tensor | None = None,
) -> tuple[tf.Tensor, ...]:
    """Split all items of each row, the history followed by the target items, into windows.

    Args:
        lookup: the layer that numbers the items.
        history: (rows, any) int32, the items known so far, the oldest first.
        target_items: (rows, any) int32, the items that follow.
        windows_per_row: maximum number of windows per row; older items are dropped.
        weights: (rows, any) int32, weights of the target items in thousandths, or None for equal weights.

    Returns:
        (windows, history_length) int32, the newest item last and padded with 0 on the left, and (windows,) int32, the
        row of each window; with `weights` also the weights of the items, of the shape of the windows.
    """
    items = lookup.keep_last_occurrences(tf.concat([history, target_items], 1))
    length = lookup.history_length * windows_per_row
    windows = tf.reshape(lookup.take_newest(items, length), [-1, lookup.history_length])
    rows = tf.repeat(tf.range(tf.shape(items)[0]), windows_per_row)
    filled = tf.reduce_any(windows > 0, 1)
    result = tf.boolean_mask(windows, filled), tf.boolean_mask(rows, filled)
    if weights is None:
        return result
    all_weights = tf.concat([tf.fill(tf.shape(history), UNIT_WEIGHT), weights], 1)
    window_weights = lookup.take_newest(items, length, all_weights)
    return *result, tf.boolean_mask(tf.reshape(window_weights, [-1, lookup.history_length]), filled)


def mask_disliked(target_items: tf.Tensor, ratings: tf.Tensor, min_rating: float | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Replace target items rated below `min_rating` with 0, and pad the ratings with NaN to one per item.

    Args:
        target_items: (rows, any) int32.
        ratings: (rows, at most as many) float32.
        min_rating: minimum rating of a positive interaction; None if every interaction is positive.

    Returns:
        Items and ratings, both of the shape of `target_items`.
    """
    missing = tf.shape(target_items)[1] - tf.shape(ratings)[1]
    ratings = tf.pad(ratings, [[0, 0], [0, tf.maximum(missing, 0)]], constant_values=float("nan"))
    items = target_items if min_rating is None else tf.where(ratings < min_rating, 0, target_items)
    return items, ratings


def quantize_weights(ratings: tf.Tensor, mean_rating: float) -> tf.Tensor:
    """Convert ratings to weights, rating / mean rating, in thousandths: int32, at least 1, and 1000 for NaN."""
    weights = tf.where(tf.math.is_nan(ratings), 1.0, ratings / mean_rating)
    return tf.maximum(tf.cast(tf.round(weights * UNIT_WEIGHT), tf.int32), 1)


def take_first_target(lookup: HistoryLookup, target_items: tf.Tensor, values: tf.Tensor | None = None) -> tf.Tensor:
    """Return the first target item of each row, or its value, at the last step: (rows, history_length) int32."""
    values = None if values is None else tf.reverse(values, [1])
    first = lookup.take_newest(tf.reverse(target_items, [1]), 1, values)
    return tf.pad(first, [[0, 0], [lookup.history_length - 1, 0]])


def shift_by_one(items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return inputs and targets of next-item prediction, (batch, steps) each: the target is the item that follows."""
    inputs = tf.pad(items[:, :-1], [[0, 0], [1, 0]])
    return inputs, tf.where(inputs > 0, items, 0)


def mask_items(items: tf.Tensor, mask_rate: float, seed: int, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mask random items of each row, at least one.

    Args:
        items: (batch, steps) int32, 0 for padding.
        mask_rate: fraction of the items that is masked.
        seed: random seed.
        step: number of the training step.

    Returns:
        The items that remain and the masked ones, (batch, steps) int32 each, 0 elsewhere.
    """
    draws = _uniform(tf.shape(items), seed, MASK_STREAM, step)
    draws = tf.where(items > 0, draws, 2.0)
    smallest = draws <= tf.reduce_min(draws, 1, keepdims=True)
    masked = tf.logical_and(items > 0, tf.logical_or(draws < mask_rate, smallest))
    return tf.where(masked, 0, items), tf.where(masked, items, 0)


def sample_positives(
    items: tf.Tensor, weights: tf.Tensor | None, num_positives: int, seed: int, step: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Sample up to `num_positives` items of each row without replacement, padded with 0, and their weights, if any.

    Args:
        items: (batch, steps) int32, 0 for padding.
        weights: (batch, steps) int32, or None.
        num_positives: number of items per row.
        seed: random seed.
        step: number of the training step.

    Returns:
        (batch, num_positives) int32 each.
    """
    items = tf.pad(items, [[0, 0], [0, num_positives]])  # at least `num_positives` columns
    draws = tf.where(items > 0, _uniform(tf.shape(items), seed, POSITIVE_STREAM, step), -1.0)
    columns = tf.math.top_k(draws, num_positives)[1]
    positives = tf.gather(items, columns, batch_dims=1)
    if weights is None:
        return positives, None
    return positives, tf.gather(tf.pad(weights, [[0, 0], [0, num_positives]]), columns, batch_dims=1)


def sample_negatives(positives: tf.Tensor, num_negatives: int, num_items: int, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Sample negative items, shared by all rows: one positive item of each row, and uniformly drawn items.

    They are repeated in each row, so that each replica of a distribution strategy has those of the whole batch.

    Args:
        positives: (batch, num_positives) int32.
        num_negatives: number of uniformly drawn items.
        num_items: number of items to draw from.
        seed: random seed.
        step: number of the training step.

    Returns:
        (batch, batch + num_negatives) int32.
    """
    rows = tf.shape(positives)[0]
    draws = tf.random.stateless_uniform([num_negatives], _key(seed, NEGATIVE_STREAM, step), 1, num_items + 1, tf.int32)
    negatives = tf.concat([positives[:, 0], draws], 0)
    return tf.broadcast_to(negatives[tf.newaxis], [rows, (positives.shape[0] or rows) + num_negatives])


def _uniform(shape: tf.Tensor, seed: int, stream: int, step: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, _key(seed, stream, step))


def _key(seed: int, stream: int, step: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed * 4 + stream, tf.int64), tf.cast(step, tf.int64)])
