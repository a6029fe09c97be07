"""Columns of time series: stamps, and values that may be missing."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import Column, Text, describe_value, is_missing_number
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.tasks.forecasting.frequency import Step, parse_frequency

FEW = 3  # values, from which on a window is scaled by them alone
LARGEST = float(np.finfo(np.float32).max)
_ISO = re.compile(r"(\d{4}-\d{2}(?:-\d{2}(?:[ T]\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)?)?)")
_SLASHED = re.compile(r"\d{4}/\d{2}/\d{2}")
_QUARTER = re.compile(r"(\d{4})-?Q([1-4])")
_ZONED = re.compile(r".*\d:\d.*(Z|[+-]\d{2}(:?\d{2})?)|.*\d{2}T?Z")
_DAY_OR_MONTH_FIRST = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}( .*)?")


@dataclass(frozen=True)
class Stamps(Column):
    """The timestamps of a series, in any order, in ISO 8601 without a time zone; or whole numbers, which count steps.

    Accepts texts (`2016-10-01`, `2016-10-01 13:00`, `2016Q4`), dates, datetimes, NumPy's and pandas' timestamps, and
    integers; of these 20161001 and 201610, where all are such, are dates. To the microsecond. In the graph and in
    requests an empty text is no timestamp: lists are padded with it at the end.

    Attributes:
        frequency: the step between two stamps, as `parse_frequency` takes it; "" to infer it.
        wide: whether a table has a column for each series, beside that of the stamps.
        duplicates: what a table's rows of one series and stamp become: "mean", "last", or "refuse".
        off_grid: what becomes of a table's stamps between the steps: "refuse", or "floor", to the step before.
        gaps: whether a table may lack steps.
        known, past, static: names of a table's columns of covariates: known ahead, known up to now, of a series.
        trained: the step of a model that is trained, as `Step.as_list` gives it; empty before.
    """

    kind = "list of timestamps"
    frequency: str = ""
    wide: bool = False
    duplicates: str = "mean"
    off_grid: str = "refuse"
    gaps: bool = True
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    trained: tuple[int, ...] = ()

    reader = "dlkit.tasks.forecasting.tables"
    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        return stamp_texts(stamps_of(value, self.counts))

    @property
    def step(self) -> Step | None:
        """The step between two timestamps where it is known. Raises HparamError for a frequency that is none."""
        if any(self.trained):
            return Step(*self.trained)
        return parse_frequency(self.frequency) if self.frequency else None

    @property
    def counts(self) -> bool:
        """Whether timestamps are known to be whole numbers that count steps, whatever dates they look like."""
        return bool(self.step and self.step.whole)

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
            listed = [np.nan if is_missing_number(item) else item for item in value] if _is_listed(value) else value
            with np.errstate(over="ignore"):
                values: np.ndarray = np.asarray(listed, self.dtype)
        except (TypeError, ValueError):
            values = np.zeros((), self.dtype)
        if values.ndim != 1 or (np.abs(values) > LARGEST).any():
            raise DataError(f"expected a list of numbers, NaN where one is missing. Received: {describe_value(value)}.")
        return values

    def to_request(self, raw: np.ndarray) -> list[float | None]:
        """The shortest digits that give the same numbers; null for one that is missing, as JSON has no NaN."""
        return [float(str(value)) if np.isfinite(value) else None for value in raw]


class Series(Values):
    """The values of a series, one for each timestamp; NaN or None where one is missing. In double precision: of large
    values it is the small differences that count."""

    dtype = "float64"


class Categories(Column):
    """Names, one for each timestamp, such as that of a holiday; empty where there is none."""

    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            raise DataError(f"expected a list of names, empty where there is none. Received: {describe_value(value)}.")
        return [Static().raw(item) for item in value]

    def to_request(self, raw: list[bytes]) -> list[str]:
        return [name.decode() for name in raw]


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
        if not isinstance(value, (str, bytes)) and is_missing_number(value):
            return b""
        return super().raw(str(value) if isinstance(value, (bool, int, float, np.generic)) else value)


def stamps_of(values: Any, counts: bool = False) -> np.ndarray:
    """Timestamps as datetime64[s], as datetime64[us] where one has a fraction of a second, or, where they count steps,
    as int64.

    Args:
        values: texts, dates, datetimes or whole numbers.
        counts: whether whole numbers count steps although they could be dates, as 20161001 and 201610 are.

    Raises:
        DataError: one is no timestamp, or has a time zone; says which, and the cure.
    """
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
        raise DataError(f"expected a list of timestamps. Received: {describe_value(values)}.")
    if not isinstance(values, np.ndarray):
        values = list(values)
        if any(isinstance(value, bytes) for value in values[:1]):
            values = [value.decode("utf-8", "replace") for value in values]
    array = np.asarray(values)
    kind = array.dtype.kind
    if kind in "iu":
        return array.astype(np.int64) if counts else _of_numbers(array.astype(np.int64))
    if kind == "U":
        return _of_texts(array.tolist(), counts)
    if kind not in "MO" or not all(map(_is_date, array if kind == "O" else ())):
        raise DataError(_refusal(values))
    try:
        made = array.astype("datetime64[us]")
    except (TypeError, ValueError, OverflowError):
        raise DataError(_refusal(values)) from None
    return _shortest(made)


def _of_texts(texts: list[str], counts: bool) -> np.ndarray:
    written = [text.strip() for text in texts]
    if written and all(text.removeprefix("-").isdecimal() for text in written):
        numbers = np.array(written, np.int64)
        return numbers if counts else _of_numbers(numbers)
    forms = [_iso(text) for text in written]
    try:
        if None in forms:
            raise ValueError
        return _shortest(np.array(forms, "datetime64[us]"))
    except ValueError:
        raise DataError(_refusal(texts)) from None


def _iso(text: str) -> str | None:
    """A text as NumPy reads dates; None for what is none."""
    if _ISO.fullmatch(text):
        return text.replace(" ", "T")
    if _SLASHED.fullmatch(text):
        return text.replace("/", "-")
    quarter = _QUARTER.fullmatch(text)
    return f"{quarter[1]}-{3 * int(quarter[2]) - 2:02}" if quarter else None


def _of_numbers(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers; as dates where all are written as dates are, 20161001 or 201610."""
    for form, lowest, highest, size in (("YYYYMMDD", 16000101, 22001231, 100), ("YYYYMM", 190001, 210012, 1)):
        if not len(numbers) or numbers.min() < lowest or numbers.max() > highest:
            continue
        year, month, day = numbers // (100 * size), numbers // size % 100, numbers % size + (size == 1)
        months = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + np.clip(month, 1, 12) - 1
        days = months.astype("datetime64[D]") + day - 1
        valid = (month >= 1) & (month <= 12) & (days.astype("datetime64[M]") == months)
        if valid.all():
            return days.astype("datetime64[s]")
        if valid.mean() > 0.5:
            first = int(np.argmin(valid))
            raise DataError(
                f"timestamp {first}, {numbers[first]}, is not a date, but others look like {form}. Correct it; if "
                f"the numbers are step indices, set {option('frequency')}, as 1."
            )
    return numbers


