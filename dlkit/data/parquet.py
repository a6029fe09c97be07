"""parquet files. An image is its bytes, a path, or a struct of both as Hugging Face data sets write it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dlkit.data.bytes import MatchColumns, refuse_blank
from dlkit.data.nested import find_inside
from dlkit.progress import progress
from dlkit.reading_errors import as_data_error, check_unpacked

_ROWS = 8192  # of a part
_CELL = 32  # bytes of a Python value, in the middle


def read_parquet(path: Path, source: str, choose: MatchColumns) -> tuple[dict[str, list[Any]], Callable[[int], str]]:
    """Values by wanted column, and the number of each row, from 1. Only the wanted columns are read."""
    with open_parquet(path, source) as file:
        matched, outer = match_parquet_columns(file, choose)
        cells: dict[str, list[Any]] = {name: [] for name in matched}
        with progress(f"reading {source}", file.metadata.num_rows) as told:
            for part in iterate_batches(file, sorted(set(outer.values())), source):
                for name, column in matched.items():
                    cells[name] += column_values(part[outer[column]], outer[column], column)
                told(max(map(len, cells.values()), default=0))
    return cells, lambda row: f"{source}, row {row + 1}"


def match_parquet_columns(file: Any, choose: MatchColumns) -> tuple[dict[str, str], dict[str, str]]:
    """Of an open file its name for each wanted column, which may lie inside another, and the column that holds it."""
    import pyarrow

    schema = file.schema_arrow
    structs = (field for field in schema if pyarrow.types.is_struct(field.type))
    inside = [f"{field.name}/{inner.name}" for field in structs for inner in field.type]
    matched = choose([*schema.names, *inside], "")
    return matched, {name: name if name in schema.names else name.partition("/")[0] for name in matched.values()}


def column_values(cells: list[Any], outer: str, name: str) -> list[Any]:
    """The values of a wanted column, of the cells of the one that holds it."""
    return [_value(cell, outer, name) for cell in cells]


@contextlib.contextmanager
def open_parquet(path: Path, source: str) -> Iterator[Any]:
    """A parquet file to read, a `pyarrow.parquet.ParquetFile`. Whatever is wrong with it is a DataError."""
    with as_data_error(source, "a readable parquet file"):
        import pyarrow.parquet

        refuse_blank(path, source)
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file


def iterate_batches(file: Any, names: list[str], source: str) -> Iterator[dict[str, list[Any]]]:
    """Columns of an open file as Python values, a few thousand rows at a time.

    Raises:
        DataError: they are larger than the limit: packed columns may say that a million rows are alike.
    """
    size = 0
    for batch in file.iter_batches(_ROWS, columns=names):
        size += batch.nbytes + _CELL * batch.num_rows * batch.num_columns
        check_unpacked(size, source)
        yield {name: batch.column(name).to_pylist() for name in names}


def _value(cell: Any, outer: str, name: str) -> Any:
    if outer != name:
        return find_inside({outer: cell}, name)[1]
    if isinstance(cell, dict) and cell.keys() == {"bytes", "path"}:
        return cell["path"] if cell["bytes"] is None else cell["bytes"]
    return cell
