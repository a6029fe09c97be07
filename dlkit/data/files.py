"""Tables in files: dispatch on the suffix, then cells to values by the columns themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.columns import Column
from dlkit.data.delimited import read_delimited
from dlkit.data.json_rows import read_json
from dlkit.data.match import match_names
from dlkit.data.parquet import read_parquet
from dlkit.data.reader import readers_of
from dlkit.data.table import Table
from dlkit.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


def read_file(
    path: Path,
    source: str,
    columns: Mapping[str, Column],
    rename: Mapping[str, str],
    *,
    also: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """The wanted columns of a table in a file. Relative paths in it start from its folder.

    Args:
        path: the file.
        source: the file as the user named it.
        columns: the wanted columns.
        rename: the file's own name for a wanted column.
        also: further names under which a wanted column may go.
    """
    readers = readers_of(columns)
    for reader in readers:
        taken = reader.file(path, source, columns, rename)
        if taken is not None:
            return taken

    def choose(found: Sequence[str], hint: str) -> dict[str, str]:
        matched = match_names(columns, found, rename, source, also=also, hint=hint)
        for reader in readers:
            matched |= reader.also_read(columns, found)
        return matched

    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        cells, where = read_delimited(path, source, choose)
    elif suffix in (".jsonl", ".json"):
        cells, where = read_json(path, source, choose)
    elif suffix == ".parquet":
        cells, where = read_parquet(path, source, choose)
    else:
        raise DataError(
            f"{source}: cannot tell what kind of data a file {suffix or 'without a suffix'} holds. Expected "
            f"a folder or a file that ends in one of: {', '.join(TABLE_SUFFIXES)}, .npz."
        )
    values: dict[str, Any] = {
        name: [_value(columns.get(name), cell, path.parent) for cell in column] for name, column in cells.items()
    }
    table = Table(source, values, where)
    for reader in readers:
        table = reader.after_file(table, columns, path.parent)
    return table


def _value(column: Column | None, cell: Any, folder: Path) -> Any:
    # Only text needs the column's reading; a blank cell stays blank, so that it is seen as one.
    return column.from_cell(cell, folder) if column and isinstance(cell, str) and cell.strip() else cell
