"""What `predict` is given: values, or the name of data, or data; and which of these a text is."""

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
    """Rows to answer.

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
    """What `Task.predict` was given, as rows.

    Args:
        task: fitted.
        values: as of `Task.predict`; None for the rows that the task holds itself.
        how: how a source is read.

    Raises:
        DataError: it is neither values nor data; a file is missing; or a row cannot be read.
    """
    inputs = task.inputs
    if values is None:
        return _all_rows(task, task.rows.stored(task), how)
    if isinstance(values, (str, os.PathLike)):
        kind = classify_text(values, inputs)
        if kind == VALUE:
            return PredictionInputs(*inputs_to_table(values, inputs))
        if kind == FILE:
            return PredictionInputs(*inputs_to_table(_in_file(values, inputs), inputs))
        return _all_rows(task, values, how)
    if _is_series(values):
        index = list(getattr(values, "index", range(len(values))))
        needed = [name for name, column in inputs.items() if not column.optional]
        if needed and set(needed) <= set(map(str, index)):  # a row of a DataFrame
            return PredictionInputs(*inputs_to_table(values.to_dict(), inputs))
        if len(inputs) != 1:
            raise DataError(f"a Series holds one column, and the inputs are {', '.join(inputs)}. Give a DataFrame.")
        rows = [{next(iter(inputs)): value} for value in values]
        return PredictionInputs(inputs_to_table(rows, inputs)[0], index=getattr(values, "index", None))
    if _is_data(values, inputs):
        return _all_rows(task, values, how)
    return PredictionInputs(*inputs_to_table(values, inputs))


def prediction_chunks(task: Task, source: Any, how: ReadOptions, keep: Sequence[str] = ()) -> Iterator[Chunk]:
    """The rows of a source that a task answers, in parts where each record is one of them.

    Args:
        task: fitted.
        source: as of `dlkit.data.read.read`.
        how: how it is read.
        keep: columns of the source to hand on; see `record_chunks`.

    Raises:
        DataError: as of `record_chunks`; or there are columns to keep, and a row is made of several records.
    """
    if task.rows.by_record:
        if _is_series(source) or (isinstance(source, list) and source_names(source) is None):
            source = prediction_inputs(task, source, how).table
        yield from record_chunks(source, task.inputs, how, keep)
        return
    if keep:
        raise DataError(
            f"{task.task_name()} builds each row from several records: there are no columns to {option('keep')}. "
            "The predictions name the rows."
        )
    also = {name: column for name, column in task.target.items() if column.optional}
    yield Chunk(read_table(source, {**also, **task.inputs}, how))


def source_names(source: Any) -> list[Any] | None:
    """The names of files, folders and addresses that a source consists of; None for what is in memory."""
    if isinstance(source, (str, os.PathLike)):
        return expand_sources(source) or [source]
    if isinstance(source, list) and source and all(is_table(part) and existing_file(part) for part in source):
        return list(source)
    return None


def classify_text(value: str | os.PathLike[str], inputs: Mapping[str, Column]) -> str:
    """Whether a text or a path that is to be answered is `DATA`, a `FILE` that holds a value, or itself the `VALUE`.

    A text is never answered where it is the name of a file or a folder that is there, ends as names of tables and texts
    do, or is the address of a file or a data set.

    Raises:
        DataError: it is such a name, and there is no such file.
    """
    text = os.fspath(value)
    column = next(iter(inputs.values())) if len(inputs) == 1 else None
    path, there = Path(text).expanduser(), False
    is_name = isinstance(value, os.PathLike) or not re.search(r"[\r\n]", text)
    try:
        there = is_name and bool(text.strip()) and path.exists()
    except (OSError, ValueError):  # too long, or with a null byte
        is_name = isinstance(value, os.PathLike)
    spaced = re.search(r"\s", text)
    if column is None or (is_name and (is_table(text) or path.suffix.lower() == ".gz")):
        if not there and not _is_address(text) and not _finds(text):
            raise _missing(text, column)
        return DATA
    if (text.startswith("tfds:") and not spaced) or (there and path.is_dir()) or (not there and _finds(text)):
        return DATA
    if there or isinstance(value, os.PathLike) or isinstance(column, EncodedFile) or (is_remote(text) and not spaced):
        return FILE
    if is_name and column.suffixes and (path.suffix.lower() in TEXT_FILES or _PATH.fullmatch(text)):
        raise _missing(text, column)
    return VALUE


def _is_address(text: str) -> bool:
    """Whether a text is an address, of a file or of a data set."""
    return is_remote(text) or text.startswith("tfds:")


def _finds(text: str) -> bool:
    """Whether a text is a pattern that finds files, and looks like one: "???" is a text."""
    if "/" not in text and not is_table(text) and Path(text).suffix.lower() not in TEXT_FILES:
        return False
    try:
        return bool(expand_sources(text))
    except DataError:
        return False


def _missing(text: str, column: Column | None) -> DataError:
    cure = ""
    if column is not None and not isinstance(column, EncodedFile):
        cure = f" If this text is itself the input, pass it {python_or_cli('in a list', 'with --text')}."
    shown = text if len(text) <= 200 else f"{text[:200]}..."
    return DataError(f"there is no file {shown!r}: looked at {str(Path(text).expanduser().absolute())[:300]}.{cure}")


def _in_file(name: str | os.PathLike[str], inputs: Mapping[str, Column]) -> Any:
    """The value that a file holds: of one that lies here its path, which the column opens."""
    if not is_remote(name):
        return Path(name).expanduser()
    column = next(iter(inputs.values()))
    with download(str(name)) as path:
        return column.raw(column.from_file(path))


def _is_series(values: Any) -> bool:
    """Whether these are a Series of pandas or polars."""
    return type(values).__name__ == "Series" and hasattr(values, "to_list") and not is_dataframe(values)


def _is_data(values: Any, inputs: Mapping[str, Column]) -> bool:
    """Whether these are a table, rather than values or a list of them."""
    if isinstance(values, Table) or is_dataframe(values) or hasattr(values, "element_spec"):
        return True
    if isinstance(values, Mapping):  # of columns, where each input is a list that cannot be one value
        given = [(column, values[name]) for name, column in inputs.items() if name in values]
        return bool(given) and all(not column.shape and column.is_list(value) for column, value in given)
    if isinstance(values, list):
        return source_names(values) is not None
    return not isinstance(values, tuple) and as_columns(values) is not values


def _all_rows(task: Task, source: Any, how: ReadOptions) -> PredictionInputs:
    tables, bad, named = [], list[str](), False
    for part in prediction_chunks(task, source, how):
        named = part.named
        for row, reason in part.bad.items():
            raise DataError(f"{part.table.where(row)}: {reason}")
        if named:
            part.table, reasons = _readable(part.table, task.inputs)
            bad += reasons
        tables.append(part.table)
    if not sum(map(len, tables)):
        raise DataError(f"{source!s:.200} has no rows." + (f" The first bad one: {bad[0]}" if bad else ""))
    table = tables[0] if len(tables) == 1 else concatenate(tables[0].source, tables)
    index = getattr(source, "index", None) if is_dataframe(source) else None
    if named:
        index = [table.where(row) for row in range(len(table))]
    return PredictionInputs(table, index=index, bad=bad)


def _readable(table: Table, inputs: Mapping[str, Column]) -> tuple[Table, list[str]]:
    """The files of a folder that can be read, read; and what is wrong with the others."""
    name, rows, values, bad = next(iter(inputs)), list[int](), list[Any](), list[str]()
    for row in range(len(table)):
        try:
            values.append(table.raw(row, inputs)[name])
            rows.append(row)
        except DataError as error:
            bad.append(str(error))
    taken = table.take(rows)
    taken.columns = {**taken.columns, name: values}
    return taken, bad
