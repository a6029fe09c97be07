"""Answers that are spans of a text: any form that data has them in, SQuAD's among them, and offsets put right."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.columns import Column, Text, parse_bool
from dlkit.data.bytes import file_type, is_json_object, read_json_file
from dlkit.data.match import match_names, wants_kind
from dlkit.data.read_options import ReadOptions
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tasks.question_answering.columns import Answers, Passage
from dlkit.tasks.question_answering.repair_answers import repair_answers

START = "answer_start"


class AnswerReader(Reader):
    """Reads questions about passages."""

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """SQuAD's json; None for a table."""
        return (
            read_squad(path, source, columns, how.rename)
            if file_type(path) == ".json" and is_json_object(path)
            else None
        )

    def extra_columns(self, columns: Mapping[str, Column], found: Sequence[str]) -> dict[str, str]:
        """A column of offsets, where a table has one beside one answer a row."""
        wanted = wants_kind(columns, Answers) and START in found and START not in columns
        return {START: START} if wanted else {}

    def after_file(self, table: Table, columns: Mapping[str, Column], folder: Path) -> Table:
        """Offsets that stood in a column of their own, beside their answers."""
        if START not in table.columns or START in columns:
            return table
        values = dict(table.columns)
        starts = values.pop(START)
        name = next(name for name, column in columns.items() if isinstance(column, Answers))
        values[name] = [_paired(answer, start) for answer, start in zip(values[name], starts, strict=True)]
        return dataclasses.replace(table, columns=values)

    def finish(self, table: Table, columns: Mapping[str, Column]) -> None:
        if wants_kind(columns, Answers):
            check_answers(table, columns)


reader = AnswerReader()


def _paired(answer: Any, start: Any) -> Any:
    """An answer with its offset; several answers in a cell have theirs with them."""
    text = isinstance(answer, (str, bytes))
    known = start is not None and start == start and str(start).strip()
    return [(answer, start)] if text and answer and known else answer


def check_answers(table: Table, columns: Mapping[str, Column]) -> None:
    """Puts all answers of a table into one form, (text, character at which it starts), the most frequent first.

    Offsets are put right; see `repair_answers`. An answer that has no place gets -1, which training leaves out. What
    was done is counted in `table.remarks`.

    Raises:
        DataError: an answer has none of the known forms; names its row.
    """
    names = {type(column): name for name, column in columns.items()}
    answers, contexts = names[Answers], table.columns[names[Passage]]
    rows = []
    for row, value in enumerate(table.columns[answers]):
        try:
            rows.append((Answers.pairs(value), Text().raw(contexts[row]).decode()))
        except DataError as error:
            raise DataError(f"{table.where(row)}, column {answers!r}: {error}") from error
    placed, remarks = repair_answers(rows)
    often = [collections.Counter(row) for row in placed]
    # Stable: of equally frequent ones the first.
    checked = [sorted(row, key=lambda pair: -seen[pair]) for row, seen in zip(placed, often, strict=True)]
    table.columns = {**table.columns, answers: checked}
    table.remarks = [*table.remarks, *remarks]


def read_squad(path: Path, source: str, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table:
    """One row a question, in the file's order: `question`, `context`, `answers`, `title`, `id`.

    Raises:
        DataError: names the file, the place and what is wrong there.
    """
    rows, places = [], []
    for place, row in _questions(_load(path, source), source):
        rows.append(row)
        places.append(place)
    if not rows:
        raise DataError(f"{source} has no questions.")
    matched = match_names(columns, list(rows[0]), rename, source)
    values = {name: [row[key] for row in rows] for name, key in matched.items()}
    return Table(source, values, lambda row: f"{source}, question {places[row]}")


def _load(path: Path, source: str) -> Any:
    data = read_json_file(path, source)
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise DataError(f"{source}: expected SQuAD's format, an object with a list of articles in `data`.")
    return data["data"]


def _questions(articles: list, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, article in enumerate(articles, start=1):
        place = f"{source}, article {number}"
        for at, paragraph in enumerate(_field(article, "paragraphs", list, place), start=1):
            here = f"{place}, paragraph {at}"
            context = _field(paragraph, "context", str, here)
            for question in _field(paragraph, "qas", list, here):
                text = _field(question, "question", str, here)
                key = str(question.get("id", f"{text!r} of article {number}"))
                # Of a question without an answer, `plausible_answers` are wrong ones.
                impossible = _truth(question, "is_impossible", f"{here}, question {key}")
                answers = [] if impossible else _field(question, "answers", list, here)
                row = {"question": text, "context": context, "answers": answers}
                yield key, {**row, "title": str(article.get("title", "")), "id": key}


def _truth(question: dict[str, Any], name: str, place: str) -> bool:
    try:
        return question.get(name) is not None and parse_bool(question[name])
    except DataError as error:
        raise DataError(f"{place}, `{name}`: {error}") from error


def _field(value: Any, name: str, kind: type, place: str) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get(name), kind):
        found = type(value.get(name)).__name__ if isinstance(value, dict) and name in value else "nothing"
        raise DataError(f"{place}: expected `{name}`, a {kind.__name__}. Received: {found}.")
    return value[name]
