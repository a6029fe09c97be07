"""Splits of a table by time or by group."""

from __future__ import annotations

import numpy as np

from dlkit.data.bytes import cell_text
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tabular.columns import DateCell, NumberCell
from dlkit.tabular.declare import TabularTask, tensor_name


def split_by_column(task: TabularTask, table: Table, fraction: float, seed: int) -> tuple[Table, Table] | None:
    """Split a table into (rest, held out) by the time or the group of its rows; None if the task names no such column.

    By time, the latest rows are held out; rows of one time stay together. By group, whole groups are drawn at random,
    until they have the fraction of the rows.

    Raises:
        DataError: there is one time, or one group; or a time cannot be read.
    """
    if not task.time_column and not task.group_column:
        return None
    name = tensor_name(task.time_column or task.group_column)
    if name not in table.columns:
        raise DataError(f"{table.source} cannot be split: it has no column {name!r}.")
    parts = _times(table, name) if task.time_column else np.array([cell_text(value) for value in table.columns[name]])
    values, counts = np.unique(parts, return_counts=True)
    kind = "time" if task.time_column else "group"
    if len(values) < 2:
        raise DataError(f"{table.source} cannot be split by {name!r}: all its rows are of one {kind}.")
    order = np.arange(len(values))[::-1] if task.time_column else np.random.RandomState(seed).permutation(len(values))
    held = np.cumsum(counts[order])
    chosen = values[order[: min(max(int(np.searchsorted(held, fraction * len(table))), 0) + 1, len(values) - 1)]]
    mask = np.isin(parts, chosen)
    return table.take(np.flatnonzero(~mask).tolist()), table.take(np.flatnonzero(mask).tolist())


def _times(table: Table, name: str) -> np.ndarray:
    """Return times that sort: numbers, or dates as texts."""
    try:
        times = np.array(table.raw_column(name, NumberCell()), np.float64)
    except DataError:
        times = np.array(table.raw_column(name, DateCell()))
    missing = np.flatnonzero(np.isnan(times) if times.dtype.kind == "f" else times == b"")
    if len(missing):
        raise DataError(
            f"{table.where(int(missing[0]))}: the time in column {name!r} is missing. Set it, or remove the row."
        )
    return times
