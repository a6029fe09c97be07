"""Metrics of language models on texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BITS = 8  # of a byte without compression


def count_bytes(texts: Sequence[bytes]) -> list[int]:
    """Count each of the 256 bytes in texts.

    Examples:
        >>> count_bytes([b"aab"])[97:99]
        [2, 1]
    """
    counts = np.zeros(256, np.int64)
    for text in texts:
        counts += np.bincount(np.frombuffer(text, np.uint8), minlength=256)
    return counts.tolist()


def score_texts(
    texts: Sequence[bytes], bits: Sequence[float], tokens: Sequence[int], byte_counts: Sequence[int]
) -> dict[str, float]:
    """Compute how well texts were predicted, next to the frequencies of bytes as a baseline.

    Args:
        texts: what was predicted.
        bits: information of each text.
        tokens: number of tokens of each text.
        byte_counts: of the training data, by byte; the baseline adds one to each.

    Returns:
        `compression`, 8 divided by `bits_per_byte`; `bits_per_byte`; `perplexity`, per token; the first two of the
        baseline; and the numbers of bytes and tokens.

    Examples:
        >>> metrics = score_texts([b"ab"], [4.0], [1], [0] * 256)
        >>> metrics["bits_per_byte"], metrics["perplexity"], metrics["baseline_bits_per_byte"]
        (2.0, 16.0, 8.0)
    """
    size, total, count = sum(map(len, texts)), float(sum(bits)), int(sum(tokens))
    probabilities = (np.array(byte_counts) + 1) / (sum(byte_counts) + 256)
    baseline = float(-np.log2(probabilities) @ np.array(count_bytes(texts))) / max(size, 1)
    bits_per_byte = total / max(size, 1)
    return {
        "compression": BITS / bits_per_byte if bits_per_byte else math.inf,
        "bits_per_byte": bits_per_byte,
        "perplexity": 2.0 ** (total / max(count, 1)),
        "baseline_compression": BITS / baseline if baseline else math.inf,
        "baseline_bits_per_byte": baseline,
        "bytes": size,
        "tokens": count,
    }
