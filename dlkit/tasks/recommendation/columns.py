"""Columns of interactions: lists of items, and ratings."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.columns import Column, Id, Text, describe_value, is_missing_number
from dlkit.data.label_cells import parse_label_list
from dlkit.errors import DataError


class Items(Column):
    """Ids of items, any number of them, the oldest first. A table's cell holds them joined by `|`, or as a list.

    In the graph and in requests an empty id is no item: lists are padded with it, and no item at all is [""].
    """

    reader = "dlkit.tasks.recommendation.interactions"
    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        if self.optional and not isinstance(value, (str, bytes)) and is_missing_number(value):
            value = self.default or ()  # null in a request
        if isinstance(value, (str, bytes)):
            value = ids_in(Text().raw(value).decode())
        if value is None or isinstance(value, dict) or not hasattr(value, "__iter__"):
            raise DataError(
                f"expected a list of item ids, or a text separated by `|`. Received: {describe_value(value)}."
            )
        return [item for item in map(Id().raw, value) if item] or [b""]

    def to_request(self, raw: list[bytes]) -> list[str]:
        return [item.decode() for item in raw]


def ids_in(text: str) -> list[Any]:
    """The ids of a text: joined by `|`, or in brackets, as JSON, Python and NumPy write a list. Raises DataError."""
    items = parse_label_list(text) if text.lstrip().startswith("[") else None
    return text.split("|") if items is None else items


class Ratings(Column):
    """The ratings of a list of items, in its order; NaN for an item without one."""

    dtype = "float32"
    shape = (None,)
    empty = float("nan")
    may_be_empty = True

    def raw(self, value: Any) -> list[float]:
        if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
            raise DataError(f"expected a list of ratings, one per item. Received: {describe_value(value)}.")
        return [float("nan") if is_missing_number(rating) else float(Rating().raw(rating)) for rating in value]


class Rating(Column):
    """How much a user likes an item: a number in the units of the training data."""

    dtype = "float32"
    atol = 1e-4

    def raw(self, value: Any) -> np.float32:
        try:
            number = np.float32(value)
        except (TypeError, ValueError):
            number = np.float32("nan")
        if not np.isfinite(number):
            raise DataError(f"expected a rating (a finite number). Received: {describe_value(value)}.")
        return number
