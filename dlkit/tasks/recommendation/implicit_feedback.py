"""Conversion of explicit ratings to implicit feedback: positive interactions and their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.errors import DataError
from dlkit.options import option


def find_min_rating(ratings: np.ndarray, min_rating: float | None) -> float | None:
    """Return the minimum rating of a positive interaction, or None if every interaction is positive.

    Unless it is given, it is the midpoint of the rating scale if at least half of the ratings reach it. Otherwise, as
    for play counts, most of which are low, every interaction is positive. If the only ratings are -1, 0 and 1, it is 1.
    If all ratings are equal, there is none.

    Args:
        ratings: (any,) float, NaN where there is no rating.
        min_rating: value of the option `min_rating`.

    Raises:
        DataError: no rating reaches `min_rating`.
    """
    ratings = ratings[np.isfinite(ratings)]
    if not len(ratings):
        return None
    low, high = float(ratings.min()), float(ratings.max())
    if min_rating is not None:
        if high < min_rating:
            raise DataError(
                f"{option('min_rating')} {min_rating:g} leaves no positive interaction: ratings range from {low:g} "
                f"to {high:g}."
            )
        return min_rating
    if low == high:
        return None
    if high == 1 and low <= 0 and set(np.unique(ratings).tolist()) <= {-1.0, 0.0, 1.0}:
        return 1.0
    midpoint = (low + high) / 2
    return midpoint if np.mean(ratings >= midpoint) >= 0.5 else None


def is_positive(ratings: np.ndarray, min_rating: float | None) -> np.ndarray:
    """Return which interactions are positive, (any,) bool; those without a rating are."""
    return np.ones(len(ratings), bool) if min_rating is None else ~(ratings < min_rating)


def compute_mean_rating(ratings: np.ndarray, min_rating: float | None) -> float:
    """Compute the mean rating of the positive interactions, by which weights are normalized.

    Args:
        ratings: (any,) float, NaN where there is no rating.
        min_rating: minimum rating of a positive interaction; None if every interaction is positive.

    Raises:
        DataError: a positive interaction has a rating of 0 or less.
    """
    positive = ratings[np.isfinite(ratings) & is_positive(ratings, min_rating)]
    if len(positive) and positive.min() <= 0:
        raise DataError(
            f"{option('rating_weights')} needs positive interactions with ratings above 0. Received: "
            f"{positive.min():g}. Add a number to all ratings, or set {option('min_rating')} above 0."
        )
    return float(positive.mean()) if len(positive) else 1.0


def compute_weights(ratings: np.ndarray, mean_rating: float | None) -> np.ndarray:
    """Compute the weights of interactions, (any,) float32: rating / mean rating, and 1 without a rating.

    All weights are 1 if `mean_rating` is None.
    """
    if mean_rating is None:
        return np.ones(len(ratings), np.float32)
    return np.nan_to_num(ratings / mean_rating, nan=1.0)


def describe_ratings(ratings: np.ndarray, min_rating: float | None, *, weighted: bool) -> str:
    """Describe for the data report how ratings are used.

    Args:
        ratings: (any,) float, NaN where there is no rating, with at least one rating.
        min_rating: minimum rating of a positive interaction; None if every interaction is positive.
        weighted: whether interactions are weighted by their ratings.
    """
    rated = ratings[np.isfinite(ratings)]
    low, high = rated.min(), rated.max()
    scale = f"all ratings are {low:g}" if low == high else f"ratings from {low:g} to {high:g}"
    weights = (
        "all have equal weight"
        if not weighted
        else f"interactions are weighted by their ratings ({option('rating_weights')})"
    )
    num_disliked = 0 if min_rating is None else int(np.sum(rated < min_rating))
    if not num_disliked:
        return (
            f"{scale}: {weights}"
            if weighted
            else f"{scale}: all have equal weight, as interactions ({option('min_rating')})"
        )
    disliked = (
        f"{num_disliked} of {len(ratings)} interactions are rated below {min_rating:g} and count as seen, not as "
        f"positive ({option('min_rating')})"
    )
    return f"{scale}: {disliked}" + (f"; the other {weights}" if weighted else "")


def flatten_ratings(column: Any) -> np.ndarray:
    """Return the ratings of all rows of a column of lists, (any,) float32."""
    flat = getattr(column, "flat", None)  # avoids a loop over millions of lists
    if flat is not None:
        return np.asarray(flat(), np.float32)
    return np.concatenate([np.zeros(0, np.float32), *(np.asarray(row, np.float32) for row in column)])


def align_ratings(ratings: Sequence[float], num_items: int, where: str) -> np.ndarray:
    """Return one rating per target item of a row, (num_items,) float32, NaN where there is no rating.

    Args:
        ratings: the ratings of the row; may be empty.
        num_items: number of target items of the row.
        where: location of the row, for error messages.

    Raises:
        DataError: the number of ratings differs from the number of items.
    """
    if not len(ratings):
        return np.full(num_items, np.nan, np.float32)
    if len(ratings) != num_items:
        raise DataError(
            f"{where}: {num_items} items in `target_items` and {len(ratings)} in `target_ratings`. Give one rating per "
            "item."
        )
    return np.asarray(ratings, np.float32)
