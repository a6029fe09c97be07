"""The cells of a table: numbers, categories, booleans, dates and free text, any of which can be missing."""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

import numpy as np

from dlkit.columns import Column, Text, comma_hint, describe_value, is_missing_number, parse_bool
from dlkit.data.bytes import cell_text
from dlkit.errors import DataError
from dlkit.synthetic import synthetic


class Cell(Column):
    """A cell of a column whose kind is not known before the training data is read."""

    may_be_empty = True
    may_be_missing = True

    def raw(self, value: Any) -> Any:
        return CategoryCell().raw(value)


class NumberCell(Cell):
    """A number; NaN if it is missing. Infinities are numbers, beyond all others."""

    kind = "number"
    dtype = "float32"
    absent: ClassVar[float] = np.nan

    def raw(self, value: Any) -> np.float32:
        if is_missing_number(value):
            return np.float32(np.nan)
        try:
            with np.errstate(over="ignore"):
                number = np.asarray(float(cell_text(value)) if isinstance(value, (str, bytes)) else value, np.float32)
        except (TypeError, ValueError):
            number = None
        if isinstance(value, (datetime.date, np.datetime64)):  # which NumPy would convert
            number = None
        if number is None or number.ndim:
            raise DataError(f"expected a number. Received: {describe_value(value)}.{comma_hint(value)}")
        return np.float32(number)

    def to_request(self, raw: Any) -> float | str | None:
        """Convert a number to strict JSON: null if it is missing, and a text if it is infinite."""
        number = float(raw)
        return None if np.isnan(number) else number if np.isfinite(number) else str(number)


class CategoryCell(Cell):
    """A category, as a text; empty if it is missing. Integers and booleans become their decimal or lower-case names."""

    kind = "category"
    absent: ClassVar[str] = ""

    def raw(self, value: Any) -> bytes:
        if isinstance(value, (str, bytes)):
            return Text().raw(value.strip())
        if is_missing_number(value):
            return b""
        if isinstance(value, (bool, np.bool_)):
            return str(bool(value)).lower().encode()
        if isinstance(value, (float, np.floating)) and float(value).is_integer():  # an integer beside missing cells
            value = int(value)
        if isinstance(value, (int, float, np.number)):
            return str(value).encode()
        if isinstance(value, (datetime.date, np.datetime64)):
            return DateCell().raw(value)
        raise DataError(f"expected a category (a text or a number). Received: {describe_value(value)}.")


class BooleanCell(CategoryCell):
    """A truth value, as `true` or `false`; empty if it is missing."""

    kind = "boolean"

    def raw(self, value: Any) -> bytes:
        return b"" if is_missing_number(value) else str(parse_bool(value)).lower().encode()


class DateCell(CategoryCell):
    """A date, or a date with a time, in ISO 8601 without a time zone; empty if it is missing."""

    kind = "date"

    def raw(self, value: Any) -> bytes:
        return b"" if is_missing_number(value) else format_date(value).encode()


class TextCell(Text):
    """Free text; empty if it is missing."""

    kind = "text"
    may_be_missing = True
    absent: ClassVar[str] = ""

    def raw(self, value: Any) -> bytes:
        if not isinstance(value, (str, bytes)) and is_missing_number(value):
            return b""
        return super().raw(value)


class Weight(Column):
    """The weight of a row in training, at least 0."""

    dtype = "float32"

    def raw(self, value: Any) -> np.float32:
        if value is None:  # the column is not there
            return np.float32(1.0)
        weight = NumberCell().raw(value)
        if not 0 <= weight < np.inf:
            raise DataError(f"expected a weight, a number of at least 0. Received: {describe_value(value)}.")
        return weight


CELLS: dict[str, type[Column]] = {
    cell.kind: cell for cell in (NumberCell, CategoryCell, BooleanCell, DateCell, TextCell)
}
"""The column class of each kind of column."""


def format_date(value: Any) -> str:
    """Return a date as `YYYY-MM-DD`, or `YYYY-MM-DDTHH:MM:SS` if it has a time. Time zones are converted to UTC.

    Raises:
        DataError: it is not a date.

    Examples:
        >>> format_date("2024-02-29 12:30+02:00"), format_date("2024-02-29")
        ('2024-02-29T10:30:00', '2024-02-29')
    """
    try:
        if isinstance(value, np.datetime64):
            whole = np.datetime_data(value.dtype)[0] in ("Y", "M", "W", "D")
            value = value.astype("datetime64[D]" if whole else "datetime64[us]").item()
        if isinstance(value, (str, bytes)):
            text = cell_text(value).strip()
            value = datetime.date.fromisoformat(text) if len(text) == 10 else datetime.datetime.fromisoformat(text)
        if isinstance(value, datetime.datetime):
            if value.tzinfo:
                value = value.astimezone(datetime.UTC).replace(tzinfo=None)
            return value.isoformat(timespec="seconds")
        if isinstance(value, datetime.date):
            return value.isoformat()
    except (ValueError, OverflowError):  # the latter at the first and the last day of the calendar
        pass
    raise DataError(
        f"expected a date such as 2024-02-29 or 2024-02-29T12:30:00 (ISO 8601). Received: {describe_value(value)}."
    )


@synthetic.register
def _(column: CategoryCell, number: int) -> str:
    return f"category {number + 1}"


@synthetic.register
def _(column: BooleanCell, number: int) -> bool:
    return number % 2 == 0


@synthetic.register
def _(column: DateCell, number: int) -> str:
    return f"2024-{number % 12 + 1:02}-01"
