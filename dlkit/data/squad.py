"""SQuAD's json: articles of paragraphs, each with its questions. Versions 1.1 and 2.0.

Rajpurkar et al., 2016, arXiv:1606.05250, and 2018, arXiv:1806.03822.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlkit.columns import Column
from dlkit.data.files import read_text
from dlkit.data.match import match_names
from dlkit.data.table import Table
from dlkit.errors import DataError


def read_squad(path: Path, source: str, columns: dict[str, Column], rename: dict[str, str]) -> Table:
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
    try:
        data = json.loads(read_text(path, source))
    except json.JSONDecodeError as error:
        raise DataError(f"{source}, line {error.lineno}: not JSON ({error.msg}).") from error
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise DataError(f"{source}: expected SQuAD's form, an object with a list of articles in `data`.")
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
                answers = [] if question.get("is_impossible") else _field(question, "answers", list, here)
                row = {"question": text, "context": context, "answers": answers}
                yield key, {**row, "title": str(article.get("title", "")), "id": key}


def _field(value: Any, name: str, kind: type, place: str) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get(name), kind):
        found = type(value.get(name)).__name__ if isinstance(value, dict) and name in value else "nothing"
        raise DataError(f"{place}: expected `{name}`, a {kind.__name__}. Received: {found}.")
    return value[name]