def _shortest(stamps: np.ndarray) -> np.ndarray:
    if np.isnat(stamps).any():
        raise DataError(f"timestamp {int(np.argmax(np.isnat(stamps)))} is empty. Set it, or remove the row.")
    seconds = stamps.astype("datetime64[s]")
    return seconds if (seconds == stamps).all() else stamps


def _is_date(value: Any) -> bool:
    return isinstance(value, (datetime.date, np.datetime64)) and getattr(value, "tzinfo", None) is None


def _is_listed(value: Any) -> bool:
    """Whether what is missing in a list must be looked for item by item."""
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")


def stamp_texts(stamps: np.ndarray) -> list[bytes]:
    """Timestamps as the graph takes them."""
    texts = stamps.astype(str) if stamps.dtype.kind == "i" else np.char.replace(np.datetime_as_string(stamps), "T", " ")
    return [text.encode() for text in texts.tolist()]


def _refusal(values: Any) -> str:
    """What is wrong with the first that is no timestamp, or that is of another kind than the others."""
    expected = (
        "Expected ISO 8601 without a time zone, such as 2016-10-01 or 2016-10-01 13:00:00, or whole numbers for all."
    )
    for place, value in enumerate(values):
        text = str(value).strip()
        if getattr(value, "tzinfo", None) is not None or _ZONED.fullmatch(text):
            return (
                f"timestamp {place} has a time zone: {describe_value(value)}. Expected timestamps without one, all of one "
                "clock: convert them to local time or to UTC and remove the time zone."
            )
        if isinstance(value, str):
            wrong = not _is_real(_iso(text))
        else:
            wrong = isinstance(value, bool) or not (_is_date(value) or isinstance(value, (int, np.integer)))
        if wrong and _DAY_OR_MONTH_FIRST.fullmatch(text):
            return (
                f"timestamp {place} is not valid: {describe_value(value)}: the order of day and month is ambiguous. "
                "Expected ISO 8601, such as 2016-10-01."
            )
        if wrong and not text.removeprefix("-").isdecimal():
            return f"timestamp {place} is not valid: {describe_value(value)}. {expected}"
    digits = [place for place, value in enumerate(values) if str(value).strip().removeprefix("-").isdecimal()]
    if digits:
        return f"timestamp {digits[0]} is not valid among dates: {describe_value(values[digits[0]])}. {expected}"
    return f"the timestamps are of mixed types. {expected}"


def _is_real(text: str | None) -> bool:
    try:
        return text is not None and not np.isnat(np.datetime64(text))
    except ValueError:
        return False
