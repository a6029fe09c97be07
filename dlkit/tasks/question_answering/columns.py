"""Columns of questions and answers: a passage, its answers, and places in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import Column, Text, describe_value
from dlkit.errors import DataError

READER = "dlkit.tasks.question_answering.answers"


class Passage(Text):
    """A text that holds the answer to a question."""

    reader = READER
    suffixes = ()
    feature = ""


@dataclass(frozen=True)
class Answers(Column):
    """Answers that are parts of a passage, each with the character (code point) at which it starts.

    Accepts a text, a pair (text, start), or a list of texts, pairs or dicts `{"text", "answer_start"}`, or one such
    dict of two lists, as TFDS has it. No answer, an empty text or an empty list: the question has none. An answer
    without a start has -1. In the graph: (answers, 2) string, text and decimal start.
    """

    aliases: tuple[str, ...] = ("answer", "answer_text")

    reader = READER
    shape = (None, 2)
    may_be_missing = True  # a question may have no answer

    @staticmethod
    def pairs(value: Any) -> list[tuple[str, int]]:
        """The answers as texts with starts. Raises DataError where they have none of the forms."""
        if isinstance(value, dict) and isinstance(value.get("text"), (list, tuple, np.ndarray)):
            texts = value["text"]
            starts = value.get("answer_start", [-1] * len(texts))
            value = list(zip(texts, starts, strict=True)) if len(texts) == len(starts) else len(texts)
        if value is None or isinstance(value, (str, bytes, dict)) or (isinstance(value, tuple) and _is_pair(value)):
            value = [value]
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise DataError(
                f"expected answers: texts with the character each starts at. Received: {describe_value(value)}."
            )
        return [pair for pair in map(_answer, value) if pair[0]]

    def raw(self, value: Any) -> list[list[bytes]]:
        return [[Text().raw(text), str(start).encode()] for text, start in self.pairs(value)]

    def to_request(self, raw: list[list[bytes]]) -> list[dict[str, Any]]:
        return [{"text": text.decode(), "answer_start": int(start)} for text, start in raw]


class QuestionId(Text):
    """The name by which data call a question, of which any will do; empty for none."""

    suffixes = ()
    feature = ""

    def raw(self, value: Any) -> bytes:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return b""
        return super().raw(value if isinstance(value, bytes) else str(value))


class Offset(Column):
    """A character (code point) of a passage, counted from 0; -1 for none."""

    dtype = "int32"

    def raw(self, value: Any) -> Any:
        return np.asarray(value, np.int32)


class Offsets(Offset):
    """Characters (code points) of a passage, counted from 0; -1 for none."""

    shape = (None,)


class Logits(Column):
    """What a network gives for each token, before a softmax."""

    dtype = "float32"
    shape = (None,)
    atol = 1e-3


def _is_pair(value: tuple) -> bool:
    return len(value) == 2 and isinstance(value[0], (str, bytes)) and not isinstance(value[1], (str, bytes, tuple))


def _answer(value: Any) -> tuple[str, int]:
    """A text with its start, -1 where it has none."""
    text, start = value, -1
    if isinstance(value, dict):
        text, start = value.get("text"), value.get("answer_start", -1)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        text, start = value
    if text is None:
        return "", -1
    try:
        number = -1 if start is None else int(start)
        return Text().raw(text).decode(), number
    except (TypeError, ValueError):
        raise DataError(
            f"expected an answer: a text, and the character it starts at. Received: {describe_value(value)}."
        ) from None
