"""Tables with a row for each series and timestamp, or a column for each series, as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlkit.columns import Column, Id, Text, Timestamp, comma_hint, is_missing_number
from dlkit.data.header import header_of
from dlkit.data.read_chunks import read_chunks
from dlkit.data.read_options import ReadOptions
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.tasks.forecasting.columns import Stamps, stamps_of


class OptionalNumber(Column):
    """A number, or an empty cell for a missing one."""

    dtype = "float64"

    def raw(self, value: Any) -> np.float64:
        if is_missing_number(value):
            return np.float64("nan")
        try:
            number = np.float64(value)
        except (TypeError, ValueError):
            number = np.float64("inf")
        if np.isinf(number):
            raise DataError(f"expected a finite number, or an empty cell. Received: {value!r}.{comma_hint(value)}")
        return number


class Ids:
    """Ids of series in the order in which they come, as the table has them: texts or integers."""

    def __init__(self) -> None:
        self.known: list[Any] = []
        self._places: dict[Any, int] = {}  # of each cell that came; 3 and "3" are one

    def place(self, cell: Any) -> int:
        """The place of a cell's id among those known, to which a new one is added."""
        place = self._places.get(cell)
        if place is None:
            text = Id().raw(cell).decode()
            place = self._places.setdefault(text, len(self.known))
            if place == len(self.known):
                self.known.append(text if cell is None or isinstance(cell, (str, bytes)) else int(cell))
            self._places[cell] = place
        return place


@dataclass
class Long:
    """A long table as arrays, in its own order: series as places in `ids`, timestamps, numbers by name, texts by name.

    A covariate that is a category is among the numbers, as a place in the names that `categories` holds for it. `bad`
    says of a series, by its place, which of its cells cannot be read.
    """

    source: str
    ids: list[Any]
    code: np.ndarray
    stamps: np.ndarray
    numbers: dict[str, np.ndarray]
    texts: dict[str, list[np.ndarray]] = field(default_factory=dict)
    categories: dict[str, np.ndarray] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)

    def cell(self, name: str, row: int) -> Any:
        """A covariate's value in a row: a number, NaN for a missing one, or a name, "" for none."""
        value, names = self.numbers[name][row], self.categories.get(name)
        return float(value) if names is None else names[int(value)] if np.isfinite(value) else ""


def read_long(source: Any, stamps: Stamps, how: ReadOptions, answering: bool = False) -> Long:
    """A table with a row for each series and stamp; files a part at a time. Args, errors: as of `read_series`.

    Where histories are to be answered, a cell that cannot be read costs its series alone.
    """
    covariates = (*stamps.known, *stamps.past)
    wanted: dict[str, Column] = {"unique_id": Id(optional=True), "ds": Timestamp(), "y": OptionalNumber(optional=True)}
    wanted |= {name: OptionalNumber(optional=True) for name in covariates}
    wanted |= {name: Text(optional=True) for name in stamps.static if name != "unique_id"}
    for name in how.rename:
        if name not in wanted:
            raise DataError(f"there is no column {name!r} to rename. There are: {', '.join(wanted)}.")
    return _read_columns(source, wanted, covariates, stamps, how, answering)


def read_future(source: Any, stamps: Stamps, how: ReadOptions) -> Long:
    """A table of `unique_id`, `ds` and the covariates that are known ahead alone. Args, errors: as of `read_series`."""
    wanted: dict[str, Column] = {"unique_id": Id(optional=True), "ds": Timestamp()}
    wanted |= {name: OptionalNumber(optional=True) for name in stamps.known}
    rename = {name: theirs for name, theirs in how.rename.items() if name in wanted}
    return _read_columns(source, wanted, stamps.known, stamps, dataclasses.replace(how, rename=rename))


