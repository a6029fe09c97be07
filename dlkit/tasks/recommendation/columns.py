"""Columns of interactions: lists of item ids, and ratings."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.columns import Column, Id, Text, describe_value, is_missing_number
from dlkit.data.label_cells import parse_label_list
from dlkit.errors import DataError


class Items(Column):
    """A list of item ids of any length, the oldest first. The cell of a table holds a list, or ids separated by `|`.

    In the graph and in requests, an empty id is padding, and [""] is an empty list.
    """

    reader = "dlkit.tasks.recommendation.interactions"
    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        if self.optional and not isinstance(value, (str, bytes)) and is_missing_number(value):
            value = self.default or ()  # null in a request
        if isinstance(value, (str, bytes)):
            value = parse_item_ids(Text().raw(value).decode())
        if value is None or isinstance(value, dict) or not hasattr(value, "__iter__"):
            raise DataError(
                f"expected a list of item ids, or a text separated by `|`. Received: {describe_value(value)}."
            )
        return [item for item in map(Id().raw, value) if item] or [b""]

    def to_request(self, raw: list[bytes]) -> list[str]:
        return [item.decode() for item in raw]


def parse_item_ids(text: str) -> list[Any]:
    """Parse item ids separated by `|`, or a list in brackets as written by JSON, Python or NumPy.

    Raises:
        DataError: the text begins with a bracket and is not a list.
    """
    items = parse_label_list(text) if text.lstrip().startswith("[") else None
    return text.split("|") if items is None else items


class Ratings(Column):
    """The ratings of a list of items, in its order; NaN for an item without a rating."""

    dtype = "float32"
    shape = (None,)
    empty = float("nan")
    may_be_empty = True

    def raw(self, value: Any) -> list[float]:
        if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
            raise DataError(f"expected a list of ratings, one per item. Received: {describe_value(value)}.")
        return [float("nan") if is_missing_number(rating) else float(Rating().raw(rating)) for rating in value]


class Rating(Column):
    """A user's rating of an item: a number on the scale of the training data."""

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
