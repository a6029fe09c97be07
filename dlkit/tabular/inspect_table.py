"""Facts and warnings about a table: the kinds of its columns, and columns that do not help or help too much."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.columns import is_missing_number
from dlkit.data.table import Table
from dlkit.options import option
from dlkit.report import Report, most_common
from dlkit.tabular.columns import NumberCell
from dlkit.tabular.declare import TabularTask, declared_kinds
from dlkit.tabular.discover import FoundKind, find_kinds

MAX_SHOWN = 50  # columns whose kind is shown
MIN_ROWS = 20  # rows below which a table is too small for these warnings
MAX_GROUP_VALUES = 0.2  # share of distinct values, of the rows, up to which a column can be said to give a target away
ALMOST_EQUAL = 0.9999  # correlation, of numbers or their ranks, from which one column gives another away
MAX_RANKED = 5000  # rows by which two columns are compared


def inspect_table(report: Report, task: TabularTask, table: Table, truth: Sequence[Any]) -> None:
    """Add the kinds of the inputs, and warnings about them, to a report.

    Args:
        report: the report to add to.
        task: the task, whose columns are declared.
        table: the training rows.
        truth: the values of the target: numbers, or names of labels.
    """
    found = find_kinds(table, task.inputs, declared_kinds(task, task.inputs))
    report.statistics["inputs"] = most_common(dict(collections.Counter(kind.kind for kind in found.values())))
    shown = [f"{name}: {kind}" for name, kind in itertools.islice(found.items(), MAX_SHOWN)]
    more = [f"and {len(found) - MAX_SHOWN} more"] if len(found) > MAX_SHOWN else []
    report.statistics["columns"] = "; ".join([*shown, *more])
    for name, kind in found.items():
        _inspect_column(report, table, name, kind)
        if len(table) >= MIN_ROWS and _gives_away(table.columns[name], kind, truth):
            report.add_warning(
                f"the column {name!r} alone gives the target away",
                cure=f"If it is not known when a prediction is made, leave it out: {option('ignore', name)}.",
            )


def _inspect_column(report: Report, table: Table, name: str, kind: FoundKind) -> None:
    if kind.strays:
        examples = (f"{table.where(row)}: {table.columns[name][row]!r}" for row in kind.strays)
        report.add_warning(
            f"the column {name!r} is taken for categories, as {len(kind.strays)} of its cells are no numbers",
            examples,
            "Correct them, or leave them empty.",
        )
    if len(table) < MIN_ROWS:
        return
    if kind.distinct + bool(kind.missing) < 2:
        report.add_warning(f"the column {name!r} has the same value in all rows", cure="It does not help.")
    is_code = kind.kind == "category" or (kind.kind == "number" and _all_integers(table.columns[name]))
    if is_code and kind.distinct == len(table):
        report.add_warning(
            f"the column {name!r} has another value in each row, as an id",
            cure=f"If it is one, leave it out: {option('ignore', name)}.",
        )


def _all_integers(values: Sequence[Any]) -> bool:
    return all(not is_missing_number(value) and float(value).is_integer() for value in values)


def _gives_away(values: Sequence[Any], kind: FoundKind, truth: Sequence[Any]) -> bool:
    """Return whether a column determines the target: each of its values has one label, or it is a linear function."""
    numeric = len(truth) and not isinstance(truth[0], str)
    if numeric and kind.kind == "number":
        x, y = np.array([[NumberCell().raw(value) for value in values], truth], np.float64)
        known = np.isfinite(x) & np.isfinite(y)
        if known.sum() < MIN_ROWS or not x[known].std() or not y[known].std():
            return False
        return bool(abs(np.corrcoef(x[known], y[known])[0, 1]) > ALMOST_EQUAL)
    if kind.kind in ("text", "date") or not 1 < kind.distinct <= MAX_GROUP_VALUES * len(truth):
        return False
    labels: dict[Any, Any] = {}
    return len(set(truth)) > 1 and all(
        labels.setdefault(value, label) == label for value, label in zip(map(str, values), truth, strict=True)
    )


def ranks_alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether one column is as good as a monotone function of another, rising or falling.

    That is a rank correlation of almost 1 or -1 over the first rows, up to `MAX_RANKED`, in which both are known.

    Args:
        one, other: float64 (rows,), NaN where unknown. Fewer than `MIN_ROWS` common values tell nothing.

    Examples:
        >>> molar = np.linspace(1e-9, 1e-6, 50)
        >>> ranks_alike(molar, -np.log10(molar)), ranks_alike(molar, molar % 2e-7)
        (True, False)
    """
    rows = np.flatnonzero(np.isfinite(one) & np.isfinite(other))[:MAX_RANKED]
    if len(rows) < MIN_ROWS or not np.ptp(one[rows]) or not np.ptp(other[rows]):
        return False
    return bool(abs(np.corrcoef(_mean_ranks(one[rows]), _mean_ranks(other[rows]))[0, 1]) > ALMOST_EQUAL)


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value; equal ones have the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
