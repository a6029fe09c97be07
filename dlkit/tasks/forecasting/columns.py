"""Columns of time series: timestamps, values that may be missing, covariates, and quantiles."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import Column, Text, describe_value, is_missing_number
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.tasks.forecasting.frequency import Frequency, parse_frequency

MIN_VALUES_FOR_SCALE = 3  # observed values, from which on a window is scaled by them alone
FLOAT32_MAX = float(np.finfo(np.float32).max)
_ISO = re.compile(r"(\d{4}-\d{2}(?:-\d{2}(?:[ T]\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)?)?)")
_SLASHED = re.compile(r"\d{4}/\d{2}/\d{2}")
_QUARTER = re.compile(r"(\d{4})-?Q([1-4])")
_ZONED = re.compile(r".*\d:\d.*(Z|[+-]\d{2}(:?\d{2})?)|.*\d{2}T?Z")
_DAY_OR_MONTH_FIRST = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}( .*)?")


@dataclass(frozen=True)
class Timestamps(Column):
    """The timestamps of a series, in any order, in ISO 8601 without a time zone; or integers, without a calendar.

    Texts (`2016-10-01`, `2016-10-01 13:00`, `2016Q4`), dates, datetimes, timestamps of NumPy and pandas, and integers
    are accepted, up to microseconds. Integers are dates where all of them look like 20161001 or 201610. In the graph
    and in requests an empty text is padding, at the end of the list.

    Attributes:
        frequency: The frequency, as `parse_frequency` takes it; "" to infer it.
        wide: Whether a table has one column per series, beside that of the timestamps.
        duplicates: What becomes of several values of one series and timestamp: "mean", "last", or "raise".
        irregular: What becomes of timestamps between the time steps: "raise", or "floor", to the preceding step.
        allow_gaps: Whether time steps may be missing.
        future_covariates, historical_covariates, static_covariates: Names of the columns of covariates.
        trained_frequency: The frequency of a trained model, as `Frequency.as_list` returns it; empty before.
    """

    kind = "list of timestamps"
    frequency: str = ""
    wide: bool = False
    duplicates: str = "mean"
    irregular: str = "raise"
    allow_gaps: bool = True
    future_covariates: tuple[str, ...] = ()
    historical_covariates: tuple[str, ...] = ()
    static_covariates: tuple[str, ...] = ()
    trained_frequency: tuple[int, ...] = ()

    reader = "dlkit.tasks.forecasting.tables"
    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        return encode_timestamps(to_timestamps(value, self.integer_index))

    @property
    def known_frequency(self) -> Frequency | None:
        """The trained or given frequency; None if it is to be inferred. Raises HparamError for a wrong one."""
        if self.trained_frequency:
            return Frequency(*self.trained_frequency)
        return parse_frequency(self.frequency) if self.frequency else None

    @property
    def integer_index(self) -> bool:
        """Whether timestamps are known to be integers without a calendar, whatever dates they look like."""
        return bool(self.known_frequency and self.known_frequency.integer)

    def to_request(self, raw: list[bytes]) -> list[str]:
        return [timestamp.decode() for timestamp in raw]

    def show(self, answer: np.ndarray) -> list[Any]:
        texts = [timestamp.decode() for timestamp in answer]
        integers = all(text.removeprefix("-").isdigit() for text in texts if text)
        return [int(text) if integers and text else text for text in texts]


class Series(Column):
    """The values of a series, one per timestamp; NaN or None where a value is missing."""

    dtype = "float32"
    shape = (None,)
    empty = np.nan
    atol = 1e-3

    def raw(self, value: Any) -> np.ndarray:
        try:
            items = [np.nan if is_missing_number(item) else item for item in value] if _is_listed(value) else value
            with np.errstate(over="ignore"):
                values: np.ndarray = np.asarray(items, self.dtype)
        except (TypeError, ValueError):
            values = np.zeros((), self.dtype)
        if values.ndim != 1 or (np.abs(values) > FLOAT32_MAX).any():
            raise DataError(f"expected a list of numbers, NaN where one is missing. Received: {describe_value(value)}.")
        return values

    def to_request(self, raw: np.ndarray) -> list[float | None]:
        """Return the shortest digits that give the same numbers; null for a missing one, as JSON has no NaN."""
        return [float(str(value)) if np.isfinite(value) else None for value in raw]


class Float64Series(Series):
    """The values of a series in double precision, in which small changes of large values survive."""

    dtype = "float64"


class CategoricalSeries(Column):
    """Categories, one per timestamp, such as the name of a holiday; empty where there is none."""

    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            raise DataError(
                f"expected a list of categories, empty where there is none. Received: {describe_value(value)}."
            )
        return [StaticCovariate().raw(item) for item in value]

    def to_request(self, raw: list[bytes]) -> list[str]:
        return [category.decode() for category in raw]


class Quantiles(Column):
    """The quantiles of a forecast, (horizon, quantiles), in ascending order."""

    dtype = "float32"
    shape = (None, None)
    atol = 1e-3

    def raw(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)


class QuantileLevels(Column):
    """Quantile levels, between 0 and 1."""

    dtype = "float32"
    shape = (None,)

    def raw(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)

    def show(self, answer: np.ndarray) -> list[float]:
        return [float(str(level)) for level in answer]


class StaticCovariate(Text):
    """A static covariate of a series: a number or a category; empty where it is unknown."""

    def raw(self, value: Any) -> bytes:
        if not isinstance(value, (str, bytes)) and is_missing_number(value):
            return b""
        return super().raw(str(value) if isinstance(value, (bool, int, float, np.generic)) else value)


def to_timestamps(values: Any, integer_index: bool = False) -> np.ndarray:
    """Convert values to timestamps.

    Args:
        values: Texts, dates, datetimes or integers.
        integer_index: Whether integers are an index even where they could be dates, such as 20161001 or 201610.

    Returns:
        datetime64[s]; datetime64[us] where one has a fraction of a second; int64 for an integer index.

    Raises:
        DataError: A value is not a timestamp, or has a time zone; says which one, and the remedy.

    Examples:
        >>> to_timestamps(["2024-01", "2024-02"]).astype(str).tolist()
        ['2024-01-01T00:00:00', '2024-02-01T00:00:00']
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
        return array.astype(np.int64) if integer_index else _from_integers(array.astype(np.int64))
    if kind == "U":
        return _from_texts(array.tolist(), integer_index)
    if kind not in "MO" or not all(map(_is_date, array if kind == "O" else ())):
        raise DataError(_describe_invalid(values))
    try:
        timestamps = array.astype("datetime64[us]")
    except (TypeError, ValueError, OverflowError):
        raise DataError(_describe_invalid(values)) from None
    return _drop_fractions(timestamps)


