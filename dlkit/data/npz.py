"""npz files of arrays with one row an example."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column
from dlkit.data.bytes import read_bytes
from dlkit.data.labels import label_values
from dlkit.data.match import match_names
from dlkit.data.memory import class_names
from dlkit.data.table import Table
from dlkit.errors import DataError


def read_npz(path: Path, source: str, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table:
    """The arrays that go by the columns' names or their plurals (`images`, `labels`).

    An array `label_names`, if there is one, names the classes of integer labels (for a column `x`:
    `x_names`), and one `classes` those of masks. Pickled objects are refused: loading them could run any code.
    """
    with _opened(path, source) as file:
        plurals = {name: (f"{name}s",) for name in columns}
        matched = match_names(columns, file.files, rename, source, also=plurals)
        values: dict[str, Any] = {}
        for name, key in matched.items():
            names_key = f"{name.removesuffix('s')}_names"
            names = _array(file, names_key, source) if names_key in file.files else None
            values[name] = label_values(_array(file, key, source), name, columns, source, names)
        listed = {"classes": _array(file, "classes", source)} if "classes" in file.files else {}
    return Table(source, values, lambda row: f"{source}, index {row}", class_names(listed, columns, source))


def names_in(path: Path, source: str) -> list[str]:
    """The names of a file's arrays. Raises DataError where it cannot be read."""
    with _opened(path, source) as file:
        return list(file.files)


def _opened(path: Path, source: str) -> Any:
    try:
        file = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        read_bytes(path, source)  # has the better words for an empty file
        raise DataError(f"{source}: not a readable npz file. Write it with numpy.savez_compressed.") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise DataError(
            f"{source}: holds a single array. Expected named arrays, as numpy.savez_compressed writes them."
        )
    return file


def _array(file: Any, key: str, source: str) -> np.ndarray:
    try:
        array = file[key]
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{source}: the array {key!r} cannot be read ({error}). Texts must have a string dtype: "
            "numpy.array(list_of_str)."
        ) from error
    if array.ndim == 0:
        raise DataError(f"{source}: {key!r} is a single value. Expected an array with one row an example.")
    return array
