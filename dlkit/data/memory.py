"""Python objects: a DataFrame, a dict of columns, a list of dicts, a tuple (x, y)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.columns import Column
from dlkit.data.json_rows import rows_to_columns
from dlkit.data.labels import to_label_names
from dlkit.data.match import match_names, quote_names
from dlkit.data.nested import find_inside, names_inside
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.run_file import SampleData


def as_columns(source: Any) -> Any:
    """Convert a table of polars or Arrow to a dict of columns; other sources are returned unchanged.

    Raises:
        DataError: it is one of polars that was not computed yet.
    """
    if type(source).__module__.partition(".")[0] == "polars" and type(source).__name__ == "LazyFrame":
        raise DataError("a polars LazyFrame is a query, not a table. Pass the result of its collect().")
    if is_dataframe(source) or not (hasattr(source, "__arrow_c_stream__") and hasattr(source, "columns")):
        return source
    import pyarrow

    table = pyarrow.table(source)
    return {name: table.column(name).to_pylist() for name in table.column_names}


def index_to_columns(source: Any, wanted: Iterable[str]) -> Any:
    """Convert index levels of a DataFrame to columns, if they are wanted; other sources are returned unchanged."""
    if not is_dataframe(source):
        return source
    levels = [name for name in source.index.names if name is not None and name not in source.columns]
    return source.reset_index(level=levels) if set(levels) & set(wanted) else source


def named_values(source: Any) -> dict[str, Any] | None:
    """Return the values of a list of dicts, a dict of columns or a DataFrame by name; None for other sources."""
    if isinstance(source, list) and source and isinstance(source[0], Mapping):
        names = dict.fromkeys(name for row in source for name in row)
        return {name: [row.get(name) for row in source] for name in names}
    if isinstance(source, Mapping) or is_dataframe(source):
        return {name: source[name] for name in list(source)}
    return None


def read_memory(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table | None:
    """Read the wanted columns of a Python object; None if it is of no known type. Rows are located by index, from 0."""
    if is_dataframe(source):
        index = source.index.tolist()
        where = lambda row: f"the DataFrame, index {index[row]!r}"  # noqa: E731
        return Table("the DataFrame", _named_columns(source, columns, rename, "the DataFrame"), where)
    if isinstance(source, Mapping):
        name = "the built-in sample data" if isinstance(source, SampleData) else "the dict of columns"
        named = _named_columns(source, columns, rename, name)
        return _table(name, named, class_names(source, columns, name))
    if isinstance(source, tuple):
        return _table("the arrays", _read_pair(source, columns, rename))
    if isinstance(source, list) and (not source or isinstance(source[0], Mapping)):
        return _read_rows(source, columns, rename)
    return None


def assign_columns(
    x: Any, y: Any, columns: Mapping[str, Column], rename: Mapping[str, str], source: str
) -> dict[str, tuple[int, str | None]]:
    """Assign each wanted column to a place in (x, y): 0 or 1, and its key there (None if that part is one value).

    A part with names (a dict or a DataFrame) gives the columns that it has. A part without gives one column:
    x the first, y the one that x leaves. y may be None.
    """
    assigned: dict[str, tuple[int, str | None]] = {}
    for index, value in enumerate((x, y)):
        missing = [name for name in columns if name not in assigned]
        if value is None or not missing:
            continue
        if isinstance(value, Mapping) or is_dataframe(value):
            keys = list(value.keys())
            present = {name: columns[name] for name in missing if rename.get(name, name) in keys}
            if not present:  # the call raises, and says which
                match_names({missing[0]: columns[missing[0]]}, keys, rename, source)
            assigned.update({name: (index, rename.get(name, name)) for name in present})
        elif index == 0:
            assigned[missing[0]] = (0, None)
        elif len(required := [name for name in missing if not columns[name].optional] or missing) == 1:
            assigned[required[0]] = (1, None)
        else:
            raise DataError(
                f"{source}: a single y cannot provide {len(missing)} columns: {quote_names(missing)}. Give x (or y) as "
                "a dict with these names."
            )
    missing = [name for name, column in columns.items() if name not in assigned and not column.optional]
    if missing:
        raise DataError(f"{source}: missing {quote_names(missing)}. Pass it as y, or in a dict under this name.")
    return assigned


def _read_pair(source: tuple, columns: Mapping[str, Column], rename: Mapping[str, str]) -> dict[str, Any]:
    if len(source) != 2:
        raise DataError(f"a tuple must be (x, y); y may be None. Received: a tuple of {len(source)}.")
    assigned = assign_columns(*source, columns, rename, "the tuple (x, y)")
    values: dict[str, Any] = {}
    for name, (index, key) in assigned.items():
        whole = source[index] if key is None else source[index][key]
        values[name] = to_label_names(as_sequence(whole, name), name, columns, "the arrays")
    return values


def _named_columns(
    source: Any, columns: Mapping[str, Column], rename: Mapping[str, str], source_name: str
) -> dict[str, Any]:
    names = list(source.keys())
    wanted_names = {rename[name] for name in columns if name in rename} - set(names)
    first_rows = {name: as_sequence(source[name], name)[:_INSPECTED_ROWS] for name in names if wanted_names}
    inside = [inner for name, values in first_rows.items() for inner in names_inside(name, values)]
    matched = match_names(columns, [*names, *inside], rename, source_name)
    values = {}
    for name, key in matched.items():
        if key in names:
            values[name] = to_label_names(as_sequence(source[key], name), name, columns, source_name)
        else:
            outer = key.partition("/")[0]
            values[name] = [find_inside({outer: value}, key)[1] for value in as_sequence(source[outer], name)]
    return values


def _read_rows(source: list, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table:
    source_name = "the list of rows"
    values, where = rows_to_columns(
        source,
        lambda found, hint: match_names(columns, found, rename, source_name, hint=hint),
        lambda row: f"{source_name}, index {row}",
        source_name,
    )
    return Table(source_name, values, where)


def class_names(source: Mapping[str, Any], columns: Mapping[str, Column], source_name: str) -> tuple[str, ...]:
    """Return the class names that a source lists under `classes`, for columns that list them."""
    lists = any(column.lists_classes for column in columns.values())
    if "classes" not in source or "classes" in columns or not lists:
        return ()
    names = source["classes"]
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{source_name}: `classes` must be a list of names, in the order of their ids. Received: {names!r}."
        )
    return tuple(map(str, names))


def as_sequence(values: Any, name: str) -> Any:
    """Return values as a sequence by position: lists and arrays unchanged, a Series or a tensor converted."""
    if isinstance(values, (list, tuple)):
        return values
    if hasattr(values, "iloc"):  # a Series indexes by label, not by position
        return values.tolist()
    if hasattr(values, "__array__"):
        array = np.asarray(values)
        if array.ndim:
            return array
    raise DataError(
        f"column {name!r} must be a list or an array with one row per example. Received: {type(values).__name__}."
    )


_INSPECTED_ROWS = 100  # rows, for the names of what lies inside their values


def is_dataframe(value: Any) -> bool:
    """Return whether a value is a DataFrame."""
    return hasattr(value, "columns") and hasattr(value, "iloc")


def _table(source: str, values: dict[str, Any], classes: Sequence[str] = ()) -> Table:
    return Table(source, values, lambda row: f"{source}, index {row}", classes)
