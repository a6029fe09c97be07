"""A table of raw values: the output of every reader and the input of every task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlkit.columns import Column
from dlkit.errors import DataError
from dlkit.reading_errors import data_error_of


@dataclass
class Table:
    """Values by column, with the location of each row in its source.

    Attributes:
        source: what was read, as the user named it.
        columns: column name to one value per row; values are what `Column.raw` accepts (an image may be a path).
        where: row number, from 0, to the words of an error message: `reviews.csv, row 17`.
        classes: the names of all classes, where the source lists them: those of class ids in masks, in the order of the
            ids, and those of boxes, with the rare ones that no row here has.
        remarks: what a person should know of how it was read: what had to be put right, and how often.
        header: the source's own names of all its columns, if a task has declared its columns by them.
        strict: whether a bad record is an error; else it is left out, counted and named in `remarks`.
    """

    source: str
    columns: dict[str, Any]
    where: Callable[[int], str]
    classes: Sequence[str] = ()
    remarks: Sequence[str] = ()
    strict: bool = False
    header: Sequence[str] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def row(self, index: int) -> dict[str, Any]:
        """Return the values of one row, by column."""
        return {name: values[index] for name, values in self.columns.items()}

    def raw(self, index: int, columns: Mapping[str, Column]) -> dict[str, Any]:
        """Return one row in the raw form of the graph; optional columns that are missing get their default.

        Raises:
            DataError: names the source, the row, the column and what is wrong with the value.
        """
        raw = {}
        for name, column in columns.items():
            if name not in self.columns and not column.optional:
                raise DataError(f"{self.source} has no column {name!r}. It has: {', '.join(self.columns)}.")
            value = self.columns[name][index] if name in self.columns else column.default
            try:
                raw[name] = column.raw(value)
            except DataError as error:
                if str(error).startswith(self.where(index)):  # of a row that is a file, which the error names
                    raise
                raise type(error)(f"{self.where(index)}, column {name!r}: {error}") from error
            except Exception as error:
                raise data_error_of(error, f"{self.where(index)}, column {name!r}", f"a {column.kind}") from error
        return raw

    def raw_column(self, name: str, column: Column) -> list[Any]:
        """Return all values of one column in the raw form of the graph. Raises DataError as `raw` does."""
        return [self.raw(index, {name: column})[name] for index in range(len(self))]

    def take(self, rows: Sequence[int]) -> Table:
        """Return the table of these rows, in this order."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Table(
            self.source,
            columns,
            lambda index: self.where(rows[index]),
            self.classes,
            self.remarks,
            self.strict,
            self.header,
        )
