"""Readers that tasks bring: for the sources of their kinds of columns, beyond what all tables share.

A kind of column names the module of its reader, which is imported when such a column is wanted: so shared code knows no
task, and a new one brings its own formats.
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
    """Takes the sources that it knows. A subclass overrides what differs; None leaves a source to what comes after."""

    def source(self, source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """The wanted columns of a source of any kind, as `dlkit.data.read.read` takes it."""
        return None

    def folder(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """The wanted columns of a folder without a table of its files; `source` is what the user called it."""
        return None

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """The wanted columns of a file that is not read as a table of a row each."""
        return None

    def extra_columns(self, columns: Mapping[str, Column], found: Sequence[str]) -> dict[str, str]:
        """Further columns to read of a table in a file, of the names that it has: name in the table to name there."""
        return {}

    def after_file(self, table: Table, columns: Mapping[str, Column], folder: Path) -> Table:
        """A table that was read from a file in this folder, with what else lies there or stood beside."""
        return table

    def finish(self, table: Table, columns: Mapping[str, Column]) -> None:
        """Checks a table that was read, puts right what can be, and remarks on it. Raises DataError.

        `table.strict` says whether a bad record is an error, or is left out.
        """

    def features(self, tfds: Any, info: Any, found: Mapping[str, Any], columns: Mapping[str, Column]) -> dict[str, Any]:
        """Column name to the names of features of a TFDS data set that may fill it, the only one or none.

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
        """A column's value in each record of a TFDS data set, where it is another than the feature's own."""
        return None


def readers_of(columns: Mapping[str, Column]) -> list[Reader]:
    """The readers that the wanted columns name, each once."""
    modules = dict.fromkeys(column.reader for column in columns.values() if column.reader)
    return [importlib.import_module(module).reader for module in modules]
