"""Long tables, with one row for each series and timestamp, and wide tables, with one column per series, as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
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
from dlkit.tasks.forecasting.columns import Timestamps, to_timestamps


class OptionalNumber(Column):
    """A number, or an empty cell where it is missing."""

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


class SeriesIds:
    """The ids of series, texts or integers as the table has them, in the order of their first row."""

    def __init__(self) -> None:
        self.ids: list[Any] = []
        self._indices: dict[Any, int] = {}  # by cell; 3 and "3" are one id

    def get_index(self, cell: Any) -> int:
        """Return the index of a cell's id in `ids`, to which a new one is appended."""
        index = self._indices.get(cell)
        if index is None:
            text = Id().raw(cell).decode()
            index = self._indices.setdefault(text, len(self.ids))
            if index == len(self.ids):
                self.ids.append(text if cell is None or isinstance(cell, (str, bytes)) else int(cell))
            self._indices[cell] = index
        return index


@dataclass
class LongTable:
    """A long table as arrays, in the order of its rows.

    Attributes:
        source: Name of the table, for messages.
        ids: Ids of the series.
        series_index: (rows,) int32, index in `ids` of each row.
        timestamps: (rows,) datetime64 or int64.
        numbers: Numeric columns by name, float64; of a categorical covariate the index in its `categories`.
        texts: Static covariates by name: (rows,) indices, and the texts that they stand for.
        categories: Categories of each categorical covariate.
        remarks: Remarks of the reader.
        errors: For a series, by its index, which of its cells cannot be read.
        labels: Names of the series in messages; by default their ids.
        ahead: For each series the values of the time steps after its last timestamp, which have no timestamps of their
            own: those of `y` follow a cutoff, and those of covariates are encoded as in `numbers`.
    """

    source: str
    ids: list[Any]
    series_index: np.ndarray
    timestamps: np.ndarray
    numbers: dict[str, np.ndarray]
    texts: dict[str, list[np.ndarray]] = field(default_factory=dict)
    categories: dict[str, np.ndarray] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    ahead: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def get_label(self, index: int) -> str:
        """Return the name of a series in messages that name the table."""
        return self.labels[index] if self.labels else f"series {str(self.ids[index])!r}"

    def get_ahead(self, name: str, index: int) -> np.ndarray:
        """Return a column's values after the last timestamp of a series; none in most tables."""
        return self.ahead[name][index] if name in self.ahead else np.empty(0)

    def get_cell(self, name: str, row: int) -> Any:
        """Return a covariate's value in a row: a number, NaN for a missing one, or a category, "" for none."""
        value, categories = self.numbers[name][row], self.categories.get(name)
        if categories is None:
            return float(value)
        return categories[int(value)] if np.isfinite(value) else ""


def read_long_table(source: Any, column: Timestamps, how: ReadOptions, skip_errors: bool = False) -> LongTable:
    """Read a table with one row for each series and timestamp; files a part at a time.

    Args:
        source, how: See `dlkit.tasks.forecasting.tables.read_series`.
        column: The column of the timestamps, which knows the names of the covariates.
        skip_errors: Whether a cell that cannot be read is an entry of `errors`, and not an exception.

    Raises:
        DataError: A column is missing, or a cell cannot be read.
    """
    covariates = (*column.future_covariates, *column.historical_covariates)
    wanted: dict[str, Column] = {"unique_id": Id(optional=True), "ds": Timestamp(), "y": OptionalNumber(optional=True)}
    wanted |= {name: OptionalNumber(optional=True) for name in covariates}
    wanted |= {name: Text(optional=True) for name in column.static_covariates if name != "unique_id"}
    for name in how.rename:
        if name not in wanted:
            raise DataError(f"there is no column {name!r} to rename. There are: {', '.join(wanted)}.")
    return _read_columns(source, wanted, covariates, column, how, skip_errors)


def read_future_table(source: Any, column: Timestamps, how: ReadOptions) -> LongTable:
    """Read a table of `unique_id`, `ds` and the future covariates. Args and errors: see `read_long_table`."""
    wanted: dict[str, Column] = {"unique_id": Id(optional=True), "ds": Timestamp()}
    wanted |= {name: OptionalNumber(optional=True) for name in column.future_covariates}
    rename = {name: renamed for name, renamed in how.rename.items() if name in wanted}
    how = dataclasses.replace(how, rename=rename)
    return _read_columns(source, wanted, column.future_covariates, column, how)


