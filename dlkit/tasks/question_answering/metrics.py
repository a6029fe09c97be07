"""Exact match and F1 of answers, as SQuAD defines them; by characters, as MLQA does, where a script has no spaces."""

from __future__ import annotations

import collections
import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from dlkit.text.scripts import has_spaceless_script, separate_characters

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
_FULL_WIDTH = (
    (0x3001, 0x303F),
    (0xFE10, 0xFE1F),
    (0xFE30, 0xFE6F),
    (0xFF01, 0xFF65),
)  # and punctuation that East Asian scripts alone use


def normalize_answer(text: str, by_characters: bool = False) -> str:
    """Normalize an answer: NFC, lower case, no ASCII and full-width punctuation, no articles, single spaces.

    Args:
        text: an answer.
        by_characters: whether to separate the characters of scripts without spaces, and to remove all of Unicode's
            punctuation, as in MLQA (Lewis et al., 2019, arXiv:1910.07475); SQuAD keeps it.

    Examples:
        >>> normalize_answer("The  Eiffel Tower!")
        'eiffel tower'
    """
    text = unicodedata.normalize("NFC", text).lower()
    text = "".join(character for character in text if not _is_punctuation(character, by_characters))
    return " ".join(_ARTICLES.sub(" ", separate_characters(text) if by_characters else text).split())


def _is_punctuation(character: str, any_script: bool) -> bool:
    kind = unicodedata.category(character)[0]
    if character.isascii() or kind not in "PS":
        return character in _PUNCTUATION
    return (any_script and kind == "P") or any(first <= ord(character) <= last for first, last in _FULL_WIDTH)


def _normalized(answer: str, gold: str) -> tuple[str, str]:
    by_characters = has_spaceless_script(answer) or has_spaceless_script(gold)
    return normalize_answer(answer, by_characters), normalize_answer(gold, by_characters)


def exact_match(answer: str, gold: str) -> float:
    """Return 1.0 if both are equal after normalization, else 0.0.

    Examples:
        >>> exact_match("the Eiffel Tower", "Eiffel tower.")
        1.0
    """
    answered, true = _normalized(answer, gold)
    return float(answered == true)


def f1(answer: str, gold: str) -> float:
    """Compute the F1 score of the words of an answer: the harmonic mean of precision and recall.

    In scripts without spaces (Chinese, Japanese, Thai, ...) each character counts as a word. If either has no words,
    the score is 1 if neither has.

    Examples:
        >>> round(f1("Eiffel", "Eiffel Tower"), 3)
        0.667
    """
    answered, true = (text.split() for text in _normalized(answer, gold))
    if not answered or not true:
        return float(answered == true)
    common = sum((collections.Counter(answered) & collections.Counter(true)).values())
    return 2 * common / (len(answered) + len(true))


def max_over_gold_answers(metric: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    """Compute a metric against the gold answer that fits best.

    A question without gold answers has the gold answer "". Gold answers that are empty after normalization do not
    count, unless all are.

    Args:
        metric: `exact_match` or `f1`.
        answer: the predicted answer.
        golds: the gold answers.

    Examples:
        >>> max_over_gold_answers(exact_match, "7 am", ["seven", "7 AM."])
        1.0
    """
    kept = [gold for gold in golds if normalize_answer(gold)] or [""]
    return max(metric(answer, gold) for gold in kept)


def score_answers(golds: Sequence[Sequence[str]], answers: Sequence[str]) -> dict[str, Any]:
    """Compute metrics of answers, from 0 to 1, and a baseline that always predicts the most frequent gold answer.

    Source: Rajpurkar et al., 2016, arXiv:1606.05250, section 6.1, and 2018, arXiv:1806.03822; the official
    `evaluate-v2.0.py`, which gives the same figures times 100; for scripts without spaces, MLQA.

    Args:
        golds: the gold answers of each question; none if it has no answer.
        answers: one answer for each question; "" for no answer.

    Returns:
        `exact_match`, `f1`, `baseline_exact_match`, `baseline_f1`, `questions`, their number; `f1_unit`:
        "words", "characters" if all gold answers are in scripts without spaces, or "words and characters"; if some
        questions have no answer, also `answerable_f1` and `unanswerable_accuracy`.

    Examples:
        >>> score_answers([["a cat"], []], ["cat", "dog"])["f1"]
        0.5
    """
    firsts = collections.Counter(_first_gold(row) for row in golds)
    most_frequent = min(firsts, key=lambda text: (-firsts[text], text))
    scores = {
        "exact_match": [max_over_gold_answers(exact_match, *pair) for pair in zip(answers, golds, strict=True)],
        "f1": [max_over_gold_answers(f1, *pair) for pair in zip(answers, golds, strict=True)],
        "baseline_exact_match": [max_over_gold_answers(exact_match, most_frequent, row) for row in golds],
        "baseline_f1": [max_over_gold_answers(f1, most_frequent, row) for row in golds],
    }
    metrics: dict[str, Any] = {name: _mean(values) for name, values in scores.items()}
    is_answerable = [bool(_first_gold(row)) for row in golds]
    if not all(is_answerable) and any(is_answerable):
        metrics["answerable_f1"] = _mean(
            [value for value, answerable in zip(scores["f1"], is_answerable, strict=True) if answerable]
        )
        metrics["unanswerable_accuracy"] = _mean(
            [value for value, answerable in zip(scores["f1"], is_answerable, strict=True) if not answerable]
        )
    return {**metrics, "questions": len(golds), "f1_unit": _f1_unit(golds)}


def _f1_unit(golds: Sequence[Sequence[str]]) -> str:
    kinds = {has_spaceless_script(gold) for row in golds for gold in row if normalize_answer(gold)}
    return " and ".join(name for kind, name in ((False, "words"), (True, "characters")) if kind in kinds) or "words"


def _first_gold(golds: Sequence[str]) -> str:
    return next((gold for gold in golds if normalize_answer(gold)), "")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
