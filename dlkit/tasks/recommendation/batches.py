"""What a recommender trains on: rows of users as numbers, and the random parts of a batch, drawn from its step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlkit.lazy import tf

if TYPE_CHECKING:
    from dlkit.tasks.recommendation.read_history import ReadHistory

HIDE, PICK, NEGATIVES = range(3)  # what is drawn, each from a stream of its own


WEIGHT = 1000  # of a usual interaction: weights are integers beside the numbers of items


def windows_of(
    reader: ReadHistory, had: tf.Tensor, following: tf.Tensor, pieces: int, weights: tf.Tensor | None = None
) -> tuple[tf.Tensor, ...]:
    """All items of each row, the known ones and then those that followed, in windows.

    Args:
        reader: whose numbers they are.
        had: (rows, any) int32, the known items.
        following: (rows, any) int32, the items that followed.
        pieces: the most windows of a row; what is older is left out.
        weights: (rows, any) int32, what those that followed weigh, if they do not weigh alike.

    Returns:
        (windows, length) int32, the newest item in the last place, and (windows,) int32, the row of each; with
        `weights` those of the items in windows too.
    """
    whole, length = reader.last_of(tf.concat([had, following], 1)), reader.length * pieces
    windows = tf.reshape(reader.newest(whole, length), [-1, reader.length])
    rows = tf.repeat(tf.range(tf.shape(whole)[0]), pieces)
    filled = tf.reduce_any(windows > 0, 1)
    made = tf.boolean_mask(windows, filled), tf.boolean_mask(rows, filled)
    if weights is None:
        return made
    each = reader.newest(whole, length, tf.concat([tf.fill(tf.shape(had), WEIGHT), weights], 1))
    return *made, tf.boolean_mask(tf.reshape(each, [-1, reader.length]), filled)


def liked_ones(following: tf.Tensor, ratings: tf.Tensor, least: float | None) -> tuple[tf.Tensor, tf.Tensor]:
    """What followed without what was not liked, 0 instead, and the ratings of all, NaN for none; both (rows, any).

    Args:
        following: (rows, any) int32, the items.
        ratings: (rows, at most as many) float32.
        least: the lowest rating of what counts as liked; None for all.
    """
    short = tf.shape(following)[1] - tf.shape(ratings)[1]
    ratings = tf.pad(ratings, [[0, 0], [0, tf.maximum(short, 0)]], constant_values=float("nan"))
    return following if least is None else tf.where(ratings < least, 0, following), ratings


def weights_of(ratings: tf.Tensor, usual: float) -> tf.Tensor:
    """What interactions weigh, in thousandths: int32 of ratings in proportion to the usual one; NaN weighs as that."""
    each = tf.where(tf.math.is_nan(ratings), 1.0, ratings / usual)
    return tf.maximum(tf.cast(tf.round(each * WEIGHT), tf.int32), 1)


def first_of(reader: ReadHistory, following: tf.Tensor, values: tf.Tensor | None = None) -> tf.Tensor:
    """The first item of each row, or what the values are there, in the newest place of a history: (rows, length)."""
    values = None if values is None else tf.reverse(values, [1])
    first = reader.newest(tf.reverse(following, [1]), 1, values)
    return tf.pad(first, [[0, 0], [reader.length - 1, 0]])


def shifted(items: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A history without its newest item, and what follows each of its places; both (batch, steps)."""
    before = tf.pad(items[:, :-1], [[0, 0], [1, 0]])
    return before, tf.where(before > 0, items, 0)


def hidden_part(items: tf.Tensor, share: float, seed: int, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A random part of each row's items, at least one: (batch, steps) of those that stay, and of those that hide."""
    draws = _uniform(tf.shape(items), seed, HIDE, step)
    draws = tf.where(items > 0, draws, 2.0)
    first = draws <= tf.reduce_min(draws, 1, keepdims=True)
    hidden = tf.logical_and(items > 0, tf.logical_or(draws < share, first))
    return tf.where(hidden, 0, items), tf.where(hidden, items, 0)


def some_of(
    items: tf.Tensor, weights: tf.Tensor | None, count: int, seed: int, step: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Up to `count` random items of each row, 0 after them, and their weights, if there are any: (batch, count)."""
    items = tf.pad(items, [[0, 0], [0, count]])  # at least so many places
    draws = tf.where(items > 0, _uniform(tf.shape(items), seed, PICK, step), -1.0)
    places = tf.math.top_k(draws, count)[1]
    some = tf.gather(items, places, batch_dims=1)
    if weights is None:
        return some, None
    return some, tf.gather(tf.pad(weights, [[0, 0], [0, count]]), places, batch_dims=1)


def negatives_for(positives: tf.Tensor, count: int, items: int, seed: int, step: tf.Tensor) -> tf.Tensor:
    """One positive of each row, and as many random items as wanted, for every row the same: (batch, batch + count).

    They stand in each row, so that a part of a batch, on a replica, has those of the whole.
    """
    rows = tf.shape(positives)[0]
    draws = tf.random.stateless_uniform([count], _key(seed, NEGATIVES, step), 1, items + 1, tf.int32)
    each = tf.concat([positives[:, 0], draws], 0)
    return tf.broadcast_to(each[tf.newaxis], [rows, (positives.shape[0] or rows) + count])


def _uniform(shape: tf.Tensor, seed: int, stream: int, step: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, _key(seed, stream, step))


def _key(seed: int, stream: int, step: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(seed * 4 + stream, tf.int64), tf.cast(step, tf.int64)])
