"""Tables to be answered: each record a row of its own, read a part at a time, and what is bad costs only itself."""

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
from dlkit.data.bytes import existing_file, file_type, is_json_object, open_text, utf8_problem
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
from dlkit.data.remote import download, is_remote
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.hparams import nearest
from dlkit.options import option
from dlkit.reading_errors import as_data_error, data_error_of

CHUNK_ROWS = 1024  # of a part
ALL_COLUMNS = "all"  # of the columns to keep
_KEPT = "keep:"  # before the name of a column that is kept, which may also be an input


class PassThrough(Column):
    """A value that is handed on as it is."""

    may_be_empty = True
    may_be_missing = True

    def raw(self, value: Any) -> Any:
        return value


@dataclass
class Chunk:
    """Some rows of a source, in its order.

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
    source: Any, inputs: Mapping[str, Column], how: ReadOptions, keep: Sequence[str] = (), rows: int = CHUNK_ROWS
) -> Iterator[Chunk]:
    """The rows of a source in parts. Text tables, jsonl and parquet files are never in memory as a whole.

    Args:
        source: as of `dlkit.data.read.read`; also a folder of files of the only input, and a table that was read.
        inputs: the columns to answer.
        how: how it is read.
        keep: names of further columns to hand on, or `ALL_COLUMNS` alone.
        rows: of a part, at most.

    Raises:
        DataError: the source cannot be read, or has none of the inputs or no such column to keep.
    """
    names = _names_in(source, how) if keep else []
    kept = names if list(keep) == [ALL_COLUMNS] else list(dict.fromkeys(keep))
    for name in kept:
        if name not in names:
            raise DataError(f"there is no column {name!r} for {option('keep')}. {nearest(name, names)}")
    wanted = {**inputs, **{_KEPT + name: PassThrough() for name in kept}}
    how = dataclasses.replace(how, rename={**how.rename, **{_KEPT + name: name for name in kept}})
    for part in _parts(source, wanted, how, rows):
        if not set(part.table.columns) & set(inputs):
            raise DataError(
                f"{part.table.source} has none of the columns {quote_names(inputs)}. Map its columns with "
                f"{option('columns', {'NAME': 'THEIRS'})}."
            )
        columns = part.table.columns
        part.kept = {name: columns.pop(_KEPT + name) for name in kept}
        yield part


def _names_in(source: Any, how: ReadOptions) -> list[str]:
    """The columns of a source, of which bad rows may be anywhere; of jsonl those of its first part."""
    first: Any = source if isinstance(source, Table) else next(iter(expand_sources(source) or [source]))
    file = existing_file(first)
    if file and is_delimited(file, how):
        with open_records(file, os.fspath(first), how, {}) as records:
            return records.header
    if not file or file_type(file) != ".jsonl":
        return header_of(first, how)
    with open_text(file, os.fspath(first), "surrogateescape") as text:
        rows = [_object(line, 0, {}) for line in itertools.islice(text, CHUNK_ROWS) if line.strip()]
    return list(dict.fromkeys(name for row in rows for name in row))


def _parts(source: Any, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    several = expand_sources(source) if not isinstance(source, Table) else None
    if several and all(is_table(part) or is_remote(part) for part in several):
        how = dataclasses.replace(how, folders=(*how.folders, *source_folders(several)))
        for part in several:
            yield from _parts(part, columns, how, rows)
    elif several:
        yield from _cut(_files([Path(part) for part in several], str(source), columns), rows, named=True)
    elif is_remote(source):
        with download(source) as path:
            yield from _in_file(path, source, columns, how, rows)
    elif file := existing_file(source):
        yield from _in_file(file, os.fspath(source), columns, how, rows)
    elif isinstance(source, Table):
        yield from _cut(source, rows)
    elif folder := _texts_folder(source, columns):
        suffixes = next(iter(columns.values())).suffixes
        files, skipped = list_files(folder, suffixes)
        if not files:
            raise DataError(f"{source} holds none of {', '.join(suffixes)}, but {describe_counts(skipped)}.")
        table = _files(files, os.fspath(source), columns)
        table.remarks = [f"skipped {describe_counts(skipped)}"] if skipped else []
        yield from _cut(table, rows, named=True)
    else:
        named = isinstance(source, (str, os.PathLike)) and Path(source).expanduser().is_dir()
        yield from _cut(_whole(source, columns, how), rows, named=named)


def is_table(source: Any) -> bool:
    """Whether a name ends as those of tables do, packed or not."""
    return isinstance(source, (str, os.PathLike)) and file_type(Path(source)) in (*TABLE_SUFFIXES, ".npz")


def _texts_folder(source: Any, columns: Mapping[str, Column]) -> Path | None:
    """A folder without a table of its files, which are read one by one: they hold the only input, as texts do."""
    if not isinstance(source, (str, os.PathLike)) or len(columns) != 1:
        return None
    column, path = next(iter(columns.values())), Path(source).expanduser()
    if not column.suffixes or type(column).from_file is Column.from_file or not path.is_dir():
        return None
    return None if any(path.glob("labels.*")) or any(path.glob("metadata.*")) else path


def _files(files: Sequence[Path], source: str, columns: Mapping[str, Column]) -> Table:
    """Files as rows of the only column: they are opened when it is their turn."""
    if len(columns) != 1:
        raise DataError(
            f"{source} are single files, which hold one value each. Required: {quote_names(columns)}. List them in a "
            "table with these columns."
        )
    return Table(source, {next(iter(columns)): files}, lambda row: str(files[row]))


def _cut(table: Table, rows: int, *, named: bool = False) -> Iterator[Chunk]:
    for start in range(0, len(table), rows):
        part = table.take(range(start, min(start + rows, len(table))))
        part.remarks = table.remarks if not start else []
        yield Chunk(part, named=named)


def _whole(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """A source that is in memory already, or is read into it."""
    table = read_memory(as_columns(source), columns, how.rename)
    if table is None:
        return read_table(source, columns, how)
    check_lengths(table)
    return table


def _in_file(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    if is_delimited(path, how):
        parts = _delimited(path, source, columns, how, rows)
    elif how.column_names:
        raise DataError(
            f"{source}: column names, {option('column_names')}, apply only to csv and tsv files without a header."
        )
    elif file_type(path) == ".jsonl":
        parts = _json_lines(path, source, columns, how, rows)
    elif file_type(path) == ".parquet":
        parts = _parquet(path, source, columns, how, rows)
    elif (file_type(path) == ".json" and not is_json_object(path)) or is_table(path):
        parts = _cut(read_table(source, columns, how), rows)
    else:
        parts = _cut(_files([path], source, columns), rows, named=True)
    inside = FolderGuard(how, path.parent)
    own = {name: column for name, column in columns.items() if type(column).from_cell is not Column.from_cell}
    with as_data_error(source):
        for part in parts:
            for name in own if not part.named else ():
                _place(part, name, own[name], path.parent, inside)
            yield part


def _place(part: Chunk, name: str, column: Column, folder: Path, inside: FolderGuard) -> None:
    """Cells as the column reads them in a table's folder; files must lie inside."""
    if name not in part.table.columns:
        return
    values = list(part.table.columns[name])
    for row, cell in enumerate(values):
        if isinstance(cell, str) and cell.strip() and row not in part.bad:
            try:
                values[row] = column.from_cell(cell, folder)
                if isinstance(values[row], Path):
                    inside(values[row], f"column {name!r}")
            except Exception as error:
                part.bad[row] = str(data_error_of(error, f"column {name!r}"))
    part.table.columns[name] = values


