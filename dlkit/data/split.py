"""A held-out part of a table, the same for the same seed on every machine."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dlkit.data.bytes import cell_text
from dlkit.data.table import Table
from dlkit.errors import DataError


def split(table: Table, share: float, seed: int, by: str | None = None) -> tuple[Table, Table]:
    """Two tables, (rest, held out), each with its rows in the table's order; see `split_rows`."""
    rest, held = split_rows(table, share, seed, by)
    return table.take(rest), table.take(held)


def split_rows(table: Table, share: float, seed: int, by: str | None = None) -> tuple[list[int], list[int]]:
    """The numbers of the rows of both parts, (rest, held out), each in the table's order.

    Args:
        table: the rows to part.
        share: the share of rows to hold out, between 0 and 1, rounded to whole rows, at least one for each
            part.
        seed: decides which rows.
        by: the column whose values keep their proportions in both parts; unless told, `label` if there is
            one. A value that occurs once stays in the rest, so fewer rows may be held out. Where no value
            occurs twice, rows are drawn without regard to it.

    Raises:
        DataError: fewer than two rows, a share that is not between 0 and 1, or no column `by`.
    """
    if not 0.0 < share < 1.0:
        raise DataError(f"the fraction to hold out must be between 0 and 1. Received: {share}.")
    if len(table) < 2:
        raise DataError(f"{table.source} has {len(table)} row, which cannot be split. Give separate validation data.")
    if by is not None and by not in table.columns:
        raise DataError(f"there is no column {by!r} to split by. Expected one of: {', '.join(table.columns)}.")
    by = "label" if by is None and "label" in table.columns else by
    # RandomState: its stream is frozen across NumPy's releases, which default_rng's is not.
    random = np.random.RandomState(seed)
    wanted = min(max(round(share * len(table)), 1), len(table) - 1)
    groups = _groups(table, by)
    counts = _counts([len(group) for group in groups], wanted, random)
    held = {row for group, count in zip(groups, counts, strict=True) for row in random.permutation(group)[:count]}
    return [row for row in range(len(table)) if row not in held], sorted(int(row) for row in held)


def unique_class_rows(
    rest: Sequence[int], held: Sequence[int], classes_of: Callable[[int], Iterable[str]]
) -> dict[str, int]:
    """The classes of held-out rows that the rest lacks, which would never be learned, and a row of each.

    Args:
        rest: numbers of rows. They are looked at only until every class of the held-out ones is found.
        held: numbers of rows.
        classes_of: the classes that a row is an example of.
    """
    lacking: dict[str, int] = {}
    for row in held:
        for name in classes_of(row):
            lacking.setdefault(name, row)
    for row in rest:
        if not lacking:
            break
        for name in classes_of(row):
            lacking.pop(name, None)
    return lacking


def evenly_spaced(count: int, most: int) -> list[int]:
    """Up to `most` of the row numbers below `count`, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist()


def _groups(table: Table, by: str | None) -> list[list[int]]:
    """Rows by their value of `by`, less the values that occur once; all rows where nothing remains."""
    if by is None:
        return [list(range(len(table)))]
    rows: dict[str, list[int]] = collections.defaultdict(list)
    for row, value in enumerate(table.columns[by]):
        rows[cell_text(value)].append(row)
    return [rows[key] for key in sorted(rows) if len(rows[key]) > 1] or [list(range(len(table)))]


def _counts(sizes: list[int], wanted: int, random: np.random.RandomState) -> list[int]:
    """How many of `wanted` fall to each group: in proportion, largest remainders first, never all of it."""
    exact = np.array(sizes) * wanted / sum(sizes)
    counts = np.minimum(np.floor(exact).astype(int), np.array(sizes) - 1)
    ties = random.permutation(len(sizes))  # equal groups would else always favour the first
    order = sorted(range(len(sizes)), key=lambda group: (counts[group] - exact[group], ties[group]))
    for group in order * max(sizes):
        if counts.sum() >= wanted:
            break
        if counts[group] < sizes[group] - 1:
            counts[group] += 1
    return counts.tolist()
