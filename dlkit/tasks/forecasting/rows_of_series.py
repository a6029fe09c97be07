"""Tables with one row per series, whose cells are lists, as long tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dlkit.columns import Column, is_missing_number
from dlkit.data.memory import as_sequence, named_values
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.tasks.forecasting.columns import (
    CategoricalSeries,
    Float64Series,
    StaticCovariate,
    Timestamps,
    to_timestamps,
)
from dlkit.tasks.forecasting.long_tables import LongTable, encode_categories, has_categories

_SOURCE = "the rows of series"


def read_rows_of_series(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table | None:
    """Return rows of series as they are, if the source holds such. Raises DataError if columns are missing."""
    values = named_values(source)
    if values is None:
        return None
    key = rename.get("ds", "ds")
    if key not in values or not len(values[key]) or np.ndim(as_sequence(values[key], "ds")[0]) == 0:
        return None
    missing = [
        name for name in columns if name not in ("unique_id", "future_y") and rename.get(name, name) not in values
    ]
    if missing:
        raise DataError(f"series need the columns {', '.join(columns)}. There is no {missing[0]!r}.")
    names = dict.fromkeys([*columns, "unique_id"])
    found = {
        name: as_sequence(values[rename.get(name, name)], name) for name in names if rename.get(name, name) in values
    }
    count = len(found["ds"])
    if any(len(column) != count for column in found.values()):
        listed = ", ".join(f"{name}: {len(column)}" for name, column in found.items())
        raise DataError(f"rows of series: the columns must have the same length. Received: {listed}.")
    ids = found.setdefault("unique_id", [""] * count)
    found["future_y"] = [[] if _is_missing(cell) else cell for cell in found.get("future_y", [None] * count)]
    return Table(
        _SOURCE,
        {name: found[name] for name in dict.fromkeys([*names, "future_y"])},
        lambda row: f"{_SOURCE}, index {row}" + (f", series {str(ids[row])!r}" if ids[row] else ""),
    )


def _is_missing(cell: Any) -> bool:
    return not hasattr(cell, "__iter__") and is_missing_number(cell)


def to_long_table(table: Table, column: Timestamps) -> LongTable:
    """Convert rows of series to a long table, each series of which is a row, whatever its id.

    The values of `future_y`, and those of covariates after the last timestamp, are `LongTable.ahead`.

    Args:
        table: As `read_rows_of_series` returns it.
        column: The column of the timestamps, which knows the names of the covariates.

    Raises:
        DataError: A cell cannot be read, or the number of its values does not fit that of the timestamps; names the
            row.
    """
    timestamps = _read_timestamps(table, column.integer_index)
    counts = [len(ds) for ds in timestamps]
    read = {name: table.raw_column(name, Float64Series()) for name in ("y", "future_y")}
    categories: dict[str, dict[str, int]] = {}
    for name in (*column.historical_covariates, *column.future_covariates):
        if has_categories(_iter_cells(table.columns[name])):
            categories[name] = {}
            found = ([text.decode() for text in row] for row in table.raw_column(name, CategoricalSeries()))
            read[name] = [encode_categories(row, categories[name]) for row in found]
        else:
            read[name] = table.raw_column(name, Float64Series())
    for row, ds in enumerate(timestamps):
        _check_lengths(table.where(row), ds, {name: len(values[row]) for name, values in read.items()}, column)
    future_y = read.pop("future_y")
    series_index = np.repeat(np.arange(len(table), dtype=np.int32), counts)
    numbers = {name: np.concatenate([v[:n] for v, n in zip(of, counts, strict=True)]) for name, of in read.items()}
    long = LongTable(table.source, list(table.columns["unique_id"]), series_index, np.concatenate(timestamps), numbers)
    long.ahead = {name: [v[n:] for v, n in zip(of, counts, strict=True)] for name, of in read.items()}
    long.ahead["y"] = future_y
    long.categories = {name: np.array(list(indices) or [""], object) for name, indices in categories.items()}
    long.labels = [table.where(row).removeprefix(f"{table.source}, ") for row in range(len(table))]
    for name in column.static_covariates:
        if name != "unique_id":
            texts = [text.decode() for text in table.raw_column(name, StaticCovariate())]
            long.texts[name] = [series_index, np.array(texts, object)]
    return long


def _iter_cells(lists: Any) -> Iterator[Any]:
    """Return the values of all lists that may hold texts."""
    return itertools.chain.from_iterable(
        values
        for values in lists
        if hasattr(values, "__iter__") and not (isinstance(values, np.ndarray) and values.dtype.kind in "iufb")
    )


def _read_timestamps(table: Table, integer_index: bool) -> list[np.ndarray]:
    """Return the timestamps of each row, all of one type."""
    read = list[np.ndarray]()
    for row, cells in enumerate(table.columns["ds"]):
        try:
            empty = hasattr(cells, "__len__") and not len(cells)
            read.append(np.empty(0, np.int64) if empty else to_timestamps(cells, integer_index))
        except DataError as error:
            raise DataError(f"{table.where(row)}, column 'ds': {error}") from error
    filled = [row for row, timestamps in enumerate(read) if len(timestamps)]
    if not filled:
        raise DataError(f"{table.source} have no timestamps in the column 'ds'. Expected at least one of one series.")
    first = read[filled[0]]
    for row in filled:
        if read[row].dtype.kind != first.dtype.kind:
            kinds = ("an integer", "a date") if read[row].dtype.kind == "i" else ("a date", "an integer")
            raise DataError(
                f"{table.where(row)}, column 'ds': the timestamp {read[row][0]} is {kinds[0]}, but {first[0]} in "
                f"{table.where(filled[0])} is {kinds[1]}. Use one type for all; if they are step indices that look "
                f"like dates in some rows, set {option('frequency')}, as 1."
            )
    return [timestamps if len(timestamps) else first[:0] for timestamps in read]


def _check_lengths(place: str, ds: np.ndarray, lengths: Mapping[str, int], column: Timestamps) -> None:
    """Raise DataError if the number of values of a column does not fit the timestamps of a row."""
    count, ahead = len(ds), lengths["future_y"]
    if ahead and not count:
        raise DataError(
            f"{place}: 'future_y' has {ahead} values, but 'ds' has no timestamp that they follow. Give the history, or "
            "remove the row."
        )
    limits = {"y": count, **dict.fromkeys(column.historical_covariates, count + ahead)}
    for name, length in lengths.items():
        if name == "future_y" or count <= length <= limits.get(name, length):
            continue
        last = f", the last {ds.max()}" if count else ""
        cure = "Give one value for each timestamp, null where it is missing"
        if name in column.future_covariates:
            cure += ", and those of the steps after the last one"
        if length + ahead == count > length:
            cure = "Remove the timestamps of 'future_y': 'ds' ends at the cutoff"
        raise DataError(f"{place}: {name!r} has {length} values, but 'ds' has {count} timestamps{last}. {cure}.")
