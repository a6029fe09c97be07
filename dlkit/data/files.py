"""Tables in files: dispatch on the suffix, then cells to values by the columns themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.columns import Column
from dlkit.data.bytes import file_type
from dlkit.data.delimited import is_delimited, read_delimited
from dlkit.data.folder_guard import FolderGuard
from dlkit.data.json_rows import read_json
from dlkit.data.match import match_names
from dlkit.data.parquet import read_parquet
from dlkit.data.read_options import ReadOptions
from dlkit.data.reader import readers_of
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")  # packed, .csv.gz, or .ndjson too


def read_file(
    path: Path,
    source: str,
    columns: Mapping[str, Column],
    how: ReadOptions,
    *,
    also: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """The wanted columns of a table in a file. Relative paths in it start from its folder.

    Args:
        path: the file.
        source: the file as the user named it.
        columns: the wanted columns.
        how: how it is read; its `rename` has the file's own names for wanted columns.
        also: further names under which a wanted column may go.
    """
    readers = readers_of(columns)
    for reader in readers:
        taken = reader.file(path, source, columns, how)
        if taken is not None:
            return taken

    def choose(found: Sequence[str], hint: str) -> dict[str, str]:
        matched = match_names(columns, found, how.rename, source, alternatives=also, hint=hint)
        for reader in readers:
            matched |= reader.extra_columns(columns, found)
        return matched

    suffix, remarks = file_type(path), list[str]()
    if is_delimited(path, how):
        cells, where, remarks = read_delimited(path, source, choose, how)
    elif how.column_names:
        raise DataError(
            f"{source}: column names ({option('column_names')}) apply only to csv and tsv files without a header."
        )
    elif suffix in (".jsonl", ".json"):
        cells, where = read_json(path, source, choose)
    elif suffix == ".parquet":
        cells, where = read_parquet(path, source, choose)
    else:
        raise DataError(
            f"{source}: cannot tell what kind of data a file {suffix or 'without a suffix'} holds. Expected a "
            f"folder or a file that ends in one of: {', '.join(TABLE_SUFFIXES)}, .npz. For a csv or tsv file with "
            f"another suffix, set its delimiter: {option('delimiter', ...)}."
        )
    inside = FolderGuard(how, path.parent)
    values: dict[str, Any] = {
        name: [_value(columns.get(name), cell, path.parent) for cell in column] for name, column in cells.items()
    }
    for name, column in values.items():
        for row, value in enumerate(column):
            if isinstance(value, Path):
                inside(value, f"{where(row)}, column {name!r}")
    table = Table(source, values, where, remarks=remarks, strict=how.strict)
    for reader in readers:
        table = reader.after_file(table, columns, path.parent)
    return table


def _value(column: Column | None, cell: Any, folder: Path) -> Any:
    # Only text needs the column's reading; a blank cell stays blank, so that it is seen as one.
    return column.from_cell(cell, folder) if column and isinstance(cell, str) and cell.strip() else cell
