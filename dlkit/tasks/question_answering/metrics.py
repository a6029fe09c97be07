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
_WIDE = ((0x3001, 0x303F), (0xFE10, 0xFE1F), (0xFE30, 0xFE6F), (0xFF01, 0xFF65))  # full-width, and of East Asia alone


def normalize_answer(text: str, by_characters: bool = False) -> str:
    """Composed, in lower case, without ASCII and full-width punctuation and articles, with single spaces.

    Args:
        text: an answer.
        by_characters: whether to set apart the characters of scripts without spaces. All of Unicode's punctuation is
            left out then, as in MLQA (Lewis et al., 2019, arXiv:1910.07475); else it counts, as in SQuAD.
    """
    text = unicodedata.normalize("NFC", text).lower()
    text = "".join(character for character in text if not _is_punctuation(character, by_characters))
    return " ".join(_ARTICLES.sub(" ", separate_characters(text) if by_characters else text).split())


def _is_punctuation(character: str, any_script: bool) -> bool:
    kind = unicodedata.category(character)[0]
    if character.isascii() or kind not in "PS":
        return character in _PUNCTUATION
    return (any_script and kind == "P") or any(first <= ord(character) <= last for first, last in _WIDE)


def _normalized(answer: str, gold: str) -> tuple[str, str]:
    by_characters = has_spaceless_script(answer) or has_spaceless_script(gold)
    return normalize_answer(answer, by_characters), normalize_answer(gold, by_characters)


def exact_match(answer: str, gold: str) -> float:
    """1 where both are the same after normalization, else 0."""
    answered, true = _normalized(answer, gold)
    return float(answered == true)


def f1(answer: str, gold: str) -> float:
    """Harmonic mean of precision and recall; where either has no words, 1 if neither has.

    Over words, and over the characters of scripts without spaces (Chinese, Japanese, Thai, ...), each of which counts
    as one.
    """
    answered, true = (text.split() for text in _normalized(answer, gold))
    if not answered or not true:
        return float(answered == true)
    common = sum((collections.Counter(answered) & collections.Counter(true)).values())
    return 2 * common / (len(answered) + len(true))


def best_over(metric: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    """The metric against the gold answer that fits best. No gold answers: the question has none, which is "".

    Gold answers that normalization leaves nothing of do not count, unless all are such.
    """
    kept = [gold for gold in golds if normalize_answer(gold)] or [""]
    return max(metric(answer, gold) for gold in kept)


def score_answers(golds: Sequence[Sequence[str]], answers: Sequence[str]) -> dict[str, Any]:
    """Metrics of answers, from 0 to 1, with those of always the most frequent gold answer as a baseline.

    Source: Rajpurkar et al., 2016, arXiv:1606.05250, section 6.1, and 2018, arXiv:1806.03822; the official
    `evaluate-v2.0.py`, which gives the same figures times 100. Of scripts without spaces, MLQA's.

    Args:
        golds: the gold answers of each question; none where it has no answer.
        answers: one answer for each question; "" for no answer.

    Returns:
        `exact_match`, `f1`, `baseline_exact_match`, `baseline_f1`, `questions`; `f1_over`, "words", or "characters"
        where all gold answers are of scripts without spaces, or "words and characters"; where some questions have no
        answer, also `answerable_f1` and `unanswerable_accuracy`.
    """
    firsts = collections.Counter(_first(row) for row in golds)
    usual = min(firsts, key=lambda text: (-firsts[text], text))
    scores = {
        "exact_match": [best_over(exact_match, *pair) for pair in zip(answers, golds, strict=True)],
        "f1": [best_over(f1, *pair) for pair in zip(answers, golds, strict=True)],
        "baseline_exact_match": [best_over(exact_match, usual, row) for row in golds],
        "baseline_f1": [best_over(f1, usual, row) for row in golds],
    }
    metrics: dict[str, Any] = {name: _mean(values) for name, values in scores.items()}
    has = [bool(_first(row)) for row in golds]
    if not all(has) and any(has):
        metrics["answerable_f1"] = _mean([value for value, known in zip(scores["f1"], has, strict=True) if known])
        metrics["unanswerable_accuracy"] = _mean(
            [value for value, known in zip(scores["f1"], has, strict=True) if not known]
        )
    return {**metrics, "questions": len(golds), "f1_over": _counted(golds)}


def _counted(golds: Sequence[Sequence[str]]) -> str:
    kinds = {has_spaceless_script(gold) for row in golds for gold in row if normalize_answer(gold)}
    return " and ".join(name for kind, name in ((False, "words"), (True, "characters")) if kind in kinds) or "words"


def _first(golds: Sequence[str]) -> str:
    return next((gold for gold in golds if normalize_answer(gold)), "")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
