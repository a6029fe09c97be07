"""What kind a column of a table is, from its values."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import is_missing_number
from dlkit.data.bytes import cell_text
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tabular.columns import format_date

MOSTLY = 0.9  # share of numbers from which the other cells of a column are suspected to be mistakes
MIN_TEXT_WORDS = 4.0  # mean number of words from which distinct cells are free text
MIN_TEXT_DISTINCT = 0.5  # share of distinct cells, of free text
_BOOLEANS = frozenset({"true", "false", "yes", "no", "t", "f", "y", "n"})


@dataclass
class FoundKind:
    """The kind of a column.

    Attributes:
        kind: a key of `dlkit.tabular.columns.CELLS`.
        missing: number of missing cells.
        distinct: number of distinct values.
        strays: rows whose cells are no numbers, in a column of categories most of whose cells are.
    """

    kind: str
    missing: int
    distinct: int
    strays: Sequence[int] = ()

    def __str__(self) -> str:
        counted = f", {self.distinct} values" if self.kind == "category" else ""
        return self.kind + counted + (f", {self.missing} missing" if self.missing else "")


def find_kinds(table: Table, names: Iterable[str], declared: Mapping[str, str]) -> dict[str, FoundKind]:
    """Find the kind of each column of a table.

    Args:
        table: the training rows, with cells as they were read.
        names: the columns.
        declared: the kind of some columns, which their values must have.

    Raises:
        DataError: a value is not of the declared kind; names its row.
    """
    found = {name: find_kind(table.columns[name]) for name in names}
    for name, kind in declared.items():
        if name in found:
            found[name].kind, found[name].strays = kind, ()
    return found


def find_kind(values: Sequence[Any]) -> FoundKind:
    """Find the kind of a column.

    Booleans are columns of true and false, yes and no, or t and f; 0 and 1 are numbers. A column in which any cell is
    no number has categories, or free text if most of its cells are distinct and consist of several words.

    Examples:
        >>> find_kind(["1", "2.5", "", "NA", "inf"]).kind, find_kind(["7", "8", "nine"]).kind
        ('number', 'category')
        >>> find_kind(["2024-02-29", None]).kind, find_kind([True, False, None]).kind
        ('date', 'boolean')
    """
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "fiu":
        missing = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
        return FoundKind("number", missing, len(np.unique(values)) - bool(missing))
    present = [row for row, value in enumerate(values) if not is_missing_number(value)]
    cells = [values[row] for row in present]
    empty = len(values) - len(cells)
    if not cells:
        return FoundKind("category", empty, 0)
    numeric = [_holds(float, cell) for cell in cells]
    if all(isinstance(cell, (bool, np.bool_)) or _text(cell).lower() in _BOOLEANS for cell in cells):
        return FoundKind("boolean", empty, len({_text(cell).lower() for cell in cells}))
    distinct = len({*map(_text, cells)})
    if all(numeric):
        return FoundKind("number", empty, distinct)
    if all(_holds(format_date, cell) for cell in cells):
        return FoundKind("date", empty, distinct)
    # Words such as "none" and "-" are missing numbers, but categories like others.
    empty = sum(1 for value in values if (not isinstance(value, str) or not value.strip()) and is_missing_number(value))
    words = np.mean([len(_text(cell).split()) for cell in cells])
    if words >= MIN_TEXT_WORDS and distinct >= MIN_TEXT_DISTINCT * len(cells):
        return FoundKind("text", empty, distinct)
    strays = [row for row, is_number in zip(present, numeric, strict=True) if not is_number]
    return FoundKind("category", empty, distinct, strays if len(strays) < (1 - MOSTLY) * len(cells) else ())


def _text(cell: Any) -> str:
    return cell_text(cell).strip() if isinstance(cell, (str, bytes)) else str(cell)


def _holds(convert: Callable[[Any], Any], cell: Any) -> bool:
    """Return whether a cell can be converted. Dates are no numbers, whatever NumPy makes of them."""
    if convert is float and isinstance(cell, (datetime.date, np.datetime64, bool, np.bool_)):
        return isinstance(cell, (bool, np.bool_))
    try:
        convert(_text(cell) if isinstance(cell, (str, bytes)) else cell)
    except (DataError, TypeError, ValueError):
        return False
    return True
