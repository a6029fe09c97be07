"""Splits of a table, identical for the same seed on every machine."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dlkit.data.bytes import cell_text
from dlkit.data.table import Table
from dlkit.errors import DataError


def split(table: Table, fraction: float, seed: int, by: str | None = None) -> tuple[Table, Table]:
    """Split a table into (rest, held out), each in the order of the table; see `split_rows`."""
    rest, held_out = split_rows(table, fraction, seed, by)
    return table.take(rest), table.take(held_out)


def split_rows(table: Table, fraction: float, seed: int, by: str | None = None) -> tuple[list[int], list[int]]:
    """Split row numbers into (rest, held out), each in the order of the table.

    Args:
        table: the rows to part.
        fraction: the share of rows to hold out, between 0 and 1, rounded to whole rows, at least one for each
            part.
        seed: decides which rows.
        by: the column whose values keep their proportions in both parts; unless told, `label` if there is
            one. A value that occurs once stays in the rest, so fewer rows may be held out. Where no value
            occurs twice, rows are drawn without regard to it.

    Raises:
        DataError: fewer than two rows, a share that is not between 0 and 1, or no column `by`.
    """
    if not 0.0 < fraction < 1.0:
        raise DataError(f"the fraction to hold out must be between 0 and 1. Received: {fraction}.")
    if len(table) < 2:
        raise DataError(f"{table.source} has {len(table)} row, which cannot be split. Give separate validation data.")
    if by is not None and by not in table.columns:
        raise DataError(f"there is no column {by!r} to split by. Expected one of: {', '.join(table.columns)}.")
    by = "label" if by is None and "label" in table.columns else by
    # RandomState: its stream is frozen across NumPy's releases, which default_rng's is not.
    random = np.random.RandomState(seed)
    count = min(max(round(fraction * len(table)), 1), len(table) - 1)
    groups = _group_rows(table, by)
    counts = _allocate([len(group) for group in groups], count, random)
    held_out = {row for group, count in zip(groups, counts, strict=True) for row in random.permutation(group)[:count]}
    return [row for row in range(len(table)) if row not in held_out], sorted(int(row) for row in held_out)


def unique_class_rows(
    rest: Sequence[int], held_out: Sequence[int], classes_of: Callable[[int], Iterable[str]]
) -> dict[str, int]:
    """Return the classes that only held-out rows have, which would never be learned, with a row of each.

    Args:
        rest: numbers of rows. They are looked at only until every class of the held-out ones is found.
        held_out: numbers of rows.
        classes_of: the classes that a row is an example of.
    """
    missing: dict[str, int] = {}
    for row in held_out:
        for name in classes_of(row):
            missing.setdefault(name, row)
    for row in rest:
        if not missing:
            break
        for name in classes_of(row):
            missing.pop(name, None)
    return missing


def evenly_spaced(count: int, maximum: int) -> list[int]:
    """Return up to `maximum` row numbers below `count`, evenly spaced, including the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, maximum)).astype(int)).tolist()


def _group_rows(table: Table, by: str | None) -> list[list[int]]:
    """Group rows by their value of `by`, without values that occur once; all rows if no group remains."""
    if by is None:
        return [list(range(len(table)))]
    rows: dict[str, list[int]] = collections.defaultdict(list)
    for row, value in enumerate(table.columns[by]):
        rows[cell_text(value)].append(row)
    return [rows[key] for key in sorted(rows) if len(rows[key]) > 1] or [list(range(len(table)))]


def _allocate(sizes: list[int], count: int, random: np.random.RandomState) -> list[int]:
    """Allocate `count` rows to groups: in proportion, largest remainders first, never a whole group."""
    exact = np.array(sizes) * count / sum(sizes)
    counts = np.minimum(np.floor(exact).astype(int), np.array(sizes) - 1)
    ties = random.permutation(len(sizes))  # otherwise, equal groups would always favor the first
    order = sorted(range(len(sizes)), key=lambda group: (counts[group] - exact[group], ties[group]))
    for group in order * max(sizes):
        if counts.sum() >= count:
            break
        if counts[group] < sizes[group] - 1:
            counts[group] += 1
    return counts.tolist()
