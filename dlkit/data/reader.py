"""Readers of tasks: for sources of their kinds of columns, beyond ordinary tables.

A kind of column names the module of its reader, which is imported when such a column is wanted; so shared code does not
depend on tasks, and new tasks bring their own formats.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.columns import Column
from dlkit.data.read_options import ReadOptions
from dlkit.data.table import Table


class Reader:
    """Reads the sources that it knows. A subclass overrides what differs; None passes a source on."""

    def source(self, source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read the wanted columns of a source of any kind, as `dlkit.data.read.read` takes it."""
        return None

    def folder(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read the wanted columns of a folder without a table of its files; `source` is its name for messages."""
        return None

    def header(self, path: Path, source: str) -> list[str] | None:
        """Return the names of the columns of a file that `file` reads; None for a file of another kind."""
        return None

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read the wanted columns of a file that is not a table with one record per row."""
        return None

    def extra_columns(self, columns: Mapping[str, Column], found: Sequence[str]) -> dict[str, str]:
        """Return further columns to read from a table in a file: name in the result to name in the file."""
        return {}

    def after_file(self, table: Table, columns: Mapping[str, Column], folder: Path) -> Table:
        """Complete a table that was read from a file in this folder."""
        return table

    def finish(self, table: Table, columns: Mapping[str, Column]) -> None:
        """Check and correct a table that was read, and add remarks. Raises DataError.

        `table.strict` says whether a bad record is an error, or is left out.
        """

    def features(self, tfds: Any, info: Any, found: Mapping[str, Any], columns: Mapping[str, Column]) -> dict[str, Any]:
        """Return candidates for each column among the features of a TFDS data set.

        Args:
            tfds: the package.
            info: `builder.info`.
            found: the features by name, each a `dlkit.data.tfds_features.Leaf`.
            columns: the wanted columns.
        """
        return {}

    def feature_values(
        self, tfds: Any, leaf: Any, column: Column, examples: list[dict[str, Any]], image: Any, source: str
    ) -> list[Any] | None:
        """Return a column's value in each record of a TFDS data set, if it is not the feature's own value."""
        return None


def readers_of(columns: Mapping[str, Column]) -> list[Reader]:
    """Return the readers of the wanted columns, each once."""
    modules = dict.fromkeys(column.reader for column in columns.values() if column.reader)
    return [importlib.import_module(module).reader for module in modules]
