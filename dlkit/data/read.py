"""`read`: reads any source into a table of raw values, for every task.

Readers depend on the kinds of the wanted columns (an image, a label), never on the task. Each kind of source is a
module of its own that is imported when needed; only TFDS and tf.data need TensorFlow.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from dlkit.columns import Column, Flag, is_missing_number
from dlkit.data.bytes import file_type
from dlkit.data.files import read_file
from dlkit.data.folders import read_folder
from dlkit.data.header import header_of
from dlkit.data.match import quote_names, to_nfc
from dlkit.data.memory import as_columns, index_to_columns, read_memory
from dlkit.data.multiple_sources import concatenate, expand_sources, source_folders
from dlkit.data.npz import read_npz
from dlkit.data.read_options import ReadKeywords, ReadOptions
from dlkit.data.reader import readers_of
from dlkit.data.remote import download, is_remote
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.hparams import nearest
from dlkit.options import python_or_cli
from dlkit.reading_errors import as_data_error


def accepted_sources() -> str:
    """Describe the accepted sources, in Python or on the command line."""
    sources = python_or_cli("a list or pattern of such files", "'part-*.csv'")
    others = python_or_cli(
        ", a DataFrame, a dict of columns, a list of dicts, a tuple (x, y), or a tf.data.Dataset", ""
    )
    return (
        "a folder (with one folder per class, or images with their boxes or masks), a csv, tsv, jsonl, json, "
        f"parquet, npz or tmx file (also .gz, or at https://), {sources}, two aligned texts 'FILE,FILE', "
        f"'tfds:NAME'{others}"
    )


def read(
    source: Any,
    columns: Mapping[str, Column],
    *,
    rename: Mapping[str, str] | None = None,
    data_dir: str | None = None,
    **options: Unpack[ReadKeywords],
) -> Table:
    """Read the wanted columns of a source. Images in files stay paths; they are not opened here.

    Args:
        source: one of
            - a folder of class folders (`photos/cat/1.jpg`), a flat folder where no label is wanted, or a
              folder with a table of its files (`labels.csv` or `metadata.csv`); for boxes and masks, a folder in the
              form of COCO, Pascal VOC or YOLO, or of `images/` and `masks/`;
            - a csv, tsv, jsonl, json, parquet or npz file, or the json file of COCO or of SQuAD;
            - for two texts: a TMX file, whose columns are languages, or two aligned text files: "a.en,a.es";
            - `tfds:NAME[/CONFIG][:VERSION][:SPLIT]`, for example `tfds:mnist` or `tfds:mnist:train[:10%]`;
            - a DataFrame of pandas or polars, an Arrow table, a dict of columns, a list of dicts;
            - a tuple (x, y): x fills the first of `columns`, or is a dict or DataFrame of several; y fills
              the rest;
            - a list of files, or a pattern that finds them, "part-*.csv": their rows one after another;
            - the address of a file: `https://...`, `s3://...`, or another that fsspec knows;
            - a finite tf.data.Dataset of (features, target) or of features alone, batched or not.
            The readers that the columns name know more: see `dlkit.data.reader`. A table is taken as it is.
        columns: the wanted columns by name, inputs first; the target only where it is wanted.
        rename: the source's own name for a wanted column: `{"text": "review"}`. Sources whose columns have no
            names (class folders, arrays) do not need it and pass it over. Of a value inside another its own name
            is enough. Columns of 0 and 1 for each of several labels are named together: `{"label": "toxic,rude"}`.
        data_dir: where TFDS keeps its data sets.
        **options: how the source is read, where that does not show in it: `delimiter`, `quotes`, `column_names`,
            `strict`, `max_rows`, `allow_outside`; see `dlkit.data.read_options.ReadOptions`.

    Returns:
        A table of at least one row, with the wanted columns and no other. Its `where` names rows as a person
        finds them: the line a csv, tsv or jsonl record starts on (`reviews.csv, line 18`), items of json, rows of
        parquet and records of TFDS from 1, the path of a file in a folder, indices of Python objects and of npz
        arrays from 0.

    Raises:
        DataError: with the place, what was expected and the cure.
    """
    return read_table(source, columns, ReadOptions(rename or {}, data_dir, **options))


def read_table(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read a source as `read` does, with the options in one object."""
    if isinstance(source, Table):
        return source
    if isinstance(source, (str, os.PathLike)):
        with as_data_error(_shorten(os.fspath(source))):
            return _read(source, columns, how)
    return _read(source, columns, how)


