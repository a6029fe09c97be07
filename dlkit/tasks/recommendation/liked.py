"""Which interactions count as liked: what a rating says where items are ranked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.errors import DataError
from dlkit.options import option


def least_rating(ratings: np.ndarray, given: float | None) -> float | None:
    """The lowest rating of an item that counts as liked; None where every interaction does.

    Unless it is given it is the middle of the range, where at least half of the ratings reach it: of play counts and
    the like, most of which are low, all count. Of -1, 0 and 1 it is 1. Without ratings that differ there is none.

    Args:
        ratings: (any,) float, NaN for none.
        given: the hparam `min_rating`.

    Raises:
        DataError: no rating reaches the given one.
    """
    ratings = ratings[np.isfinite(ratings)]
    if not len(ratings):
        return None
    low, high = float(ratings.min()), float(ratings.max())
    if given is not None:
        if high < given:
            raise DataError(
                f"{option('min_rating')} {given:g} leaves no positive interaction: ratings range from {low:g} "
                f"to {high:g}."
            )
        return given
    if low == high:
        return None
    if high == 1 and low <= 0 and set(np.unique(ratings).tolist()) <= {-1.0, 0.0, 1.0}:
        return 1.0
    middle = (low + high) / 2
    return middle if np.mean(ratings >= middle) >= 0.5 else None


def liked(ratings: np.ndarray, least: float | None) -> np.ndarray:
    """(any,) bool: which interactions count as liked; those without a rating do."""
    return np.ones(len(ratings), bool) if least is None else ~(ratings < least)


def mean_rating(ratings: np.ndarray, least: float | None) -> float:
    """The mean of the liked ones' ratings, by which weights are divided.

    Raises:
        DataError: a rating of them is not above 0.
    """
    counted = ratings[np.isfinite(ratings) & liked(ratings, least)]
    if len(counted) and counted.min() <= 0:
        raise DataError(
            f"{option('rating_weights')} needs positive interactions with ratings above 0. Received: "
            f"{counted.min():g}. Add a number to all ratings, or set {option('min_rating')} above 0."
        )
    return float(counted.mean()) if len(counted) else 1.0


def weights_of(ratings: np.ndarray, mean: float | None) -> np.ndarray:
    """(any,) float32: ratings over their mean, 1 for those without; all 1 where there is no mean."""
    return np.ones(len(ratings), np.float32) if mean is None else np.nan_to_num(ratings / mean, nan=1.0)


def how_ratings_count(ratings: np.ndarray, least: float | None, *, weighted: bool) -> str:
    """A remark on what ratings are taken for."""
    there = ratings[np.isfinite(ratings)]
    low, high = there.min(), there.max()
    named = f"all ratings are {low:g}" if low == high else f"ratings from {low:g} to {high:g}"
    rest = (
        "all have equal weight"
        if not weighted
        else f"interactions are weighted by their ratings ({option('rating_weights')})"
    )
    few = 0 if least is None else int(np.sum(there < least))
    if not few:
        return (
            f"{named}: {rest}"
            if weighted
            else f"{named}: all have equal weight, as interactions ({option('min_rating')})"
        )
    cut = (
        f"{few} of {len(ratings)} interactions are rated below {least:g} and count as seen, not as positive "
        f"({option('min_rating')})"
    )
    return f"{named}: {cut}" + (f"; the other {rest}" if weighted else "")


def all_ratings(column: Any) -> np.ndarray:
    """(any,) float32, the ratings of all rows of a column of lists."""
    flat = getattr(column, "flat", None)  # spares a walk over millions of lists
    if flat is not None:
        return np.asarray(flat(), np.float32)
    return np.concatenate([np.zeros(0, np.float32), *(np.asarray(row, np.float32) for row in column)])


def ratings_of(ratings: Sequence[float], items: int, where: str) -> np.ndarray:
    """(items,) float32, the ratings of a row's items, NaN for those without. Raises DataError for another number."""
    if not len(ratings):
        return np.full(items, np.nan, np.float32)
    if len(ratings) != items:
        raise DataError(f"{where}: {items} items in `next` and {len(ratings)} ratings. Give one rating per item.")
    return np.asarray(ratings, np.float32)
