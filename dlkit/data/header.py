"""The columns that a source has, before it is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.data.delimited import records_of
from dlkit.data.json_rows import read_json
from dlkit.data.npz import names_in
from dlkit.data.parquet import read_parquet
from dlkit.data.table import Table


def header_of(source: Any, data_dir: str | None = None) -> list[str]:
    """The names of a source's columns, in its order; none of a source whose columns have no names.

    Args:
        source: as `dlkit.data.read.read` takes it.
        data_dir: where TensorFlow Datasets lie.

    Raises:
        DataError: a file cannot be read.
    """
    if isinstance(source, Table):
        return list(source.columns)
    if isinstance(source, list) and source and isinstance(source[0], Mapping):
        return list(dict.fromkeys(str(name) for row in source if isinstance(row, Mapping) for name in row))
    if isinstance(source, tuple) and len(source) == 2:
        return [*header_of(source[0]), *header_of(source[1])]
    if hasattr(source, "element_spec"):  # a tf.data.Dataset
        return header_of(source.element_spec)
    if hasattr(source, "iloc") and not hasattr(source, "columns"):  # a Series
        return [] if source.name is None else [str(source.name)]
    if hasattr(source, "keys"):  # a dict of columns, or a DataFrame
        return [str(name) for name in source]
    if isinstance(source, str) and source.startswith("tfds:"):
        from dlkit.data.tfds_source import features_of

        return features_of(source, data_dir)
    path = Path(os.fspath(source)).expanduser() if isinstance(source, (str, os.PathLike)) else Path()
    return _in_file(path, str(source)) if path.is_file() else []


def _in_file(path: Path, source: str) -> list[str]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _names(read_parquet, path, source)
    if suffix == ".npz":
        return names_in(path, source)
    if suffix in (".jsonl", ".json"):
        return _names(read_json, path, source)
    if suffix not in (".csv", ".tsv"):
        return []
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next(records_of(file, "\t" if suffix == ".tsv" else ",", source), None)
    return [name.strip() for name in first[1]] if first else []


def _names(read: Callable[..., Any], path: Path, source: str) -> list[str]:
    """What a reader offers to choose from."""
    found: list[str] = []

    def keep(names: Sequence[str], hint: str) -> dict[str, str]:
        found.extend(names)
        return {}

    read(path, source, keep)
    return found
