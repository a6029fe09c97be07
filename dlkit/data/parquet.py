"""Parquet files. An image is its bytes, a path, or a struct of both, as Hugging Face data sets store it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dlkit.data.bytes import MatchColumns, refuse_blank
from dlkit.data.nested import find_inside
from dlkit.progress import progress
from dlkit.reading_errors import as_data_error, check_unpacked

_BATCH_ROWS = 8192  # of a part
_CELL_BYTES = 32  # bytes of a Python value, in the middle


def read_parquet(path: Path, source: str, match: MatchColumns) -> tuple[dict[str, list[Any]], Callable[[int], str]]:
    """Read the wanted columns of a parquet file; also return a function from row number to location."""
    with open_parquet(path, source) as file:
        matched, outer = match_parquet_columns(file, match)
        cells: dict[str, list[Any]] = {name: [] for name in matched}
        with progress(f"reading {source}", file.metadata.num_rows) as update:
            for batch in iterate_batches(file, sorted(set(outer.values())), source):
                for name, column in matched.items():
                    cells[name] += column_values(batch[outer[column]], outer[column], column)
                update(max(map(len, cells.values()), default=0))
    return cells, lambda row: f"{source}, row {row + 1}"


def match_parquet_columns(file: Any, match: MatchColumns) -> tuple[dict[str, str], dict[str, str]]:
    """Return an open file's name for each wanted column, which may be nested, and the outer column of each name."""
    import pyarrow

    schema = file.schema_arrow
    structs = (field for field in schema if pyarrow.types.is_struct(field.type))
    inside = [f"{field.name}/{inner.name}" for field in structs for inner in field.type]
    matched = match([*schema.names, *inside], "")
    return matched, {name: name if name in schema.names else name.partition("/")[0] for name in matched.values()}


def column_values(cells: list[Any], outer: str, name: str) -> list[Any]:
    """Return the values of a wanted column from the cells of its outer column."""
    return [_value(cell, outer, name) for cell in cells]


@contextlib.contextmanager
def open_parquet(path: Path, source: str) -> Iterator[Any]:
    """Open a parquet file as a `pyarrow.parquet.ParquetFile`. Raises DataError if it cannot be read."""
    with as_data_error(source, "a readable parquet file"):
        import pyarrow.parquet

        refuse_blank(path, source)
        with pyarrow.parquet.ParquetFile(path) as file:
            yield file


def iterate_batches(file: Any, names: list[str], source: str) -> Iterator[dict[str, list[Any]]]:
    """Yield columns of an open file as Python values, a few thousand rows at a time.

    Raises:
        DataError: they are larger than the limit: a compressed column can repeat a value a million times.
    """
    size = 0
    for batch in file.iter_batches(_BATCH_ROWS, columns=names):
        size += batch.nbytes + _CELL_BYTES * batch.num_rows * batch.num_columns
        check_unpacked(size, source)
        yield {name: batch.column(name).to_pylist() for name in names}


def _value(cell: Any, outer: str, name: str) -> Any:
    if outer != name:
        return find_inside({outer: cell}, name)[1]
    if isinstance(cell, dict) and cell.keys() == {"bytes", "path"}:
        return cell["path"] if cell["bytes"] is None else cell["bytes"]
    return cell
