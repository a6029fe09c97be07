"""The inputs of `predict`: values, names of data, or data; decides which of these a string is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit.columns import Column, EncodedFile
from dlkit.data.bytes import existing_file
from dlkit.data.memory import as_columns, is_dataframe
from dlkit.data.multiple_sources import concatenate, expand_sources
from dlkit.data.read import read_table
from dlkit.data.read_options import ReadOptions
from dlkit.data.record_chunks import Chunk, is_table, record_chunks
from dlkit.data.remote import download, is_remote
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.graph_predictor import inputs_to_table
from dlkit.options import option, python_or_cli

if TYPE_CHECKING:
    from dlkit.task import Task

TEXT_FILES = (".txt", ".md")
_PATH = re.compile(r"(\.{0,2}/|~/)\S+|\S+/")  # of a file or a folder, and never a text
VALUE, FILE, DATA = "value", "file", "data"  # what a text or a path is


@dataclass
class PredictionInputs:
    """Rows to predict for.

    Attributes:
        table: the rows, with the inputs.
        single: whether one was given alone, and not in a list or a table.
        index: of a DataFrame, or the files of a folder; None for their numbers.
        bad: rows that cannot be read and are left out, of a folder: which file, and why.
    """

    table: Table
    single: bool = False
    index: Any = None
    bad: Sequence[str] = ()


def prediction_inputs(task: Task, values: Any, how: ReadOptions) -> PredictionInputs:
    """Convert the inputs of `Task.predict` to rows.

    Args:
        task: fitted.
        values: as of `Task.predict`; None for the rows that the task holds itself.
        how: how a source is read.

    Raises:
        DataError: it is neither values nor data; a file is missing; or a row cannot be read.
    """
    inputs = task.inputs
    if values is None:
        return _read_rows(task, task.rows.stored(task), how)
    if isinstance(values, (str, os.PathLike)):
        kind = classify_text(values, inputs)
        if kind == VALUE:
            return PredictionInputs(*inputs_to_table(values, inputs))
        if kind == FILE:
            return PredictionInputs(*inputs_to_table(_value_in_file(values, inputs), inputs))
        return _read_rows(task, values, how)
    if _is_series(values):
        index = list(getattr(values, "index", range(len(values))))
        required = [name for name, column in inputs.items() if not column.optional]
        if required and set(required) <= set(map(str, index)):  # a row of a DataFrame
            return PredictionInputs(*inputs_to_table(values.to_dict(), inputs))
        if len(inputs) != 1:
            raise DataError(f"a Series holds one column, and the inputs are {', '.join(inputs)}. Give a DataFrame.")
        rows = [{next(iter(inputs)): value} for value in values]
        return PredictionInputs(inputs_to_table(rows, inputs)[0], index=getattr(values, "index", None))
    if _is_data(values, inputs):
        return _read_rows(task, values, how)
    return PredictionInputs(*inputs_to_table(values, inputs))


def prediction_chunks(task: Task, source: Any, how: ReadOptions, keep_columns: Sequence[str] = ()) -> Iterator[Chunk]:
    """Yield the rows of a source in chunks, if each record is a row of the task; otherwise all rows at once.

    Args:
        task: fitted.
        source: as of `dlkit.data.read.read`.
        how: how it is read.
        keep_columns: columns of the source to hand on; see `record_chunks`.

    Raises:
        DataError: as of `record_chunks`; or there are columns to keep, and a row is made of several records.
    """
    if task.rows.by_record:
        if _is_series(source) or (isinstance(source, list) and source_names(source) is None):
            source = prediction_inputs(task, source, how).table
        yield from record_chunks(source, task.inputs, how, keep_columns)
        return
    if keep_columns:
        raise DataError(
            f"{task.task_name()} builds each row from several records: there are no columns "
            f"to copy ({option('keep_columns')}). The predictions name the rows."
        )
    optional_targets = {name: column for name, column in task.target.items() if column.optional}
    yield Chunk(read_table(source, {**optional_targets, **task.inputs}, how))


def source_names(source: Any) -> list[Any] | None:
    """Return the names of the files, folders and addresses of a source; None for data in memory."""
    if isinstance(source, (str, os.PathLike)):
        return expand_sources(source) or [source]
    if isinstance(source, list) and source and all(is_table(chunk) and existing_file(chunk) for chunk in source):
        return list(source)
    return None


def classify_text(value: str | os.PathLike[str], inputs: Mapping[str, Column]) -> str:
    """Decide whether a string or path is `DATA`, a `FILE` that holds a value, or itself a `VALUE`.

    A string is data if it names an existing file or folder, ends like a table or a text file, or is the address of a
    file or a data set.

    Raises:
        DataError: it is such a name, and there is no such file.
    """
    text = os.fspath(value)
    column = next(iter(inputs.values())) if len(inputs) == 1 else None
    path, exists = Path(text).expanduser(), False
    is_name = isinstance(value, os.PathLike) or not re.search(r"[\r\n]", text)
    try:
        exists = is_name and bool(text.strip()) and path.exists()
    except (OSError, ValueError):  # too long, or with a null byte
        is_name = isinstance(value, os.PathLike)
    has_space = re.search(r"\s", text)
    holds_rows = path.suffix.lower() in (".gz", *(column.table_suffixes if column else ()))
    if column is None or (is_name and (is_table(text) or holds_rows)):
        if not exists and not _is_address(text) and not _matches_files(text):
            raise _missing_file_error(text, column)
        return DATA
    if (
        (text.startswith("tfds:") and not has_space)
        or (exists and path.is_dir())
        or (not exists and _matches_files(text))
    ):
        return DATA
    if (
        exists
        or isinstance(value, os.PathLike)
        or isinstance(column, EncodedFile)
        or (is_remote(text) and not has_space)
    ):
        return FILE
    if is_name and column.suffixes and (path.suffix.lower() in TEXT_FILES or _PATH.fullmatch(text)):
        raise _missing_file_error(text, column)
    return VALUE


def _is_address(text: str) -> bool:
    """Return whether a string is the address of a file or a data set."""
    return is_remote(text) or text.startswith("tfds:")


def _matches_files(text: str) -> bool:
    """Return whether a string is a pattern that looks like a path and matches files; "???" is a text."""
    if "/" not in text and not is_table(text) and Path(text).suffix.lower() not in TEXT_FILES:
        return False
    try:
        return bool(expand_sources(text))
    except DataError:
        return False


def _missing_file_error(text: str, column: Column | None) -> DataError:
    hint = ""
    if column is not None and not isinstance(column, EncodedFile):
        hint = f" If this text is itself the input, pass it {python_or_cli('in a list', 'with --text')}."
    shortened = text if len(text) <= 200 else f"{text[:200]}..."
    return DataError(
        f"there is no file {shortened!r}: looked at {str(Path(text).expanduser().absolute())[:300]}.{hint}"
    )


def _value_in_file(name: str | os.PathLike[str], inputs: Mapping[str, Column]) -> Any:
    """Return the value in a file; for a local file, its path, which the column opens."""
    if not is_remote(name):
        return Path(name).expanduser()
    column = next(iter(inputs.values()))
    with download(str(name)) as path:
        return column.raw(column.from_file(path))


def _is_series(values: Any) -> bool:
    """Return whether these are a Series of pandas or polars."""
    return type(values).__name__ == "Series" and hasattr(values, "to_list") and not is_dataframe(values)


def _is_data(values: Any, inputs: Mapping[str, Column]) -> bool:
    """Return whether these are a table, rather than values or a list of values."""
    if isinstance(values, Table) or is_dataframe(values) or hasattr(values, "element_spec"):
        return True
    if isinstance(values, Mapping):  # of columns, where each input is a list that cannot be one value
        values_by_column = [(column, values[name]) for name, column in inputs.items() if name in values]
        return bool(values_by_column) and all(
            not column.shape and column.is_list(value) for column, value in values_by_column
        )
    if isinstance(values, list):
        return source_names(values) is not None
    return not isinstance(values, tuple) and as_columns(values) is not values


def _read_rows(task: Task, source: Any, how: ReadOptions) -> PredictionInputs:
    tables, bad, by_file = [], list[str](), False
    for chunk in prediction_chunks(task, source, how):
        by_file = chunk.named
        for row, reason in chunk.bad.items():
            raise DataError(f"{chunk.table.where(row)}: {reason}")
        if by_file:
            chunk.table, reasons = _readable(chunk.table, task.inputs)
            bad += reasons
        tables.append(chunk.table)
    if not sum(map(len, tables)):
        raise DataError(f"{source!s:.200} has no rows." + (f" The first bad one: {bad[0]}" if bad else ""))
    table = tables[0] if len(tables) == 1 else concatenate(tables[0].source, tables)
    index = getattr(source, "index", None) if is_dataframe(source) else None
    if by_file:
        index = [table.where(row) for row in range(len(table))]
    return PredictionInputs(table, index=index, bad=bad)


def _readable(table: Table, inputs: Mapping[str, Column]) -> tuple[Table, list[str]]:
    """Read the files of a folder; return those that can be read, and the errors of the others."""
    name, rows, values, bad = next(iter(inputs)), list[int](), list[Any](), list[str]()
    for row in range(len(table)):
        try:
            values.append(table.raw(row, inputs)[name])
            rows.append(row)
        except DataError as error:
            bad.append(str(error))
    selected = table.take(rows)
    selected.columns = {**selected.columns, name: values}
    return selected, bad