def _from_texts(texts: list[str], integer_index: bool) -> np.ndarray:
    stripped = [text.strip() for text in texts]
    if stripped and all(text.removeprefix("-").isdecimal() for text in stripped):
        numbers = np.array(stripped, np.int64)
        return numbers if integer_index else _from_integers(numbers)
    iso_texts = [_to_iso(text) for text in stripped]
    try:
        if None in iso_texts:
            raise ValueError
        return _drop_fractions(np.array(iso_texts, "datetime64[us]"))
    except ValueError:
        raise DataError(_describe_invalid(texts)) from None


def _to_iso(text: str) -> str | None:
    """Return a text in the form that NumPy parses; None if it is not a date."""
    if _ISO.fullmatch(text):
        return text.replace(" ", "T")
    if _SLASHED.fullmatch(text):
        return text.replace("/", "-")
    quarter = _QUARTER.fullmatch(text)
    return f"{quarter[1]}-{3 * int(quarter[2]) - 2:02}" if quarter else None


def _from_integers(numbers: np.ndarray) -> np.ndarray:
    """Return integers, converted to dates where all of them look like 20161001 or 201610."""
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


def _drop_fractions(timestamps: np.ndarray) -> np.ndarray:
    """Return seconds where no timestamp has a fraction of one, else microseconds."""
    if np.isnat(timestamps).any():
        raise DataError(f"timestamp {int(np.argmax(np.isnat(timestamps)))} is empty. Set it, or remove the row.")
    seconds = timestamps.astype("datetime64[s]")
    return seconds if (seconds == timestamps).all() else timestamps


def _is_date(value: Any) -> bool:
    return isinstance(value, (datetime.date, np.datetime64)) and getattr(value, "tzinfo", None) is None


def _is_listed(value: Any) -> bool:
    """Return whether missing values must be found item by item."""
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")


def encode_timestamps(timestamps: np.ndarray) -> list[bytes]:
    """Return timestamps as the texts that the graph takes."""
    texts = (
        timestamps.astype(str)
        if timestamps.dtype.kind == "i"
        else np.char.replace(np.datetime_as_string(timestamps), "T", " ")
    )
    return [text.encode() for text in texts.tolist()]


def _describe_invalid(values: Any) -> str:
    """Describe the first value that is not a timestamp, or that is of another type than the others."""
    expected = "Expected ISO 8601 without a time zone, such as 2016-10-01 or 2016-10-01 13:00:00, or integers for all."
    for position, value in enumerate(values):
        text = str(value).strip()
        if getattr(value, "tzinfo", None) is not None or _ZONED.fullmatch(text):
            return (
                f"timestamp {position} has a time zone: {describe_value(value)}. Expected timestamps without one, all "
                "of one clock: convert them to local time or to UTC and remove the time zone."
            )
        if isinstance(value, str):
            invalid = not _is_valid_date(_to_iso(text))
        else:
            invalid = isinstance(value, bool) or not (_is_date(value) or isinstance(value, (int, np.integer)))
        if invalid and _DAY_OR_MONTH_FIRST.fullmatch(text):
            return (
                f"timestamp {position} is not valid: {describe_value(value)}: the order of day and month is ambiguous. "
                "Expected ISO 8601, such as 2016-10-01."
            )
        if invalid and not text.removeprefix("-").isdecimal():
            return f"timestamp {position} is not valid: {describe_value(value)}. {expected}"
    digits = [position for position, value in enumerate(values) if str(value).strip().removeprefix("-").isdecimal()]
    if digits:
        return f"timestamp {digits[0]} is not valid among dates: {describe_value(values[digits[0]])}. {expected}"
    return f"the timestamps are of mixed types. {expected}"


def _is_valid_date(text: str | None) -> bool:
    try:
        return text is not None and not np.isnat(np.datetime64(text))
    except ValueError:
        return False
