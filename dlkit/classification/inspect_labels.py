"""Facts and warnings about labels: counts, spellings of one name, contradicting and repeated rows."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence

from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report, most_common, similar_names
from dlkit.rows import Rows

MAX_LABELS_PER_ROW = 0.5  # with more labels per row, the column is probably not a label
MIN_ROWS_PER_LABEL = 2  # labels with fewer rows are reported as rare


def inspect_labels(report: Report, rows: Rows, validation: Rows | None, targets: Sequence[str] = ("label",)) -> None:
    """Add facts and warnings about the labels of training and validation rows to a report.

    Args:
        report: the report to add to.
        rows: training rows, with one or several labels each in each target.
        validation: validation rows, or None.
        targets: names of the columns of labels. If there are several, a label may be empty.
    """
    names: list[list[str]] = [[] for _ in range(len(rows))]
    for target in targets:
        own = read_labels(rows.table, rows.task.target[target], target)
        _inspect_names(report, rows, own, validation, target, f" of {target}" if len(targets) > 1 else "")
        named = own if len(targets) == 1 else [[f"{target}: {name}" for name in row] for row in own]
        names = [[*others, *row] for others, row in zip(names, named, strict=True)]
    _inspect_repeats(report, rows, names, validation)


def _inspect_names(
    report: Report, rows: Rows, names: Sequence[list[str]], validation: Rows | None, target: str, of_target: str
) -> None:
    counts = collections.Counter(name for row in names for name in row if name)
    report.statistics[f"labels{of_target}"] = most_common(dict(counts))
    for one, other in similar_names(sorted(counts)):
        report.add_warning(
            f"the labels{of_target} {one!r} ({counts[one]} rows) and {other!r} ({counts[other]}) differ only in case, "
            "whitespace or Unicode form, and are treated as two classes",
            cure="Use the same spelling.",
        )
    if len(counts) > 20 and len(counts) > MAX_LABELS_PER_ROW * len(rows):
        report.add_warning(
            f"there are {len(counts)} labels{of_target} for {len(rows)} rows",
            map(repr, list(counts)),
            "Check that this is the label column.",
        )
    rare = [name for name, count in counts.items() if count < MIN_ROWS_PER_LABEL]
    if rare:
        report.add_warning(
            f"{len(rare)} of {len(counts)} labels{of_target} have only one training row", map(repr, rare)
        )
    if validation is not None:
        column = rows.task.target[target]
        known = {name for row in read_labels(validation.table, column, target) for name in row if name}
        missing = sorted(known - set(counts))
        if missing:
            report.add_warning(
                f"{len(missing)} labels{of_target} of the validation data have no training row", map(repr, missing)
            )


def read_labels(table: Table, column: Column, name: str = "label") -> list[list[str]]:
    """Return the labels of each row of a table, from the column of this name."""
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
    """Return a digest that is equal for equal inputs; None for an input that cannot be read."""
    try:
        raw = rows.table.raw(row, rows.task.inputs)
    except DataError:
        return None
    digest = hashlib.blake2b(digest_size=16)
    for value in raw.values():
        digest.update(value if isinstance(value, bytes) else repr(value).encode())
    return digest.digest()
