"""Long tables, a part at a time: what is made of them may be small where they are not."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dlkit.columns import Column
from dlkit.data.bytes import existing_file, file_type
from dlkit.data.delimited import is_delimited, open_records
from dlkit.data.match import match_names
from dlkit.data.multiple_sources import expand_sources
from dlkit.data.parquet import open_parquet
from dlkit.data.read import read_table
from dlkit.data.read_options import ReadOptions
from dlkit.data.remote import download, is_remote
from dlkit.data.table import Table
from dlkit.progress import progress
from dlkit.reading_errors import as_data_error

CHUNK_ROWS = 200_000  # of a part


def read_chunks(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Iterator[Table]:
    """The rows of a source as tables one after another: csv, tsv and parquet files are never in memory as a whole.

    Args:
        source, columns: as of `dlkit.data.read.read`.
        how: how it is read.

    Raises:
        DataError: as of `dlkit.data.read.read`.
    """
    several = expand_sources(source)
    if several:
        for part in several:
            yield from read_chunks(part, columns, how)
    elif is_remote(source):
        with download(source) as path, as_data_error(source):
            yield from _in_file(path, source, columns, how)
    else:
        file = existing_file(source)
        if file:
            with as_data_error(source):
                yield from _in_file(file, os.fspath(source), columns, how)
        else:
            yield read_table(source, columns, how)


def _in_file(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Iterator[Table]:
    if is_delimited(path, how):
        yield from _delimited(path, source, columns, how)
    elif file_type(path) == ".parquet":
        yield from _parquet(path, source, columns, how)
    else:
        yield read_table(source, columns, how)  # under its own name


def _delimited(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Iterator[Table]:
    with open_records(path, source, how) as records, progress(f"reading {source}") as told:
        matched = match_names(columns, records.header, how.rename, source, hint=records.hint)
        places = {name: records.header.index(column) for name, column in matched.items()}
        remarks, done = records.remarks, 0
        while part := list(itertools.islice(records.rows, CHUNK_ROWS)):
            cells = {name: [record[place] for _, record in part] for name, place in places.items()}
            yield Table(source, cells, _on_lines(source, [line for line, _ in part]), remarks=remarks)
            remarks, done = [], done + len(part)
            told(done)


def _parquet(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Iterator[Table]:
    with open_parquet(path, source) as file:
        matched = match_names(columns, file.schema_arrow.names, how.rename, source)
        start = 0
        with progress(f"reading {source}", file.metadata.num_rows) as told:
            for batch in file.iter_batches(CHUNK_ROWS, columns=sorted(set(matched.values()))):
                cells = {name: batch.column(column).to_pylist() for name, column in matched.items()}
                yield Table(source, cells, _rows_after(source, start))
                start += len(batch)
                told(start)


def _on_lines(source: str, lines: list[int]) -> Callable[[int], str]:
    return lambda row: f"{source}, line {lines[row]}"


def _rows_after(source: str, start: int) -> Callable[[int], str]:
    return lambda row: f"{source}, row {start + row + 1}"
