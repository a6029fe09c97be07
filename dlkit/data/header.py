"""The column names of a source, before it is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.data.bytes import existing_file, file_type
from dlkit.data.delimited import is_delimited, open_records
from dlkit.data.json_rows import read_json
from dlkit.data.memory import as_columns
from dlkit.data.multiple_sources import expand_sources
from dlkit.data.npz import array_names
from dlkit.data.parquet import read_parquet
from dlkit.data.read_options import DEFAULT_OPTIONS, ReadOptions
from dlkit.data.reader import Reader
from dlkit.data.remote import download, is_remote
from dlkit.data.table import Table
from dlkit.reading_errors import as_data_error


def header_of(source: Any, how: ReadOptions = DEFAULT_OPTIONS, readers: Sequence[Reader] = ()) -> list[str]:
    """Return the names of a source's columns, in order; none if its columns have no names.

    Of several files those of the first.

    Args:
        source: as `dlkit.data.read.read` takes it.
        how: how it is read.
        readers: of the wanted columns, which know files of their own.

    Raises:
        DataError: a file cannot be read.
    """
    if isinstance(source, Table):
        return list(source.header or source.columns)
    if isinstance(source, (str, os.PathLike)):
        with as_data_error(source):
            return _read_header(source, how, readers)
    return _read_header(source, how, readers)


def _read_header(source: Any, how: ReadOptions, readers: Sequence[Reader]) -> list[str]:
    source = as_columns(source)
    if isinstance(source, list) and source and isinstance(source[0], Mapping):
        return list(dict.fromkeys(str(name) for row in source if isinstance(row, Mapping) for name in row))
    if isinstance(source, tuple) and len(source) == 2:
        return [*header_of(source[0]), *header_of(source[1])]
    if hasattr(source, "element_spec"):  # a tf.data.Dataset
        return header_of(source.element_spec)
    if hasattr(source, "iloc") and not hasattr(source, "columns"):  # a Series
        return [] if source.name is None else [str(source.name)]
    if hasattr(source, "keys"):  # a dict of columns, or a DataFrame
        levels = getattr(getattr(source, "index", None), "names", ())
        return [str(name) for name in (*source, *(level for level in levels if level is not None))]
    if isinstance(source, str) and source.startswith("tfds:"):
        from dlkit.data.tfds_source import features_of

        return features_of(source, how.data_dir)
    sources = expand_sources(source)
    if sources:
        return header_of(sources[0], how, readers)
    if is_remote(source):
        with download(source) as path:
            return _header_of_file(path, source, how, readers)
    file = existing_file(source)
    return _header_of_file(file, str(source), how, readers) if file else []


def _header_of_file(path: Path, source: str, how: ReadOptions, readers: Sequence[Reader]) -> list[str]:
    for reader in readers:
        names = reader.header(path, source)
        if names is not None:
            return names
    if is_delimited(path, how):
        with open_records(path, source, how) as records:
            return records.header
    kind = file_type(path)
    if kind == ".parquet":
        return _names_by_reader(read_parquet, path, source)
    if kind == ".npz":
        return array_names(path, source)
    if kind in (".jsonl", ".json"):
        return _names_by_reader(read_json, path, source)
    return []


def _names_by_reader(read: Callable[..., Any], path: Path, source: str) -> list[str]:
    """Return the column names that a reader offers for matching."""
    found: list[str] = []

    def collect(names: Sequence[str], hint: str) -> dict[str, str]:
        found.extend(names)
        return {}

    read(path, source, collect)
    return found
