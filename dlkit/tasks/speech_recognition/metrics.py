"""Error rates of transcripts."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np


def count_errors(reference: Sequence[Any], hypothesis: Sequence[Any]) -> int:
    """Return the smallest number of insertions, deletions and substitutions between two sequences (Levenshtein, 1966).

    Examples:
        >>> count_errors("please hang up".split(), "please up now".split()), count_errors("abc", "")
        (2, 3)
    """
    number = {item: index for index, item in enumerate(dict.fromkeys([*reference, *hypothesis]))}
    columns = np.array([number[item] for item in hypothesis], np.int64)
    places = np.arange(len(columns) + 1)
    distances = places.copy()
    for row, item in enumerate(reference, 1):
        changed = np.minimum(distances[1:] + 1, distances[:-1] + (columns != number[item]))
        # An insertion costs 1 for each place further right: the smallest of what is reached from all places before.
        distances = np.minimum.accumulate(np.concatenate([[row], changed]) - places) + places
    return int(distances[-1])


def score_transcripts(references: Sequence[bytes], hypotheses: Sequence[bytes]) -> dict[str, Any]:
    """Compute error rates of transcripts, both normalized in the same way.

    Args:
        references: the true text of each row.
        hypotheses: the recognized text of each row.

    Returns:
        `word_accuracy`, 1 - `wer`, negative if there are more errors than words; `wer` and `cer`, word and character
        errors by the number of true words and characters (spaces are characters); `sentence_accuracy`, rows without
        an error; `baseline_word_accuracy`, of the better of two constant answers, the most frequent true text and
        nothing; `words`, `rows`, their numbers.

    Examples:
        >>> metrics = score_transcripts([b"please hang up", b"goodbye"], [b"please hang", b"goodbye"])
        >>> metrics["wer"], metrics["sentence_accuracy"]
        (0.25, 0.5)
    """
    true, found = ([text.decode(errors="replace") for text in texts] for texts in (references, hypotheses))
    wer, words = _error_rate([text.split() for text in true], [text.split() for text in found])
    cer, _ = _error_rate([*map(list, true)], [*map(list, found)])
    constant = collections.Counter(true).most_common(1)[0][0]
    baseline, _ = _error_rate([text.split() for text in true], [constant.split()] * len(true))
    return {
        "word_accuracy": 1 - wer,
        "wer": wer,
        "cer": cer,
        "sentence_accuracy": float(np.mean([one == other for one, other in zip(true, found, strict=True)])),
        "baseline_word_accuracy": max(1 - baseline, 0.0),
        "words": words,
        "rows": len(true),
    }


def _error_rate(references: list[list[str]], hypotheses: list[list[str]]) -> tuple[float, int]:
    """Return the errors by the number of true items, and this number."""
    total = sum(map(len, references))
    return sum(map(count_errors, references, hypotheses)) / max(total, 1), total