def _read_columns(
    source: Any,
    wanted: dict[str, Column],
    covariates: Sequence[str],
    stamps: Stamps,
    how: ReadOptions,
    answering: bool = False,
) -> Long:
    ids, bad = Ids(), dict[int, str]()
    texts: dict[str, dict[Any, int]] = {name: {} for name in wanted if isinstance(wanted[name], Text)}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    categories: dict[str, dict[str, int]] = {}
    shown = ""
    remarks = list[str]()
    for table in read_chunks(source, wanted, how):
        shown = table.source
        remarks += table.remarks
        missing = [name for name in wanted if name not in table.columns and name != "unique_id"]
        if missing:
            raise DataError(
                f"{shown} has no column {missing[0]!r}. Expected a long table with the columns {', '.join(wanted)}; "
                f"for a wide table, one column per series, set {option('wide', True)}. Map it with "
                f"{option('columns', {missing[0]: 'NAME'})}."
            )
        for name in covariates:
            if _is_category(table.columns[name]):
                categories.setdefault(name, {})
        if answering:
            numbers = [name for name, of in wanted.items() if isinstance(of, OptionalNumber) and name not in categories]
            table = _without_bad_cells(table, numbers, stamps.counts, ids, bad)
            if not len(table):
                continue
        names = table.columns.get("unique_id", [""] * len(table))
        parts["unique_id"].append(np.array([*map(ids.place, names)], np.int32))
        parts["ds"].append(_stamps(table, stamps.counts))
        for name, column in wanted.items():
            if name in categories:
                parts[name].append(_codes(table.columns[name], categories[name]))
            elif isinstance(column, OptionalNumber):
                parts[name].append(_numbers(table, name))
            elif name in texts:
                known = texts[name]
                cells = (str(cell) for cell in table.columns[name])
                parts[name].append(np.array([known.setdefault(cell, len(known)) for cell in cells], np.int32))
    if not ids.known:
        raise DataError(f"{shown or source} has no rows. Expected at least one timestamp of one series.")
    if not parts["ds"]:
        raise DataError(bad[0])
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    made = Long(shown, ids.known, joined["unique_id"], joined["ds"], {}, remarks=remarks, bad=bad)
    for name in wanted:
        if isinstance(wanted[name], OptionalNumber):
            made.numbers[name] = joined[name]
        elif name in texts:
            made.texts[name] = [joined[name], np.array(list(texts[name]), object)]
    made.categories = {name: np.array(list(names) or [""], object) for name, names in categories.items()}
    return made


def _without_bad_cells(table: Table, numbers: Sequence[str], counts: bool, ids: Ids, bad: dict[int, str]) -> Table:
    """The rows whose timestamps and numbers can be read; of a series with others, what is wrong with the first."""
    try:
        _stamps(table, counts)
        for name in numbers:
            _numbers(table, name)
        return table
    except DataError:
        good = []
        for row in range(len(table)):
            one = table.take([row])
            try:
                _stamps(one, counts)
                for name in numbers:
                    _numbers(one, name)
                good.append(row)
            except DataError as error:
                bad.setdefault(ids.place(one.row(0).get("unique_id", "")), str(error))
        return table.take(good)


def _is_category(cells: Any) -> bool:
    """Whether a column of a covariate holds names: fewer than half of those that are no missing ones are numbers."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iufb":
        return False
    given = [cell for cell in cells if isinstance(cell, (str, bytes)) and not is_missing_number(cell)]
    return bool(given) and 2 * sum(map(_is_number, given)) < len(given)


def _is_number(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return bool(comma_hint(text))  # meant as one: it is to be refused
    return True


def _codes(cells: Any, names: dict[str, int]) -> np.ndarray:
    """Cells as places in names, which grow by those that are new; NaN for an empty cell."""
    texts = ("" if is_missing_number(cell) else str(cell).strip() for cell in cells)
    return np.array([names.setdefault(text, len(names)) if text else np.nan for text in texts], np.float64)


def read_wide(source: Any, stamps: Stamps, how: ReadOptions) -> Long:
    """A table with a column for each series beside that of the stamps. Args, errors: as of `read_series`."""
    if stamps.known or stamps.past or stamps.static:
        raise DataError(
            "a wide table cannot have covariates: its columns are series. Use a long table, `unique_id, ds, y`."
        )
    key = how.rename.get("ds", "ds")
    header = header_of(source, how)
    if not header:
        raise DataError("a wide table must be a csv, tsv or parquet file, a DataFrame or a dict of columns.")
    names = [name for name in header if name != key]
    if not names:
        raise DataError(f"the wide table has no series columns besides {key!r}.")
    wanted: dict[str, Column] = {"ds": Timestamp(), **{name: OptionalNumber(optional=True) for name in names}}
    how = dataclasses.replace(how, rename={"ds": key} if key != "ds" else {})
    tables = list(read_chunks(source, wanted, how))
    at = np.concatenate([_stamps(table, stamps.counts) for table in tables])
    values = [np.concatenate([_numbers(table, name) for table in tables]) for name in names]
    code = np.repeat(np.arange(len(names), dtype=np.int32), len(at))
    remarks = [remark for table in tables for remark in table.remarks]
    made = {"y": np.concatenate(values)}
    return Long(tables[0].source, names, code, np.tile(at, len(names)), made, remarks=remarks)


def _stamps(table: Table, counts: bool) -> np.ndarray:
    cells = table.columns["ds"]
    try:
        return stamps_of(np.asarray(cells) if isinstance(cells, list) and isinstance(cells[0], str) else cells, counts)
    except DataError:
        for row, cell in enumerate(cells):
            try:
                stamps_of([cell], counts)
            except DataError as error:
                raise DataError(f"{table.where(row)}, column 'ds': {error}") from error
        raise


def _numbers(table: Table, name: str) -> np.ndarray:
    cells = table.columns[name]
    try:
        values = np.asarray(cells, np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        values = np.array([np.inf])
    if np.isinf(values).any():  # the column says which one, or knows what pandas has for a missing one
        return np.array(table.raw_column(name, OptionalNumber()), np.float64)
    return values
