"""Several sources as one: a list of files, or the files that match a pattern."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlkit.data.match import quote_names
from dlkit.data.table import Table
from dlkit.errors import DataError


def expand_sources(source: Any) -> list[Any] | None:
    """Return the files of a list or those that match a pattern such as "part-*.csv", sorted; None for a single source.

    Raises:
        DataError: no file fits the pattern.
    """
    if isinstance(source, list) and source and all(isinstance(part, (str, os.PathLike)) for part in source):
        return list(source)
    if not isinstance(source, (str, os.PathLike)):
        return None
    text = os.fspath(source)
    if text.startswith("tfds:") or "://" in text or not glob.has_magic(text):
        return None
    path = Path(text).expanduser()
    try:
        if path.exists():  # a name that only looks like a pattern
            return None
        found: list[Any] = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207, which has no ** of a path
    except (OSError, ValueError):
        return None
    if not found:
        raise DataError(f"no file matches the pattern {text!r} in {path.absolute().parent}.")
    return found


def source_folders(sources: Sequence[Any]) -> list[Path]:
    """Return the local folders of several sources: a file that one refers to may be next to another."""
    paths = [Path(part).expanduser() for part in sources if "://" not in os.fspath(part)]
    return list(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))


def describe_sources(source: Any) -> str:
    """Return how messages name several sources."""
    if isinstance(source, list):
        return str(source[0]) if len(source) == 1 else f"{source[0]} and {len(source) - 1} more"
    return os.fspath(source)


def concatenate(source: Any, tables: Sequence[Table]) -> Table:
    """Concatenate the rows of several tables.

    Raises:
        DataError: they have different columns or classes.
    """
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns):
            raise DataError(
                f"{first.source} has the columns {quote_names(first.columns)}, but {table.source} has "
                f"{quote_names(table.columns)}. Files that are read together must have the same columns."
            )
        if list(table.classes) != list(first.classes):
            raise DataError(f"{first.source} and {table.source} name different classes. They must match.")
    row_locations = [(table, row) for table in tables for row in range(len(table))]
    return Table(
        describe_sources(source),
        {name: [value for table in tables for value in table.columns[name]] for name in first.columns},
        lambda row: row_locations[row][0].where(row_locations[row][1]),
        first.classes,
        [f"{table.source}: {remark}" for table in tables for remark in table.remarks],
        first.strict,
    )
