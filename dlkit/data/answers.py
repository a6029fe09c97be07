"""Answers that are spans of a text: any form that data has them in, and offsets put right."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from dlkit.columns import Answers, Column, Passage, Text
from dlkit.data.table import Table
from dlkit.errors import DataError

START = "answer_start"
ALSO = ("answer", "answer_text")


def with_starts(columns: dict[str, Column], matched: dict[str, str], found: Sequence[str]) -> dict[str, str]:
    """Names matched in a table, and that of a column of offsets, where it has one beside one answer a row."""
    return {**matched, START: START} if START in found and START not in columns else matched


def join_starts(columns: dict[str, Column], values: dict[str, Any]) -> dict[str, Any]:
    """Columns of values, with offsets that stood in a column of their own beside their answers."""
    if START not in values or START in columns:
        return values
    starts = values.pop(START)
    name = next(name for name, column in columns.items() if isinstance(column, Answers))
    paired = [_paired(answer, start) for answer, start in zip(values[name], starts, strict=True)]
    return {**values, name: paired}


def _paired(answer: Any, start: Any) -> Any:
    """An answer with its offset; several answers in a cell have theirs with them."""
    text = isinstance(answer, (str, bytes))
    known = start is not None and start == start and str(start).strip()
    return [(answer, start)] if text and answer and known else answer


def check_answers(table: Table, columns: dict[str, Column]) -> None:
    """Puts all answers of a table into one form, (text, character at which it starts), the most frequent first.

    An offset at which the text does not stand, or that is missing, is replaced where the text stands in its context
    once, and becomes -1 where it does not, which training leaves out. What was done is counted in `table.remarks`.

    Raises:
        DataError: an answer has none of the known forms; names its row.
    """
    names = {type(column): name for name, column in columns.items()}
    answers, contexts = names[Answers], table.columns[names[Passage]]
    counts: collections.Counter = collections.Counter()
    checked = []
    for row, value in enumerate(table.columns[answers]):
        try:
            given, context = Answers.pairs(value), Text().raw(contexts[row]).decode()
        except DataError as error:
            raise DataError(f"{table.where(row)}, column {answers!r}: {error}") from error
        placed = [(text, _start(text, start, context, counts)) for text, start in given]
        often = collections.Counter(placed)
        checked.append(sorted(placed, key=lambda pair: -often[pair]))  # stable: of equally frequent ones the first
    table.columns = {**table.columns, answers: checked}
    remarks = []
    if counts["moved"]:
        remarks.append(
            f"{counts['moved']} of {counts.total()} answers did not stand at their offset, or had none, and were found "
            "elsewhere in the text, once"
        )
    if counts["lost"]:
        remarks.append(
            f"{counts['lost']} of {counts.total()} answers stand neither at their offset nor just once in the text: "
            "they are left out of training"
        )
    table.remarks = [*table.remarks, *remarks]


def _start(text: str, start: int, context: str, counts: collections.Counter) -> int:
    if start >= 0 and context.startswith(text, start):
        counts["right"] += 1
        return start
    first = context.find(text)
    if first >= 0 and context.find(text, first + 1) < 0:
        counts["moved"] += 1
        return first
    counts["lost"] += 1
    return -1
