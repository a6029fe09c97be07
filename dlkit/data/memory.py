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


def as_columns(source: Any) -> Any:
    """A table of polars or Arrow as a dict of columns; anything else comes back as it is.

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
    """A DataFrame whose index holds wanted columns, by their names, with these as columns; else as it is."""
    if not is_dataframe(source):
        return source
    levels = [name for name in source.index.names if name is not None and name not in source.columns]
    return source.reset_index(level=levels) if set(levels) & set(wanted) else source


def named_values(source: Any) -> dict[str, Any] | None:
    """The values of a list of dicts, a dict of columns or a DataFrame by name; None for another source."""
    if isinstance(source, list) and source and isinstance(source[0], Mapping):
        return {name: [row.get(name) for row in source] for name in source[0]}
    if isinstance(source, Mapping) or is_dataframe(source):
        return {name: source[name] for name in list(source)}
    return None


def read_memory(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table | None:
    """The wanted columns of a Python object, or None if it cannot be read. Rows go by index, from 0."""
    if is_dataframe(source):
        index = source.index.tolist()
        where = lambda row: f"the DataFrame, index {index[row]!r}"  # noqa: E731
        return Table("the DataFrame", _named(source, columns, rename, "the DataFrame"), where)
    if isinstance(source, Mapping):
        named = _named(source, columns, rename, "the dict of columns")
        return _table("the dict of columns", named, class_names(source, columns, "the dict of columns"))
    if isinstance(source, tuple):
        return _table("the arrays", _from_pair(source, columns, rename))
    if isinstance(source, list) and (not source or isinstance(source[0], Mapping)):
        return _from_rows(source, columns, rename)
    return None


def assign_columns(
    x: Any, y: Any, columns: Mapping[str, Column], rename: Mapping[str, str], source: str
) -> dict[str, tuple[int, str | None]]:
    """Where each wanted column lies in (x, y): 0 or 1, and its key there (None: that part is one value).

    A part with names (a dict or a DataFrame) gives the columns that it has. A part without gives one column:
    x the first, y the one that x leaves. y may be None.
    """
    places: dict[str, tuple[int, str | None]] = {}
    for part, value in enumerate((x, y)):
        missing = [name for name in columns if name not in places]
        if value is None or not missing:
            continue
        if isinstance(value, Mapping) or is_dataframe(value):
            keys = list(value.keys())
            there = {name: columns[name] for name in missing if rename.get(name, name) in keys}
            if not there:  # the call raises, and says which
                match_names({missing[0]: columns[missing[0]]}, keys, rename, source)
            places.update({name: (part, rename.get(name, name)) for name in there})
        elif part == 0:
            places[missing[0]] = (0, None)
        elif len(needed := [name for name in missing if not columns[name].optional] or missing) == 1:
            places[needed[0]] = (1, None)
        else:
            raise DataError(
                f"{source}: a single y cannot provide {len(missing)} columns: {quote_names(missing)}. Give x (or y) as a "
                "dict with these names."
            )
    missing = [name for name, column in columns.items() if name not in places and not column.optional]
    if missing:
        raise DataError(f"{source}: missing {quote_names(missing)}. Pass it as y, or in a dict under this name.")
    return places


def _from_pair(source: tuple, columns: Mapping[str, Column], rename: Mapping[str, str]) -> dict[str, Any]:
    if len(source) != 2:
        raise DataError(f"a tuple must be (x, y); y may be None. Received: a tuple of {len(source)}.")
    places = assign_columns(*source, columns, rename, "the tuple (x, y)")
    values: dict[str, Any] = {}
    for name, (part, key) in places.items():
        whole = source[part] if key is None else source[part][key]
        values[name] = to_label_names(as_sequence(whole, name), name, columns, "the arrays")
    return values


def _named(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str], shown: str) -> dict[str, Any]:
    names = list(source.keys())
    asked = {rename[name] for name in columns if name in rename} - set(names)
    first = {name: as_sequence(source[name], name)[:_LOOKED_AT] for name in names if asked}
    inside = [inner for name, values in first.items() for inner in names_inside(name, values)]
    matched = match_names(columns, [*names, *inside], rename, shown)
    made = {}
    for name, key in matched.items():
        if key in names:
            made[name] = to_label_names(as_sequence(source[key], name), name, columns, shown)
        else:
            outer = key.partition("/")[0]
            made[name] = [find_inside({outer: value}, key)[1] for value in as_sequence(source[outer], name)]
    return made


def _from_rows(source: list, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table:
    shown = "the list of rows"
    values, where = rows_to_columns(
        source,
        lambda found, hint: match_names(columns, found, rename, shown, hint=hint),
        lambda row: f"{shown}, index {row}",
        shown,
    )
    return Table(shown, values, where)


def class_names(source: Mapping[str, Any], columns: Mapping[str, Column], shown: str) -> tuple[str, ...]:
    """The names of all classes, which a source may bring along under `classes` for columns that list them."""
    lists = any(column.lists_classes for column in columns.values())
    if "classes" not in source or "classes" in columns or not lists:
        return ()
    names = source["classes"]
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{shown}: `classes` must be a list of names, in the order of their ids. Received: {names!r}.")
    return tuple(map(str, names))


def as_sequence(values: Any, name: str) -> Any:
    """Values as a sequence by position: a list or an array as it is, a Series or a tensor converted."""
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


_LOOKED_AT = 100  # rows, for the names of what lies inside their values


def is_dataframe(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "iloc")


def _table(source: str, values: dict[str, Any], classes: Sequence[str] = ()) -> Table:
    return Table(source, values, lambda row: f"{source}, index {row}", classes)
