"""Arrays of class numbers as labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlkit.columns import Column, Label
from dlkit.errors import DataError


def to_label_names(values: Any, name: str, columns: Mapping[str, Column], source: str, names: Any = None) -> Any:
    """Values of a label column, class numbers replaced by their names; other columns come back as they are.

    Args:
        values: for a Label, (rows,) or (rows, 1); for a `one_hot` column, (rows, classes) of zeros and ones. Lists are
            left alone.
        name: the column.
        columns: the wanted columns.
        source: the source, for a message.
        names: the names of classes 0, 1, ...; without them a class goes by its number.
    """
    if not isinstance(values, np.ndarray):
        return values
    column = columns[name]
    if isinstance(column, Label):
        return _one_each(values, name, source, names)
    if column.one_hot and values.ndim == 2 and values.dtype.kind in "biuf":
        return _any_number(values, name, source, names)
    return values


def _one_each(values: np.ndarray, name: str, source: str, names: Any) -> Any:
    if values.ndim == 2 and values.shape[1] == 1:  # as Keras's own cifar10 has it
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"{source}: {name!r} must hold one label per row, shape (rows,). Received: shape {values.shape}. If it "
            "is one-hot, give its argmax(axis=-1)."
        )
    if names is None or values.dtype.kind not in "iu":
        return values
    if values.size and (values.min() < 0 or values.max() >= len(names)):
        row = int(np.flatnonzero((values < 0) | (values >= len(names)))[0])
        raise DataError(f"{source}, index {row}: class {values[row]} has no name; there are {len(names)} label names.")
    return [str(names[value]) for value in values]


def _any_number(values: np.ndarray, name: str, source: str, names: Any) -> list[list[str]]:
    if not np.isin(values, (0, 1)).all():
        raise DataError(f"{source}: an array of {name!r} must hold zeros and ones, one column per class.")
    if names is None:
        names = [str(index) for index in range(values.shape[1])]
    if len(names) != values.shape[1]:
        raise DataError(f"{source}: {name!r} has {values.shape[1]} classes, but there are {len(names)} label names.")
    return [[str(names[index]) for index in np.flatnonzero(row)] for row in values]
