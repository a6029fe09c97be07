"""Tables of time series, a row for each series and stamp or a column for each series, as arrays."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column, Id, Stamp, Text
from dlkit.columns_series import Stamps, stamps_of
from dlkit.data.in_parts import read_in_parts
from dlkit.data.table import Table
from dlkit.errors import DataError


class Number(Column):
    """A number, or an empty cell for a missing one."""

    dtype = "float64"

    def raw(self, value: Any) -> np.float64:
        text = value.strip() if isinstance(value, (str, bytes)) else value
        if text is None or text in ("", b"") or type(value).__name__ in ("NAType", "NaTType"):
            return np.float64("nan")
        try:
            number = np.float64(text)
        except (TypeError, ValueError):
            number = np.float64("inf")
        if np.isinf(number):
            raise DataError(f"expected a finite number, or nothing. Received: {value!r}.")
        return number


@dataclass
class Long:
    """A long table as arrays, in its own order: series as places in `ids`, stamps, numbers by name, texts by name."""

    source: str
    ids: list[Any]
    code: np.ndarray
    stamps: np.ndarray
    numbers: dict[str, np.ndarray]
    texts: dict[str, list[np.ndarray]] = field(default_factory=dict)


def read_long(source: Any, stamps: Stamps, rename: dict[str, str], data_dir: str | None) -> Long:
    """A table with a row for each series and stamp; files a part at a time. Args, errors: as of `read_series`."""
    wanted: dict[str, Column] = {"unique_id": Id(optional=True), "ds": Stamp(), "y": Number(optional=True)}
    wanted |= {name: Number(optional=True) for name in (*stamps.known, *stamps.past)}
    wanted |= {name: Text(optional=True) for name in stamps.static if name != "unique_id"}
    for name in rename:
        if name not in wanted:
            raise DataError(f"there is no column {name!r} to find under another name. There are: {', '.join(wanted)}.")
    ids: dict[Any, int] = {}
    texts: dict[str, dict[Any, int]] = {name: {} for name in wanted if isinstance(wanted[name], Text)}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    shown = ""
    for table in read_in_parts(source, wanted, rename=rename, data_dir=data_dir):
        shown = table.source
        missing = [name for name in wanted if name not in table.columns and name != "unique_id"]
        if missing:
            raise DataError(
                f"{shown} has no column {missing[0]!r}. Expected a long table, {', '.join(wanted)}; of one with a "
                "column for each series, set `wide`. Say which it is with columns={...}, or --column NAME=OTHER."
            )
        names = table.columns.get("unique_id", [""] * len(table))
        parts["unique_id"].append(np.array([ids.setdefault(_id(name), len(ids)) for name in names], np.int32))
        parts["ds"].append(_stamps(table))
        for name, column in wanted.items():
            if isinstance(column, Number):
                parts[name].append(_numbers(table, name))
            elif name in texts:
                known = texts[name]
                cells = (str(cell) for cell in table.columns[name])
                parts[name].append(np.array([known.setdefault(cell, len(known)) for cell in cells], np.int32))
    if not ids:
        raise DataError(f"{shown or source} has no rows. Expected at least one stamp of one series.")
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    made = Long(shown, list(ids), joined["unique_id"], joined["ds"], {})
    for name in wanted:
        if isinstance(wanted[name], Number):
            made.numbers[name] = joined[name]
        elif name in texts:
            made.texts[name] = [joined[name], np.array(list(texts[name]), object)]
    return made


def read_wide(source: Any, stamps: Stamps, rename: dict[str, str], data_dir: str | None) -> Long:
    """A table with a column for each series beside that of the stamps. Args, errors: as of `read_series`."""
    if stamps.known or stamps.past or stamps.static:
        raise DataError("a wide table has no covariates: its columns are series. Give a long one, `unique_id, ds, y`.")
    key = rename.get("ds", "ds")
    names = [name for name in _header(source) if name != key]
    if not names:
        raise DataError(f"the wide table has no columns of series beside {key!r}.")
    wanted: dict[str, Column] = {"ds": Stamp(), **{name: Number(optional=True) for name in names}}
    tables = list(read_in_parts(source, wanted, rename={"ds": key} if key != "ds" else {}, data_dir=data_dir))
    at = np.concatenate([_stamps(table) for table in tables])
    values = [np.concatenate([_numbers(table, name) for table in tables]) for name in names]
    code = np.repeat(np.arange(len(names), dtype=np.int32), len(at))
    return Long(tables[0].source, names, code, np.tile(at, len(names)), {"y": np.concatenate(values)})


def _header(source: Any) -> list[str]:
    """The names of a source's columns."""
    if hasattr(source, "keys"):
        return list(source.keys())
    path = Path(os.fspath(source)).expanduser() if isinstance(source, (str, os.PathLike)) else Path()
    if path.suffix.lower() == ".parquet" and path.is_file():
        import pyarrow.parquet

        return list(pyarrow.parquet.read_schema(path).names)
    if path.suffix.lower() in (".csv", ".tsv") and path.is_file():
        from dlkit.data.delimited import records_of

        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next(records_of(file, "\t" if path.suffix.lower() == ".tsv" else ",", str(source)), None)
        return [name.strip() for name in first[1]] if first else []
    raise DataError("a wide table must be a csv, tsv or parquet file, a DataFrame or a dict of columns.")


def _id(value: Any) -> Any:
    return Id().raw(value).decode()


def _stamps(table: Table) -> np.ndarray:
    cells = table.columns["ds"]
    try:
        return stamps_of(np.asarray(cells) if isinstance(cells, list) and isinstance(cells[0], str) else cells)
    except DataError:
        for row, cell in enumerate(cells):
            try:
                stamps_of([cell])
            except DataError as error:
                raise DataError(f"{table.where(row)}, column 'ds': {error}") from error
        raise


def _numbers(table: Table, name: str) -> np.ndarray:
    cells = table.columns[name]
    try:
        if isinstance(cells, list) and any(cell == "" for cell in cells):
            cells = ["nan" if cell == "" else cell for cell in cells]
        values = np.asarray(cells, np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        values = np.array([np.inf])
    if np.isinf(values).any():  # the column says which one, or knows what pandas has for a missing one
        return np.array(table.raw_column(name, Number()), np.float64)
    return values