def _delimited(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    wrong: dict[int, str] = {}
    with open_records(path, source, how, wrong) as records:
        matched = match_names(columns, records.header, how.rename, source, hint=records.hint)
        places = {name: records.header.index(column) for name, column in matched.items()}
        remarks = records.remarks
        while read := list(itertools.islice(records.rows, rows)):
            lines = [line for line, _ in read]
            bad = {row: wrong.pop(line) for row, line in enumerate(lines) if line in wrong} if wrong else {}
            empty: list[Any] = [None] * len(records.header)
            cells = {name: [(record or empty)[place] for _, record in read] for name, place in places.items()}
            _refuse_bytes(cells, bad)
            yield Chunk(Table(source, cells, _on_lines(source, lines), remarks=remarks), bad=bad)
            remarks = []


def _json_lines(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions, rows: int) -> Iterator[Chunk]:
    with open_text(path, source, "surrogateescape") as text:
        lines = ((line, content) for line, content in enumerate(text, start=1) if content.strip())
        matched: dict[str, str] = {}
        while read := list(itertools.islice(lines, rows)):
            bad: dict[int, str] = {}
            values = [_object(content, row, bad) for row, (_, content) in enumerate(read)]
            if not matched:
                names = list(dict.fromkeys(name for value in values for name in value))
                inside = [inner for name in names for inner in names_inside(name, (row.get(name) for row in values))]
                matched = match_names(columns, [*names, *inside], how.rename, source)
            cells: dict[str, list[Any]] = {name: [] for name in matched}
            for row, value in enumerate(values):
                for name, key in matched.items():
                    there, cell = find_inside(value, key)
                    cells[name].append(cell if there else columns[name].default)
                    if not there and not isinstance(columns[name], PassThrough):
                        bad.setdefault(row, f"the row has no {key!r}, but other rows do.")
            yield Chunk(Table(source, cells, _on_lines(source, [line for line, _ in read])), bad=bad)


def _object(content: str, row: int, bad: dict[int, str]) -> dict[str, Any]:
    """What a line of JSON holds; nothing, and why, where it is not an object."""
    try:
        if wrong := utf8_problem(content):
            raise DataError(f"the line is {wrong}")
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
            held = {name: batch.column(name).to_pylist() for name in outer.values()}
            cells = {
                name: held[column] if isinstance(columns[name], PassThrough) and column in held
                else column_values(held[outer[column]], outer[column], column)
                for name, column in matched.items()
            }  # fmt: skip
            yield Chunk(Table(source, cells, _rows_after(source, start)))
            start += len(batch)


def _refuse_bytes(cells: Mapping[str, Sequence[str | None]], bad: dict[int, str]) -> None:
    """Adds the rows of which a cell is not UTF-8."""
    for name, column in cells.items():
        for row, cell in enumerate(column):
            if cell and not cell.isascii() and row not in bad and (wrong := utf8_problem(cell)):
                bad[row] = f"the cell in column {name.removeprefix(_KEPT)!r} is {wrong}"


def _on_lines(source: str, lines: list[int]) -> Callable[[int], str]:
    return lambda row: f"{source}, line {lines[row]}"


def _rows_after(source: str, start: int) -> Callable[[int], str]:
    return lambda row: f"{source}, row {start + row + 1}"
