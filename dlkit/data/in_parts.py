"""Long tables, a part at a time: what is made of them may be small where they are not."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dlkit.columns import Column
from dlkit.data.bytes import read_bytes, read_text
from dlkit.data.delimited import records_of
from dlkit.data.match import match_names
from dlkit.data.read import read
from dlkit.data.table import Table
from dlkit.errors import DataError

ROWS = 200_000  # of a part


def read_in_parts(
    source: Any, columns: Mapping[str, Column], *, rename: Mapping[str, str] | None = None, data_dir: str | None = None
) -> Iterator[Table]:
    """The rows of a source as tables one after another: csv, tsv and parquet files are never in memory as a whole.

    Args, errors: as of `dlkit.data.read.read`.
    """
    path = Path(source).expanduser() if isinstance(source, (str, os.PathLike)) else Path()
    suffix = path.suffix.lower() if isinstance(source, (str, os.PathLike)) and path.is_file() else ""
    if suffix in (".csv", ".tsv"):
        yield from _delimited(path, os.fspath(source), columns, rename or {})
    elif suffix == ".parquet":
        yield from _parquet(path, os.fspath(source), columns, rename or {})
    else:
        yield read(source, columns, rename=rename, data_dir=data_dir)


def _delimited(path: Path, source: str, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Iterator[Table]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            records = records_of(file, "\t" if path.suffix.lower() == ".tsv" else ",", source)
            first = next(records, None)
            if first is None:
                raise DataError(f"{source} is empty.")
            header = [name.strip() for name in first[1]]
            matched = match_names(columns, header, rename, source)
            places = {name: header.index(column) for name, column in matched.items()}
            while part := list(itertools.islice(records, ROWS)):
                yield _table(part, places, header, source)
    except UnicodeDecodeError:
        read_text(path, source)  # names the line
        raise


def _table(part: list[tuple[int, list[str]]], places: dict[str, int], header: list[str], source: str) -> Table:
    for line, record in part:
        if len(record) != len(header):
            raise DataError(
                f"{source}, line {line}: expected {len(header)} cells, as in the header. Received: {len(record)}."
            )
    columns = {name: [record[place] for _, record in part] for name, place in places.items()}
    return Table(source, columns, lambda row: f"{source}, line {part[row][0]}")


def _parquet(path: Path, source: str, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Iterator[Table]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        read_bytes(path, source)  # has the better words for an empty file
        raise DataError(f"{source}: not a readable parquet file ({error}).") from error
    with file:
        matched = match_names(columns, file.schema_arrow.names, rename, source)
        start = 0
        for batch in file.iter_batches(ROWS, columns=sorted(set(matched.values()))):
            cells = {name: batch.column(column).to_pylist() for name, column in matched.items()}
            yield Table(source, cells, _rows_after(source, start))
            start += len(batch)


def _rows_after(source: str, start: int) -> Callable[[int], str]:
    return lambda row: f"{source}, row {start + row + 1}"
