"""Exact match and F1 of answers, as SQuAD defines them."""

from __future__ import annotations

import collections
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, with single spaces."""
    text = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact_match(answer: str, gold: str) -> float:
    """1 where both are the same after normalization, else 0."""
    return float(normalize_answer(answer) == normalize_answer(gold))


def f1(answer: str, gold: str) -> float:
    """Harmonic mean of precision and recall over words; where either has none, 1 if neither has."""
    answered, true = normalize_answer(answer).split(), normalize_answer(gold).split()
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
    `evaluate-v2.0.py`, which gives the same figures times 100.

    Args:
        golds: the gold answers of each question; none where it has no answer.
        answers: one answer for each question; "" for no answer.

    Returns:
        `exact_match`, `f1`, `baseline_exact_match`, `baseline_f1`, `questions`; where some questions have no answer,
        also `answerable_f1` and `unanswerable_accuracy`.
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
    return {**metrics, "questions": len(golds)}


def _first(golds: Sequence[str]) -> str:
    return next((gold for gold in golds if normalize_answer(gold)), "")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
