"""What a report says of labels: how many each has, names that are one, rows that contradict or repeat one another."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence

from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report, most_common, similar_names
from dlkit.rows import Rows

MAX_LABELS_PER_ROW = 0.5  # labels a row, from which they are taken for something else
MIN_ROWS_PER_LABEL = 2  # rows of a label that are too few to learn from


def inspect_labels(report: Report, rows: Rows, validation: Rows | None) -> None:
    """Adds what the labels of training and validation rows are like.

    Args:
        report: to add to.
        rows: with one label or several each in the column `label`.
        validation: the same, or None.
    """
    column = rows.task.target["label"]
    names = read_labels(rows.table, column)
    counts = collections.Counter(name for row in names for name in row)
    report.statistics["labels"] = most_common(dict(counts))
    for one, other in similar_names(sorted(counts)):
        report.add_warning(
            f"the labels {one!r} ({counts[one]} rows) and {other!r} ({counts[other]}) differ only in case, "
            "whitespace or Unicode form, and are treated as two classes",
            cure="Use the same spelling.",
        )
    if len(counts) > 20 and len(counts) > MAX_LABELS_PER_ROW * len(rows):
        report.add_warning(
            f"there are {len(counts)} labels for {len(rows)} rows",
            map(repr, list(counts)),
            "Check that this is the label column.",
        )
    rare = [name for name, count in counts.items() if count < MIN_ROWS_PER_LABEL]
    if rare:
        report.add_warning(f"{len(rare)} of {len(counts)} labels have only one training row", map(repr, rare))
    if validation is not None:
        missing = sorted({name for row in read_labels(validation.table, column) for name in row} - set(counts))
        if missing:
            report.add_warning(f"{len(missing)} labels of the validation data have no training row", map(repr, missing))
    _inspect_repeats(report, rows, names, validation)


def read_labels(table: Table, column: Column, name: str = "label") -> list[list[str]]:
    """The labels of each row of a table, in its column of this name."""
    raw = table.raw_column(name, column)
    return [[name.decode() for name in (value if isinstance(value, list) else [value])] for value in raw]


def _inspect_repeats(report: Report, rows: Rows, names: Sequence[list[str]], validation: Rows | None) -> None:
    seen: dict[bytes, int] = {}
    contradicting, repeated = [], 0
    for row in report.sample(len(rows), 0.5):
        key = _key(rows, row)
        if key is None:
            continue
        first = seen.setdefault(key, row)
        if first != row:
            repeated += 1
            if set(names[first]) != set(names[row]):
                places = rows.table.where(first), rows.table.where(row)
                contradicting.append(f"{places[0]} is {names[first]}, {places[1]} {names[row]}")
    if contradicting:
        report.add_warning(f"{len(contradicting)} pairs of identical inputs have different labels", contradicting)
    if repeated:
        report.statistics["repeated inputs"] = repeated
    if validation is None:
        return
    both = [row for row in report.sample(len(validation), 0.9) if _key(validation, row) in seen]
    if both:
        report.add_warning(
            f"{len(both)} of {len(validation)} validation rows also occur in the training data",
            (validation.table.where(row) for row in both),
            "Metrics on them measure overfitting, not generalization: remove them from one of the two sets.",
        )


def _key(rows: Rows, row: int) -> bytes | None:
    """What is the same for equal inputs; None for one that cannot be read."""
    try:
        raw = rows.table.raw(row, rows.task.inputs)
    except DataError:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for value in raw.values():
        digest.update(value if isinstance(value, bytes) else repr(value).encode())
    return digest.digest()
