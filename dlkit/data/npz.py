"""npz files of arrays with one row an example."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column
from dlkit.data.bytes import refuse_blank
from dlkit.data.labels import to_label_names
from dlkit.data.match import match_names
from dlkit.data.memory import class_names
from dlkit.data.table import Table
from dlkit.data.unpack import open_arrays, read_array
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error


def read_npz(path: Path, source: str, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table:
    """The arrays that go by the columns' names or their plurals (`images`, `labels`).

    An array `label_names`, if there is one, names the classes of integer labels (for a column `x`:
    `x_names`), and one `classes` those of masks. Pickled objects are refused: loading them could run any code.
    """
    with _opened(path, source) as file:
        plurals = {name: (f"{name}s",) for name in columns}
        matched = match_names(columns, file.files, rename, source, alternatives=plurals)
        values: dict[str, Any] = {}
        for name, key in matched.items():
            names_key = f"{name.removesuffix('s')}_names"
            names = _array(file, names_key, source) if names_key in file.files else None
            values[name] = to_label_names(_array(file, key, source), name, columns, source, names)
        listed = {"classes": _array(file, "classes", source)} if "classes" in file.files else {}
    return Table(source, values, lambda row: f"{source}, index {row}", class_names(listed, columns, source))


def array_names(path: Path, source: str) -> list[str]:
    """The names of a file's arrays. Raises DataError where it cannot be read."""
    with _opened(path, source) as file:
        return list(file.files)


def _opened(path: Path, source: str) -> Any:
    with as_data_error(source):
        refuse_blank(path, source)
    return open_arrays(path, source)


def _array(file: Any, key: str, source: str) -> np.ndarray:
    array = read_array(file, key, source)
    if array.ndim == 0:
        raise DataError(f"{source}: {key!r} is a single value. Expected an array with one row per example.")
    return array