def _read(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    source = index_to_columns(as_columns(source), [how.rename.get(name, name) for name in columns])
    readers = readers_of(columns)
    for reader in readers:
        result = reader.source(source, columns, how)
        if result is not None:
            result.strict = how.strict
            return result
    for name in how.rename:
        if name not in columns:
            raise DataError(f"there is no column {name!r} to rename. {nearest(name, columns)}")
    sources = expand_sources(source)
    if sources:
        how = dataclasses.replace(how, folders=(*how.folders, *source_folders(sources)))
        return concatenate(source, [read_table(part, columns, how) for part in sources])
    flag_columns = _flag_columns(source, columns, how)
    if flag_columns:
        return _from_flags(source, columns, how, flag_columns)
    table = _read_source(source, columns, how)
    table.strict, table.classes = how.strict, tuple(map(to_nfc, table.classes))
    check_lengths(table)
    for name, column in columns.items():
        if name not in table.columns:
            continue
        if not column.may_be_missing:
            _check_filled(table, name, column)
        converted, remarks = column.convert_all(table.columns[name], table.where)
        table.columns[name] = converted
        table.remarks = [*table.remarks, *(f"column {name!r}: {remark}" for remark in remarks)]
    for reader in readers:
        reader.finish(table, columns)
    return table


def _flag_columns(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> dict[str, list[str]]:
    """Return the source's 0/1 columns that make up a multi-label column, by name."""
    wanted_names = {name: how.rename.get(name, "") for name, column in columns.items() if column.one_hot}
    labels = {name: [part.strip() for part in text.split(",")] for name, text in wanted_names.items() if "," in text}
    if not labels or set(wanted_names.values()) & set(header_of(source, how)):  # a name with a comma
        return {}
    return labels


def _from_flags(
    source: Any, columns: Mapping[str, Column], how: ReadOptions, flag_columns: Mapping[str, list[str]]
) -> Table:
    """Read a table with several labels per row, each in a 0/1 column of its own."""
    others = {name: column for name, column in columns.items() if name not in flag_columns}
    flags = [part for labels in flag_columns.values() for part in labels]
    if len(set(flags)) < len(flags) or set(flags) & set(others):
        raise DataError(
            f"the 0/1 columns must be distinct and differ from {quote_names(others)}. Received: {quote_names(flags)}."
        )
    rename = {name: theirs for name, theirs in how.rename.items() if name not in flag_columns}
    read = read_table(source, {**others, **{flag: Flag() for flag in flags}}, dataclasses.replace(how, rename=rename))
    flag_values = {flag: read.raw_column(flag, Flag()) for flag in flags}
    values = {name: read.columns[name] for name in others if name in read.columns}
    for name, labels in flag_columns.items():
        values[name] = [[part for part in labels if flag_values[part][row]] for row in range(len(read))]
    return dataclasses.replace(read, columns=values)


def _read_source(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    if isinstance(source, str) and source.startswith("tfds:"):
        from dlkit.data.tfds_source import read_tfds

        return read_tfds(source, columns, how.rename, how.data_dir)
    if is_remote(source):
        with download(source) as path:
            return _from_file(path, source, columns, how)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fspath(source), columns, how)
    if _is_tf_dataset(source):
        from dlkit.data.tf_dataset import read_tf_dataset

        return read_tf_dataset(source, columns, how)
    table = read_memory(source, columns, how.rename)
    if table is None:
        raise DataError(f"data of type {type(source).__name__} cannot be read. Expected {accepted_sources()}.")
    return table


def _from_path(source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    path = _existing_path(source)
    if path.is_dir():
        return read_folder(path, source, columns, dataclasses.replace(how, folders=(*how.folders, path)))
    return _from_file(path, source, columns, how)


def refuse_missing(source: Any) -> None:
    """Raise DataError if a source names a file or folder that does not exist. Nothing is read."""
    text = os.fspath(source) if isinstance(source, os.PathLike) else source
    for part in expand_sources(text) or [text]:
        if not isinstance(part, str) or part.startswith("tfds:") or is_remote(part):
            continue
        if "," not in part:
            _existing_path(part)
        elif not Path(part).expanduser().exists():  # two aligned texts
            for name in part.split(","):
                _existing_path(name.strip())


def _existing_path(source: str) -> Path:
    if not source.strip():
        raise DataError(f"the name of the data is empty. Expected {accepted_sources()}.")
    path = Path(source).expanduser()
    try:
        exists = path.exists()
    except (OSError, ValueError):  # too long or with a null byte: a text by mistake
        exists = False
    if not exists:
        raise DataError(
            f"there is no {_shorten(source)!r}: looked at {_shorten(str(path.absolute()))}. "
            f"Expected {accepted_sources()}."
        )
    return path


def _from_file(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    if file_type(path) == ".npz":
        return read_npz(path, source, columns, how.rename)
    return read_file(path, source, columns, how)


def _shorten(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _is_tf_dataset(source: Any) -> bool:
    tensorflow = sys.modules.get("tensorflow")  # without the import there can be no such object
    return tensorflow is not None and isinstance(source, tensorflow.data.Dataset)


def check_lengths(table: Table) -> None:
    """Raise DataError for columns of different lengths, and for tables without rows."""
    lengths = {name: len(values) for name, values in table.columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise DataError(f"{table.source}: the columns must have the same length. Received: {listed}.")
    if not len(table):
        raise DataError(f"{table.source} has no rows. Expected at least one value of {quote_names(table.columns)}.")


def _check_filled(table: Table, name: str, column: Column) -> None:
    """Raise DataError for a cell without a value; an empty text and an empty list of labels are values."""
    if column.optional:
        return
    for row, value in enumerate(_scalars(table.columns[name])):
        if _is_missing(value) or (not column.may_be_empty and isinstance(value, (str, bytes)) and not value.strip()):
            raise DataError(
                f"{table.where(row)}: the {column.kind} in column {name!r} is empty. Set it, or remove the row."
            )


def _scalars(values: Sequence[Any]) -> Sequence[Any]:
    # Rows of a wider array are arrays, which cannot be missing: spares a walk over a large block of images.
    return [] if isinstance(values, np.ndarray) and values.ndim > 1 else values


def _is_missing(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and is_missing_number(value)
