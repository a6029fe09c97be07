"""Columns of time series: stamps, and values that may be missing."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import Column, Text, describe
from dlkit.errors import DataError


@dataclass(frozen=True)
class Stamps(Column):
    """The stamps of a series, in any order, in ISO 8601 without a time zone; or whole numbers, which count steps.

    Accepts texts (`2016-10-01`, `2016-10-01 13:00`), dates, datetimes, NumPy's and pandas' stamps, and integers. To the
    second. In the graph and in requests an empty text is no stamp: lists are padded with it at the end.

    Attributes:
        frequency: the step between two stamps, as `parse_frequency` takes it; "" to infer it.
        wide: whether a table has a column for each series, beside that of the stamps.
        duplicates: what a table's rows of one series and stamp become: "mean", "last", or "refuse".
        off_grid: what becomes of a table's stamps between the steps: "refuse", or "floor", to the step before.
        gaps: whether a table may lack steps.
        known, past, static: names of a table's columns of covariates: known ahead, known up to now, of a series.
    """

    frequency: str = ""
    wide: bool = False
    duplicates: str = "mean"
    off_grid: str = "refuse"
    gaps: bool = True
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    reader = "dlkit.tasks.forecasting.tables"
    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        return stamp_texts(stamps_of(value))

    def to_request(self, raw: list[bytes]) -> list[str]:
        return [stamp.decode() for stamp in raw]

    def show(self, answer: np.ndarray) -> list[Any]:
        shown = [stamp.decode() for stamp in answer]
        whole = all(stamp.removeprefix("-").isdigit() for stamp in shown if stamp)
        return [int(stamp) if whole and stamp else stamp for stamp in shown]


class Values(Column):
    """The values of a series, one for each stamp; NaN or None where one is missing."""

    dtype = "float32"
    shape = (None,)
    empty = np.nan
    atol = 1e-3

    def raw(self, value: Any) -> np.ndarray:
        try:
            values: np.ndarray = np.asarray(value, np.float32)  # None becomes NaN
        except (TypeError, ValueError):
            values = np.zeros((), np.float32)
        if values.ndim != 1 or np.isinf(values).any():
            raise DataError(f"expected a list of numbers, NaN where one is missing. Received: {describe(value)}.")
        return values

    def to_request(self, raw: np.ndarray) -> list[float]:
        return [float(str(value)) for value in raw]  # the shortest digits that give the same number


class Fans(Column):
    """Quantiles, lowest first, of each step of a forecast."""

    dtype = "float32"
    shape = (None, None)
    atol = 1e-3

    def raw(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)


class Levels(Column):
    """The levels of quantiles, between 0 and 1."""

    dtype = "float32"
    shape = (None,)

    def raw(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)

    def show(self, answer: np.ndarray) -> list[float]:
        return [float(str(level)) for level in answer]


class Static(Text):
    """What does not change in a series: a number or a name; empty where it is not known."""

    def raw(self, value: Any) -> bytes:
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return b""
        return super().raw(str(value) if isinstance(value, (bool, int, float, np.generic)) else value)


def stamps_of(values: Any) -> np.ndarray:
    """Stamps as datetime64[s], or, where they count steps, as int64.

    Raises:
        DataError: one is no stamp, or has a time zone; says which.
    """
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
        raise DataError(f"expected a list of stamps. Received: {describe(values)}.")
    if not isinstance(values, np.ndarray):
        values = list(values)
        if any(isinstance(value, bytes) for value in values[:1]):
            values = [value.decode("utf-8", "replace") for value in values]
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    try:
        if array.dtype.kind == "U":  # digits alone count steps
            digits = np.char.isdigit(np.char.lstrip(array, "-"))
            if len(array) and digits.all():
                return array.astype(np.int64)
            if digits.any() or any(len(text) < 7 for text in array.tolist()):  # "2021", "NaT"
                raise ValueError
        elif array.dtype.kind not in "MO":
            raise ValueError
        made = _zoneless(array).astype("datetime64[s]")
    except (TypeError, ValueError):
        raise DataError(_refusal(values)) from None
    if np.isnat(made).any():
        raise DataError(f"stamp {int(np.argmax(np.isnat(made)))} is empty. Fill it, or leave the row out.")
    return made


def stamp_texts(stamps: np.ndarray) -> list[bytes]:
    """Stamps as the graph takes them."""
    texts = stamps.astype(str) if stamps.dtype.kind == "i" else np.char.replace(np.datetime_as_string(stamps), "T", " ")
    return [text.encode() for text in texts.tolist()]


def _zoneless(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "U":
        if any(text.endswith("Z") or "+" in text for text in array[:1].tolist()):
            raise ValueError
        return np.char.replace(np.char.strip(array), " ", "T").astype("datetime64[s]")
    if array.dtype.kind == "O":
        for value in array:
            if not isinstance(value, (datetime.date, np.datetime64)) or getattr(value, "tzinfo", None) is not None:
                raise ValueError
    return array


def _refusal(values: Any) -> str:
    for place, value in enumerate(values):
        try:
            first = _zoneless(np.asarray([value])).astype("datetime64[s]")
            if first.dtype.kind == "M" and not isinstance(value, (int, float)) and len(str(value)) >= 7:
                continue
        except (TypeError, ValueError):
            pass
        return (
            f"stamp {place} is none: {describe(value)}. Expected ISO 8601 without a time zone, as 2016-10-01 or "
            "2016-10-01 13:00:00, or whole numbers for all."
        )
    return "the stamps are of several kinds. Expected ISO 8601 without a time zone for all, or whole numbers for all."
