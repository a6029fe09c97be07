"""Reading of questions with answers that are spans of a context, from SQuAD's JSON and from tables."""

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
from dlkit.tasks.question_answering.columns import Answers, Context
from dlkit.tasks.question_answering.repair_answers import repair_answers

ANSWER_START = "answer_start"


class AnswerReader(Reader):
    """Reads questions about contexts."""

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read SQuAD's JSON. Returns None for a table."""
        return (
            read_squad(path, source, columns, how.rename)
            if file_type(path) == ".json" and is_json_object(path)
            else None
        )

    def extra_columns(self, columns: Mapping[str, Column], found: Sequence[str]) -> dict[str, str]:
        """Return the column of offsets to read too, if a table has one beside one answer per row."""
        wanted = wants_kind(columns, Answers) and ANSWER_START in found and ANSWER_START not in columns
        return {ANSWER_START: ANSWER_START} if wanted else {}

    def after_file(self, table: Table, columns: Mapping[str, Column], folder: Path) -> Table:
        """Join offsets from a column of their own with their answers."""
        if ANSWER_START not in table.columns or ANSWER_START in columns:
            return table
        values = dict(table.columns)
        starts = values.pop(ANSWER_START)
        name = next(name for name, column in columns.items() if isinstance(column, Answers))
        values[name] = [_pair_with_offset(answer, start) for answer, start in zip(values[name], starts, strict=True)]
        return dataclasses.replace(table, columns=values)

    def finish(self, table: Table, columns: Mapping[str, Column]) -> None:
        if wants_kind(columns, Answers):
            normalize_answers(table, columns)


reader = AnswerReader()


def _pair_with_offset(answer: Any, start: Any) -> Any:
    """Pair an answer with its offset. Several answers in a cell have their offsets already."""
    is_text = isinstance(answer, (str, bytes))
    has_start = start is not None and start == start and str(start).strip()
    return [(answer, start)] if is_text and answer and has_start else answer


def normalize_answers(table: Table, columns: Mapping[str, Column]) -> None:
    """Convert all answers of a table to pairs (text, offset), the most frequent first.

    Offsets are repaired; see `repair_answers`. An answer that cannot be located gets -1 and is excluded from training.
    `table.remarks` says how many were changed.

    Args:
        table: to change in place.
        columns: the columns of the task, by name.

    Raises:
        DataError: an answer has none of the known forms; names its row.
    """
    names = {type(column): name for name, column in columns.items()}
    answers, contexts = names[Answers], table.columns[names[Context]]
    rows = []
    for row, value in enumerate(table.columns[answers]):
        try:
            rows.append((Answers.pairs(value), Text().raw(contexts[row]).decode()))
        except DataError as error:
            raise DataError(f"{table.where(row)}, column {answers!r}: {error}") from error
    repaired, remarks = repair_answers(rows)
    counts = [collections.Counter(row) for row in repaired]
    # Stable: the first one of equally frequent answers stays first.
    ranked = [sorted(row, key=lambda pair: -count[pair]) for row, count in zip(repaired, counts, strict=True)]
    table.columns = {**table.columns, answers: ranked}
    table.remarks = [*table.remarks, *remarks]


def read_squad(path: Path, source: str, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table:
    """Read SQuAD's JSON, version 1.1 or 2.0: a row for each question, in the order of the file.

    Args:
        path: of the file.
        source: its name in messages.
        columns: the columns of the task, by name.
        rename: names in the file by name of the column.

    Returns:
        Table of `question`, `context`, `answers`, `title` and `id`, as far as `columns` names them.

    Raises:
        DataError: the file is not in SQuAD's format; says where.
    """
    rows, question_ids = [], []
    for question_id, row in _iterate_questions(_load_articles(path, source), source):
        rows.append(row)
        question_ids.append(question_id)
    if not rows:
        raise DataError(f"{source} has no questions.")
    matched = match_names(columns, list(rows[0]), rename, source)
    values = {name: [row[key] for row in rows] for name, key in matched.items()}
    return Table(source, values, lambda row: f"{source}, question {question_ids[row]}")


def _load_articles(path: Path, source: str) -> Any:
    data = read_json_file(path, source)
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise DataError(f"{source}: expected SQuAD's format, an object with a list of articles in `data`.")
    return data["data"]


def _iterate_questions(articles: list, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, article in enumerate(articles, start=1):
        where = f"{source}, article {number}"
        for index, paragraph in enumerate(_get_field(article, "paragraphs", list, where), start=1):
            location = f"{where}, paragraph {index}"
            context = _get_field(paragraph, "context", str, location)
            for question in _get_field(paragraph, "qas", list, location):
                text = _get_field(question, "question", str, location)
                question_id = str(question.get("id", f"{text!r} of article {number}"))
                # The `plausible_answers` of a question without an answer are wrong ones.
                is_impossible = _get_flag(question, "is_impossible", f"{location}, question {question_id}")
                answers = [] if is_impossible else _get_field(question, "answers", list, location)
                row = {"question": text, "context": context, "answers": answers}
                yield question_id, {**row, "title": str(article.get("title", "")), "id": question_id}


def _get_flag(question: dict[str, Any], name: str, where: str) -> bool:
    try:
        return question.get(name) is not None and parse_bool(question[name])
    except DataError as error:
        raise DataError(f"{where}, `{name}`: {error}") from error


def _get_field(value: Any, name: str, kind: type, where: str) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get(name), kind):
        found = type(value.get(name)).__name__ if isinstance(value, dict) and name in value else "nothing"
        raise DataError(f"{where}: expected `{name}`, a {kind.__name__}. Received: {found}.")
    return value[name]
