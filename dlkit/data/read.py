"""`read`: one way from whatever holds the data to a table of raw values, for every task.

Readers look at the kinds of the wanted columns (an image, a label) and never at the task that wants them.
Each kind of source is a module of its own, imported when such a source comes; only TFDS and tf.data need
TensorFlow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column
from dlkit.data.files import read_file
from dlkit.data.folders import read_folder
from dlkit.data.match import quoted
from dlkit.data.memory import read_memory
from dlkit.data.npz import read_npz
from dlkit.data.reader import readers_of
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.knobs import nearest

ACCEPTED = (
    "a folder (of class folders, or of images with their boxes or masks), a csv, tsv, jsonl, json, parquet, npz or "
    "tmx file, two aligned texts 'FILE,FILE', 'tfds:NAME', a DataFrame, a dict of columns, a list of dicts, "
    "a tuple (x, y), or a tf.data.Dataset"
)


def read(
    source: Any,
    columns: Mapping[str, Column],
    *,
    rename: Mapping[str, str] | None = None,
    data_dir: str | None = None,
) -> Table:
    """Reads the wanted columns of a source. Images given as files stay paths; they are not opened here.

    Args:
        source: one of
            - a folder of class folders (`photos/cat/1.jpg`), a flat folder where no label is wanted, or a
              folder with a table of its files (`labels.csv` or `metadata.csv`); for boxes and masks, a folder in the
              form of COCO, Pascal VOC or YOLO, or of `images/` and `masks/`;
            - a csv, tsv, jsonl, json, parquet or npz file, or the json file of COCO or of SQuAD;
            - for two texts: a TMX file, whose columns are languages, or two aligned text files: "a.en,a.es";
            - `tfds:NAME[/CONFIG][:VERSION][:SPLIT]`, for example `tfds:mnist` or `tfds:mnist:train[:10%]`;
            - a pandas DataFrame, a dict of columns, a list of dicts;
            - a tuple (x, y): x fills the first of `columns`, or is a dict or DataFrame of several; y fills
              the rest;
            - a finite tf.data.Dataset of (features, target) or of features alone, batched or not.
            The readers that the columns name know more: see `dlkit.data.reader`. A table is taken as it is.
        columns: the wanted columns by name, inputs first; the target only where it is wanted.
        rename: the source's own name for a wanted column: `{"text": "review"}`. Sources whose columns have no
            names (class folders, arrays) do not need it and pass it over.
        data_dir: where TFDS keeps its data sets.

    Returns:
        A table of at least one row, with the wanted columns and no other. Its `where` names rows as a person
        finds them: the line a csv, tsv or jsonl record starts on (`reviews.csv, line 18`), items of json, rows of
        parquet and records of TFDS from 1, the path of a file in a folder, indices of Python objects and of npz
        arrays from 0.

    Raises:
        DataError: with the place, what was expected and the cure.
    """
    rename = rename or {}
    if isinstance(source, Table):
        return source
    readers = readers_of(columns)
    for reader in readers:
        taken = reader.source(source, columns, rename, data_dir)
        if taken is not None:
            return taken
    for name in rename:
        if name not in columns:
            raise DataError(f"there is no column {name!r} to find under another name. {nearest(name, columns)}")
    table = _table(source, columns, rename, data_dir)
    _check_lengths(table)
    for name, column in columns.items():
        if name in table.columns and not column.may_be_missing:
            _check_filled(table, name, column)
    for reader in readers:
        reader.finish(table, columns)
    return table


def _table(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str], data_dir: str | None) -> Table:
    if isinstance(source, str) and source.startswith("tfds:"):
        from dlkit.data.tfds_source import read_tfds

        return read_tfds(source, columns, rename, data_dir)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fspath(source), columns, rename)
    if _is_tf_dataset(source):
        from dlkit.data.tf_dataset import read_tf_dataset

        return read_tf_dataset(source, columns, rename)
    table = read_memory(source, columns, rename)
    if table is None:
        raise DataError(f"data of type {type(source).__name__} cannot be read. Expected {ACCEPTED}.")
    return table


def _from_path(source: str, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table:
    if not source.strip():
        raise DataError(f"the name of the data is empty. Expected {ACCEPTED}.")
    path = Path(source).expanduser()
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError):  # too long or with a null byte: a text by mistake
        is_folder = exists = False
    if is_folder:
        return read_folder(path, source, columns, rename)
    if not exists:
        web = " To read from the web, download it first." if "://" in source else ""
        raise DataError(
            f"there is no {_cut(source)!r}: looked at {_cut(str(path.absolute()))}.{web} Expected {ACCEPTED}."
        )
    if path.suffix.lower() == ".npz":
        return read_npz(path, source, columns, rename)
    return read_file(path, source, columns, rename)


def _cut(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."


def _is_tf_dataset(source: Any) -> bool:
    tensorflow = sys.modules.get("tensorflow")  # without the import there can be no such object
    return tensorflow is not None and isinstance(source, tensorflow.data.Dataset)


def _check_lengths(table: Table) -> None:
    lengths = {name: len(values) for name, values in table.columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise DataError(f"{table.source}: the columns must have one length. Received: {listed}.")
    if not len(table):
        raise DataError(f"{table.source} has no rows. Expected at least one value of {quoted(table.columns)}.")


def _check_filled(table: Table, name: str, column: Column) -> None:
    """Refuses a cell without a value; an empty text and an empty list of labels are values."""
    if column.optional:
        return
    for row, value in enumerate(_scalars(table.columns[name])):
        if _is_missing(value) or (not column.may_be_empty and isinstance(value, (str, bytes)) and not value.strip()):
            raise DataError(
                f"{table.where(row)}: the {column.kind} in column {name!r} is empty. Fill it, or leave the row out."
            )


def _scalars(values: Sequence[Any]) -> Sequence[Any]:
    # Rows of a wider array are arrays, which cannot be missing: spares a walk over a large block of images.
    return [] if isinstance(values, np.ndarray) and values.ndim > 1 else values


def _is_missing(value: Any) -> bool:
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    return value is None or type(value).__name__ in (
        "NAType",
        "NaTType",
    )  # pandas need not be there to be asked
