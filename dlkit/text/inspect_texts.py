"""What a report says of the texts of a table: lengths, empty ones, scripts, words that training lacks."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dlkit.columns import Text
from dlkit.data.bytes import cell_text
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report

MAX_UNKNOWN_SHARE = 0.3  # share of the words of validation that training lacks, from which it is said
SPACELESS_SCRIPTS = (  # without spaces between words: first and last code point
    ("Thai", 0x0E00, 0x0E7F), ("Lao", 0x0E80, 0x0EFF), ("Burmese", 0x1000, 0x109F), ("Khmer", 0x1780, 0x17FF),
    ("Japanese", 0x3040, 0x30FF), ("Chinese", 0x3400, 0x9FFF),
)  # fmt: skip
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())


def inspect_texts(report: Report, table: Table, validation: Table | None, name: str, share: float = 0.2) -> None:
    """Adds what can be told of a column of texts without a vocabulary.

    Args:
        report: to add to.
        table, validation: the rows of both parts.
        name: the column of the texts.
        share: of the report's time, for each part.
    """
    texts = _texts(report, table, name, share)
    if not texts:
        return
    lengths = np.array([len(text.split()) for _, text in texts])
    report.statistics[f"words of {name!r}"] = f"{int(np.median(lengths))} median, {lengths.max()} maximum"
    empty = [table.where(row) for row, text in texts if not text.strip()]
    if empty:
        report.add_warning(f"{len(empty)} of {len(texts)} texts of {name!r} are empty", empty)
    script = find_spaceless_script(text for _, text in texts)
    if script:
        report.statistics[f"script of {name!r}"] = f"{script}, which does not separate words by spaces"
    if validation is not None and not script:
        _inspect_unknown_words(report, texts, _texts(report, validation, name, share), name)


def inspect_shared_rows(report: Report, train: Table, validation: Table, names: Sequence[str], what: str) -> None:
    """Warns of rows to validate on that are training rows too.

    Args:
        report: to add to.
        train, validation: the rows of both parts.
        names: the columns of texts that must be equal.
        what: the rows are, in the plural.
    """
    known = set(_cells(train, names))
    both = [row for row, cells in enumerate(_cells(validation, names)) if cells in known]
    if both:
        report.add_warning(
            f"{len(both)} of {len(validation)} validation {what} also occur in the training data",
            map(validation.where, both),
            "Metrics on them measure overfitting, not generalization: remove them from one of the two sets.",
        )


def _cells(table: Table, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(map(cell_text, table.columns[name]) for name in names), strict=True)


def find_spaceless_script(texts: Any) -> str:
    """The script without spaces between words that most of the letters of texts are of; "" where there is none."""
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        head = text[:500]
        if head.isascii():  # most texts, and slow to walk through
            if head:
                counts[""] += len(head.encode().translate(None, _NO_LETTERS))
            continue
        for character in head:
            code = ord(character)
            if code < 0x0E00:
                counts[""] += character.isalpha()
                continue
            counts[next((script for script, first, last in SPACELESS_SCRIPTS if first <= code <= last), "")] += 1
    (script, _), *_ = counts.most_common(1) or [("", 0)]
    return script


def _texts(report: Report, table: Table, name: str, share: float) -> list[tuple[int, str]]:
    found = []
    for row in report.sample(len(table), share):
        try:
            found.append((row, Text().raw(table.columns[name][row]).decode()))
        except DataError:
            continue  # encoding refuses or counts it
    return found


def _inspect_unknown_words(
    report: Report, train: list[tuple[int, str]], held: list[tuple[int, str]], name: str
) -> None:
    known = {word for _, text in train for word in text.casefold().split()}
    words = [word for _, text in held for word in text.casefold().split()]
    unknown = [word for word in words if word not in known]
    if len(words) >= 50 and len(unknown) > MAX_UNKNOWN_SHARE * len(words):
        report.add_warning(
            f"{len(unknown) / len(words):.0%} of the words of {name!r} in the validation data do not occur in the "
            "inspected training rows",
            map(repr, dict.fromkeys(unknown)),
            "Check that both have the same language and kind of text; characters or subwords may cover more of it.",
        )
