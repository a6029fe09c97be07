"""Tables to predict for, read in chunks: each record is a row, and an invalid record affects only itself."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlkit.columns import Column
from dlkit.data.bytes import existing_file, file_type, is_json_lines, is_json_object, open_text, utf8_problem
from dlkit.data.delimited import is_delimited, open_records
from dlkit.data.files import TABLE_SUFFIXES
from dlkit.data.folder_guard import FolderGuard
from dlkit.data.header import header_of
from dlkit.data.listing import describe_counts, list_files
from dlkit.data.match import match_names, quote_names
from dlkit.data.memory import as_columns, read_memory
from dlkit.data.multiple_sources import expand_sources, source_folders
from dlkit.data.nested import find_inside, names_inside
from dlkit.data.parquet import column_values, match_parquet_columns, open_parquet
from dlkit.data.read import check_lengths, read_table
from dlkit.data.read_options import ReadOptions
from dlkit.data.reader import Reader, readers_of
from dlkit.data.remote import download, is_remote
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.hparams import nearest
from dlkit.options import option
from dlkit.reading_errors import as_data_error, data_error_of

CHUNK_ROWS = 1024  # of a part
ALL_COLUMNS = "all"  # of the columns to keep
_KEPT_PREFIX = "keep:"  # before the name of a column that is kept, which may also be an input


class PassThrough(Column):
    """A value that is copied unchanged."""

    may_be_empty = True
    may_be_missing = True

    def raw(self, value: Any) -> Any:
        return value


@dataclass
class Chunk:
    """Consecutive rows of a source.

    Attributes:
        table: the rows, with the inputs; those in `bad` hold None.
        kept: further columns of the source, by its names.
        bad: what is wrong with a row that cannot be read, by its number in the table.
        named: whether the source is a folder or single files, so that rows go by these.
    """

    table: Table
    kept: dict[str, Sequence[Any]] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)
    named: bool = False


def record_chunks(
    source: Any,
    inputs: Mapping[str, Column],
    how: ReadOptions,
    keep_columns: Sequence[str] = (),
    rows: int = CHUNK_ROWS,
) -> Iterator[Chunk]:
    """Yield the rows of a source in chunks. Text tables, jsonl and parquet files are never in memory as a whole.

    Args:
        source: as of `dlkit.data.read.read`; also a folder of files of the only input, and a table that was read.
        inputs: the columns to answer.
        how: how it is read.
        keep_columns: names of further columns to hand on, or `ALL_COLUMNS` alone.
        rows: of a part, at most.

    Raises:
        DataError: the source cannot be read, or has none of the inputs or no such column to keep.
    """
    names = _column_names(source, inputs, how) if keep_columns else []
    kept = names if list(keep_columns) == [ALL_COLUMNS] else list(dict.fromkeys(keep_columns))
    for name in kept:
        if name not in names:
            raise DataError(f"there is no column {name!r} for {option('keep_columns')}. {nearest(name, names)}")
    wanted = {**inputs, **{_KEPT_PREFIX + name: PassThrough() for name in kept}}
    how = dataclasses.replace(how, rename={**how.rename, **{_KEPT_PREFIX + name: name for name in kept}})
    for chunk in _iterate_chunks(source, wanted, how, rows):
        if not set(chunk.table.columns) & set(inputs):
            raise DataError(
                f"{chunk.table.source} has none of the columns {quote_names(inputs)}. Map its columns with "
                f"{option('columns', {'NAME': 'THEIRS'})}."
            )
        columns = chunk.table.columns
        chunk.kept = {name: columns.pop(_KEPT_PREFIX + name) for name in kept}
        yield chunk


def _column_names(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> list[str]:
    """Return the columns of a source that may have invalid rows; for jsonl, those of its first chunk."""
    first: Any = source if isinstance(source, Table) else next(iter(expand_sources(source) or [source]))
    file = existing_file(first)
    if file and _has_own_reader(file, os.fspath(first), columns, how):
        return header_of(first, how, readers_of(columns))
    if file and is_delimited(file, how):
        with open_records(file, os.fspath(first), how, {}) as records:
            return records.header
    if not file or not is_json_lines(file):
        return header_of(first, how)
    with open_text(file, os.fspath(first), "surrogateescape") as text:
        rows = [_parse_object(line, 0, {}) for line in itertools.islice(text, CHUNK_ROWS) if line.strip()]
    return list(dict.fromkeys(name for row in rows for name in row))


def _iterate_chunks(source: Any, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    sources = expand_sources(source) if not isinstance(source, Table) else None
    if sources and all(_holds_rows(chunk, columns) or is_remote(chunk) for chunk in sources):
        how = dataclasses.replace(how, folders=(*how.folders, *source_folders(sources)))
        for chunk in sources:
            yield from _iterate_chunks(chunk, columns, how, rows)
    elif sources:
        yield from _split_table(
            _files_table([Path(chunk) for chunk in sources], str(source), columns), rows, named=True
        )
    elif is_remote(source):
        with download(source) as path:
            yield from _read_file(path, source, columns, how, rows)
    elif file := existing_file(source):
        yield from _read_file(file, os.fspath(source), columns, how, rows)
    elif isinstance(source, Table):
        yield from _split_table(source, rows)
    elif folder := _folder_of_inputs(source, columns):
        suffixes = next(iter(columns.values())).suffixes
        files, skipped = list_files(folder, suffixes)
        if not files:
            raise DataError(f"{source} holds none of {', '.join(suffixes)}, but {describe_counts(skipped)}.")
        table = _files_table(files, os.fspath(source), columns)
        table.remarks = [f"skipped {describe_counts(skipped)}"] if skipped else []
        yield from _split_table(table, rows, named=True)
    else:
        named = isinstance(source, (str, os.PathLike)) and Path(source).expanduser().is_dir()
        yield from _split_table(_read_whole(source, columns, how), rows, named=named)


def is_table(source: Any) -> bool:
    """Return whether a name has the suffix of a table, compressed or not."""
    return isinstance(source, (str, os.PathLike)) and file_type(Path(source)) in (*TABLE_SUFFIXES, ".npz")


def _holds_rows(source: Any, columns: Mapping[str, Column]) -> bool:
    """Return whether a name has the suffix of a table, or of a file of rows that only the reader of a column knows."""
    suffixes = {suffix for column in columns.values() for suffix in column.table_suffixes}
    return is_table(source) or (isinstance(source, (str, os.PathLike)) and file_type(Path(source)) in suffixes)


def _folder_of_inputs(source: Any, columns: Mapping[str, Column]) -> Path | None:
    """Return the folder of a source if its files hold the only input, as texts do, and it has no table of files."""
    if not isinstance(source, (str, os.PathLike)) or len(columns) != 1:
        return None
    column, path = next(iter(columns.values())), Path(source).expanduser()
    if not column.suffixes or type(column).from_file is Column.from_file or not path.is_dir():
        return None
    return None if any(path.glob("labels.*")) or any(path.glob("metadata.*")) else path


def _files_table(files: Sequence[Path], source: str, columns: Mapping[str, Column]) -> Table:
    """Return files as rows of the only column; they are opened when needed."""
    if len(columns) != 1:
        raise DataError(
            f"{source} are single files, which hold one value each. Required: {quote_names(columns)}. List them in a "
            "table with these columns."
        )
    return Table(source, {next(iter(columns)): files}, lambda row: str(files[row]))


def _split_table(table: Table, rows: int, *, named: bool = False) -> Iterator[Chunk]:
    for start in range(0, len(table), rows):
        chunk = table.take(range(start, min(start + rows, len(table))))
        chunk.remarks = table.remarks if not start else []
        yield Chunk(chunk, named=named)


def _read_whole(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read a source into memory, if it is not there already."""
    table = read_memory(as_columns(source), columns, how.rename)
    if table is None:
        return read_table(source, columns, how)
    check_lengths(table)
    return table