def _read_columns(
    source: Any,
    wanted: dict[str, Column],
    covariates: Sequence[str],
    column: Timestamps,
    how: ReadOptions,
    skip_errors: bool = False,
) -> LongTable:
    ids, errors = SeriesIds(), dict[int, str]()
    texts: dict[str, dict[Any, int]] = {name: {} for name in wanted if isinstance(wanted[name], Text)}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    categories: dict[str, dict[str, int]] = {}
    source_name = ""
    remarks = list[str]()
    for table in read_chunks(source, wanted, how):
        source_name = table.source
        remarks += table.remarks
        missing = [name for name in wanted if name not in table.columns and name != "unique_id"]
        if missing:
            raise DataError(
                f"{source_name} has no column {missing[0]!r}. Expected a long table with the columns "
                f"{', '.join(wanted)}; for a wide table, one column per series, set {option('wide', True)}. Map the "
                f"column with {option('columns', {missing[0]: 'NAME'})}."
            )
        for name in covariates:
            if name not in categories and _is_category(table.columns[name]):
                if any(np.isfinite(part).any() for part in parts[name]):
                    raise DataError(
                        f"{table.where(0)}: from here on, most values of the covariate {name!r} are texts, and before "
                        "they are numbers. Expected numbers, or categories, in all rows. Received: "
                        f"{next(cell for cell in table.columns[name] if not _is_number(str(cell)))!r}."
                    )
                categories[name] = {}
        if skip_errors:
            numeric = [name for name, kind in wanted.items() if isinstance(kind, OptionalNumber)]
            numeric = [name for name in numeric if name not in categories]
            table = _drop_unreadable_rows(table, numeric, column.integer_index, ids, errors)
            if not len(table):
                continue
        cells = table.columns.get("unique_id", [""] * len(table))
        parts["unique_id"].append(np.array([*map(ids.get_index, cells)], np.int32))
        parts["ds"].append(_read_timestamps(table, column.integer_index))
        for name, kind in wanted.items():
            if name in categories:
                parts[name].append(encode_categories(table.columns[name], categories[name]))
            elif isinstance(kind, OptionalNumber):
                parts[name].append(_read_numbers(table, name))
            elif name in texts:
                indices = texts[name]
                parts[name].append(
                    np.array([indices.setdefault(str(cell), len(indices)) for cell in table.columns[name]], np.int32)
                )
    if not ids.ids:
        raise DataError(f"{source_name or source} has no rows. Expected at least one timestamp of one series.")
    if not parts["ds"]:
        raise DataError(errors[0])
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    long = LongTable(source_name, ids.ids, joined["unique_id"], joined["ds"], {}, remarks=remarks, errors=errors)
    for name in wanted:
        if isinstance(wanted[name], OptionalNumber):
            long.numbers[name] = joined[name]
        elif name in texts:
            long.texts[name] = [joined[name], np.array(list(texts[name]), object)]
    long.categories = {name: np.array(list(indices) or [""], object) for name, indices in categories.items()}
    return long


def _drop_unreadable_rows(
    table: Table, numeric: Sequence[str], integer_index: bool, ids: SeriesIds, errors: dict[int, str]
) -> Table:
    """Drop rows whose timestamp or numbers cannot be read; the first error of each series is added to `errors`."""
    try:
        _read_timestamps(table, integer_index)
        for name in numeric:
            _read_numbers(table, name)
        return table
    except DataError:
        readable = []
        for row in range(len(table)):
            one = table.take([row])
            try:
                _read_timestamps(one, integer_index)
                for name in numeric:
                    _read_numbers(one, name)
                readable.append(row)
            except DataError as error:
                errors.setdefault(ids.get_index(one.row(0).get("unique_id", "")), str(error))
        return table.take(readable)


def _is_category(cells: Any) -> bool:
    """Return whether a covariate is categorical: fewer than half of its cells that are not empty are numbers."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iufb":
        return False
    texts = [cell for cell in cells if isinstance(cell, (str, bytes)) and not is_missing_number(cell)]
    return bool(texts) and 2 * sum(map(_is_number, texts)) < len(texts)


def has_categories(cells: Iterable[Any]) -> bool:
    """Return whether any of the cells is a text that is not empty and not a number."""
    texts = (cell for cell in cells if isinstance(cell, (str, bytes)) and not is_missing_number(cell))
    return not all(map(_is_number, texts))


def _is_number(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return bool(comma_hint(text))  # with a decimal comma: an error later on
    return True


def encode_categories(cells: Any, indices: dict[str, int]) -> np.ndarray:
    """Return the index of each cell's category, NaN for an empty cell; new categories are added to `indices`."""
    texts = ("" if is_missing_number(cell) else str(cell).strip() for cell in cells)
    return np.array([indices.setdefault(text, len(indices)) if text else np.nan for text in texts], np.float64)


def read_wide_table(source: Any, column: Timestamps, how: ReadOptions) -> LongTable:
    """Read a table with one column per series beside that of the timestamps. Args and errors: see `read_long_table`."""
    if column.future_covariates or column.historical_covariates or column.static_covariates:
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
    timestamps = np.concatenate([_read_timestamps(table, column.integer_index) for table in tables])
    values = [np.concatenate([_read_numbers(table, name) for table in tables]) for name in names]
    series_index = np.repeat(np.arange(len(names), dtype=np.int32), len(timestamps))
    remarks = [remark for table in tables for remark in table.remarks]
    numbers = {"y": np.concatenate(values)}
    tiled = np.tile(timestamps, len(names))
    return LongTable(tables[0].source, names, series_index, tiled, numbers, remarks=remarks)


def _read_timestamps(table: Table, integer_index: bool) -> np.ndarray:
    cells = table.columns["ds"]
    try:
        values = np.asarray(cells) if isinstance(cells, list) and isinstance(cells[0], str) else cells
        return to_timestamps(values, integer_index)
    except DataError:
        for row, cell in enumerate(cells):
            try:
                to_timestamps([cell], integer_index)
            except DataError as error:
                raise DataError(f"{table.where(row)}, column 'ds': {error}") from error
        raise


def _read_numbers(table: Table, name: str) -> np.ndarray:
    cells = table.columns[name]
    try:
        values = np.asarray(cells, np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        values = np.array([np.inf])
    if np.isinf(values).any():  # the column names the cell, and knows the missing values of pandas
        return np.array(table.raw_column(name, OptionalNumber()), np.float64)
    return values
