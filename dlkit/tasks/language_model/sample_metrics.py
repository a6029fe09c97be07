"""Metrics of generated texts that need no reference: how varied and how repetitive they are."""

from __future__ import annotations

from collections.abc import Sequence

REPEATED_WORDS = 4  # of an n-gram that counts as a repetition when it occurs again in its text


def distinct_ngrams(texts: Sequence[str], n: int) -> float:
    """Compute distinct-n: the number of different n-grams of words divided by the number of n-grams of all texts.

    Source: Li et al., 2016, arXiv:1510.03055, section 5.2.

    Args:
        texts: generated texts.
        n: number of words of an n-gram, 1 or more.

    Returns:
        In [0, 1]; 0 if no text has n words.

    Examples:
        >>> distinct_ngrams(["to be or not to be"], 2)
        0.8
    """
    ngrams = [ngram for text in texts for ngram in _ngrams(text, n)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def repetition(texts: Sequence[str]) -> float:
    """Compute the share of n-grams of four words that have occurred before in the same text.

    Source: seq-rep-4 of Welleck et al., 2020, arXiv:1908.04319, section 6, here over all texts together.

    Returns:
        In [0, 1]; 0 if no text has four words.

    Examples:
        >>> repetition(["and so on and so on and so on", "no word comes twice here"])
        0.375
    """
    counts = [(len(set(ngrams)), len(ngrams)) for ngrams in (_ngrams(text, REPEATED_WORDS) for text in texts)]
    total = sum(number for _, number in counts)
    return 1 - sum(different for different, _ in counts) / total if total else 0.0


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.split()
    return list(zip(*(words[start:] for start in range(n)), strict=False))