def _read_file(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    if _has_own_reader(path, source, columns, how) or _has_extra_columns(path, columns, how):
        yield from _split_table(read_table(source, columns, how), rows)
        return
    if is_delimited(path, how):
        chunks = _delimited(path, source, columns, how, rows)
    elif how.column_names:
        raise DataError(
            f"{source}: column names, {option('column_names')}, apply only to csv and tsv files without a header."
        )
    elif is_json_lines(path):
        chunks = _json_lines(path, source, columns, how, rows)
    elif file_type(path) == ".parquet":
        chunks = _parquet(path, source, columns, how, rows)
    elif (file_type(path) == ".json" and not is_json_object(path)) or _holds_rows(path, columns):
        chunks = _split_table(read_table(source, columns, how), rows)
    else:
        chunks = _split_table(_files_table([path], source, columns), rows, named=True)
    guard = FolderGuard(how, path.parent)
    converted = {name: column for name, column in columns.items() if type(column).from_cell is not Column.from_cell}
    with as_data_error(source):
        for chunk in chunks:
            for name in converted if not chunk.named else ():
                _convert_cells(chunk, name, converted[name], path.parent, guard)
            yield chunk


def _has_own_reader(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> bool:
    """Return whether a file is of a kind that only the reader of a column knows, such as a table without a header."""
    return not how.delimiter and any(reader.header(path, source) is not None for reader in readers_of(columns))


def _has_extra_columns(path: Path, columns: Mapping[str, Column], how: ReadOptions) -> bool:
    """Return whether an input is made of several columns of a table, which a reader joins when it is read whole."""
    readers = [reader for reader in readers_of(columns) if type(reader).extra_columns is not Reader.extra_columns]
    if not readers or not is_table(path):
        return False
    names = _column_names(path, columns, how)
    return any(reader.extra_columns(columns, names) for reader in readers)


def _convert_cells(chunk: Chunk, name: str, column: Column, folder: Path, guard: FolderGuard) -> None:
    """Convert cells relative to the folder of the table; files must be inside the data folder."""
    if name not in chunk.table.columns:
        return
    values = list(chunk.table.columns[name])
    for row, cell in enumerate(values):
        if isinstance(cell, str) and cell.strip() and row not in chunk.bad:
            try:
                values[row] = column.from_cell(cell, folder)
                if isinstance(values[row], Path):
                    guard(values[row], f"column {name!r}")
            except Exception as error:
                chunk.bad[row] = str(data_error_of(error, f"column {name!r}"))
    chunk.table.columns[name] = values


def _delimited(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    problem: dict[int, str] = {}
    with open_records(path, source, how, problem) as records:
        matched = match_names(columns, records.header, how.rename, source, hint=records.hint)
        positions = {name: records.header.index(column) for name, column in matched.items()}
        remarks = records.remarks
        while read := list(itertools.islice(records.rows, rows)):
            lines = [line for line, _ in read]
            bad = {row: problem.pop(line) for row, line in enumerate(lines) if line in problem} if problem else {}
            empty: list[Any] = [None] * len(records.header)
            cells = {name: [(record or empty)[position] for _, record in read] for name, position in positions.items()}
            _mark_invalid_utf8(cells, bad)
            yield Chunk(Table(source, cells, _locate_lines(source, lines), remarks=remarks), bad=bad)
            remarks = []


def _json_lines(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    with open_text(path, source, "surrogateescape") as text:
        lines = ((line, content) for line, content in enumerate(text, start=1) if content.strip())
        matched: dict[str, str] = {}
        while read := list(itertools.islice(lines, rows)):
            bad: dict[int, str] = {}
            values = [_parse_object(content, row, bad) for row, (_, content) in enumerate(read)]
            if not matched:
                names = list(dict.fromkeys(name for value in values for name in value))
                guard = [inner for name in names for inner in names_inside(name, (row.get(name) for row in values))]
                matched = match_names(columns, [*names, *guard], how.rename, source)
            cells: dict[str, list[Any]] = {name: [] for name in matched}
            for row, value in enumerate(values):
                for name, key in matched.items():
                    found, cell = find_inside(value, key)
                    cells[name].append(cell if found else columns[name].default)
                    if not found and not isinstance(columns[name], PassThrough):
                        bad.setdefault(row, f"the row has no {key!r}, but other rows do.")
            yield Chunk(Table(source, cells, _locate_lines(source, [line for line, _ in read])), bad=bad)


def _parse_object(content: str, row: int, bad: dict[int, str]) -> dict[str, Any]:
    """Parse a line of JSON; records why if it is not an object."""
    try:
        if problem := utf8_problem(content):
            raise DataError(f"the line is {problem}")
        with as_data_error("the line", "a JSON object", "Write one JSON object per line."):
            value = json.loads(content)
        if not isinstance(value, dict):
            raise DataError(f"expected a JSON object. Received: {content.strip()[:60]}.")
    except DataError as error:
        bad[row], value = str(error), {}
    return value


def _parquet(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    with open_parquet(path, source) as file:
        matched, outer = match_parquet_columns(
            file, lambda found, hint: match_names(columns, found, how.rename, source, hint=hint)
        )
        start = 0
        for batch in file.iter_batches(rows, columns=sorted(set(outer.values()))):
            values_by_column = {name: batch.column(name).to_pylist() for name in outer.values()}
            cells = {
                name: values_by_column[column] if isinstance(columns[name], PassThrough) and column in values_by_column
                else column_values(values_by_column[outer[column]], outer[column], column)
                for name, column in matched.items()
            }  # fmt: skip
            yield Chunk(Table(source, cells, _locate_rows(source, start)))
            start += len(batch)


def _mark_invalid_utf8(cells: Mapping[str, Sequence[str | None]], bad: dict[int, str]) -> None:
    """Mark rows with a cell that is not UTF-8 as bad."""
    for name, column in cells.items():
        for row, cell in enumerate(column):
            if cell and not cell.isascii() and row not in bad and (problem := utf8_problem(cell)):
                bad[row] = f"the cell in column {name.removeprefix(_KEPT_PREFIX)!r} is {problem}"


def _locate_lines(source: str, lines: list[int]) -> Callable[[int], str]:
    return lambda row: f"{source}, line {lines[row]}"


def _locate_rows(source: str, start: int) -> Callable[[int], str]:
    return lambda row: f"{source}, row {start + row + 1}"
