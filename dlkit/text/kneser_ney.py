"""Interpolated modified Kneser-Ney models of token ids: a baseline of language models, and their n-gram component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_ORDER = 8
_FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # where there are too few n-grams to estimate them


@dataclass(frozen=True)
class Grams:
    """The distinct n-grams of one order, sorted by (context, token).

    Attributes:
        keys: context * vocabulary size + token, (grams,) int64; the context is the index of the (n-1)-gram before the
            token, among the grams of the order below (0 for order 1).
        counts: of order `order` and of n-grams that begin a document, the number of occurrences; of other n-grams, the
            number of distinct tokens before them. (grams,) int64.
    """

    keys: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True)
class Level:
    """The probabilities of one order.

    Attributes:
        keys: as those of `Grams`.
        probabilities: the discounted probability of each n-gram, without the share of lower orders; (grams,) float64.
        backoff: the weight of the order below for each context, (contexts,) float64; 1 for contexts without a
            following token.
        log_totals: log(1 + the sum of the counts of the n-grams) of each context, (contexts,) float64.
    """

    keys: np.ndarray
    probabilities: np.ndarray
    backoff: np.ndarray
    log_totals: np.ndarray


class KneserNey:
    """An interpolated modified Kneser-Ney model of token ids.

    Source: Chen and Goodman, 1998, TR-10-98, section 3; counts of n-grams that begin a document are not replaced by
    numbers of contexts, as in section 4.1.6 of Heafield et al., 2013. Contexts do not reach beyond the start of a
    document, and the lowest order is interpolated with the uniform distribution.

    Args:
        ids: the training documents one after another, each ending with `end_id`; (tokens,) integers in
            [0, vocabulary_size).
        vocabulary_size: number of ids.
        order: length of the longest n-grams, from 1 to 8.
        end_id: the id that ends a document; None if the ids are a single document without an end.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> model = KneserNey(np.frombuffer(b"abracadabra " * 20, np.uint8), 256, order=3)
        >>> float(model.bits(np.frombuffer(b"abracadabra", np.uint8)).mean().round(2))
        0.65
    """

    def __init__(self, ids: np.ndarray, vocabulary_size: int, order: int, end_id: int | None = None):
        ids = np.asarray(ids, np.int64)
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"`order` must be from 1 to {MAX_ORDER}. Received: order={order}.")
        if not len(ids) or ids.min() < 0 or ids.max() >= vocabulary_size:
            raise ValueError(f"`ids` must be one or more integers in [0, {vocabulary_size}).")
        self.vocabulary_size, self.order, self.end_id = vocabulary_size, order, end_id
        grams = _count(self._begin(ids), vocabulary_size, order, end_id)
        contexts = [1, *(len(own.keys) for own in grams)]
        self.levels = [_estimate(own, count, vocabulary_size) for own, count in zip(grams, contexts, strict=False)]

    @classmethod
    def of_levels(cls, levels: Sequence[Level], vocabulary_size: int, end_id: int | None) -> KneserNey:
        """Return the model with these probabilities."""
        model = cls.__new__(cls)
        model.levels, model.order = list(levels), len(levels)
        model.vocabulary_size, model.end_id = vocabulary_size, end_id
        return model

    def bits(self, ids: np.ndarray) -> np.ndarray:
        """Compute minus the binary logarithm of the probability of each token of documents after those before it.

        Args:
            ids: (tokens,) integers; each document but the last ends with the end token.

        Returns:
            (tokens,) float64.
        """
        begun = self._begin(ids)
        found, reach = self._find(begun), _reach(begun, self.end_id, self.order)
        probabilities = np.full(len(begun), 1 / self.vocabulary_size)
        for order, level in enumerate(self.levels, 1):
            contexts = np.zeros(len(begun), np.int64) if order == 1 else _shift(found[order - 2])
            known = (contexts >= 0) & (reach >= order)
            backoff = np.where(known, level.backoff[contexts], 1)
            own = np.where(found[order - 1] >= 0, level.probabilities[found[order - 1]], 0)
            probabilities = own + backoff * probabilities
        return -np.log2(probabilities[len(begun) - len(ids) :])

    def _begin(self, ids: np.ndarray) -> np.ndarray:
        """Put the end token before the first document, as it is before all others."""
        ids = np.asarray(ids, np.int64)
        return ids if self.end_id is None else np.concatenate([[self.end_id], ids])

    def _find(self, ids: np.ndarray) -> list[np.ndarray]:
        found, reach = list[np.ndarray](), _reach(ids, self.end_id, self.order)
        for order, level in enumerate(self.levels, 1):
            contexts = np.zeros_like(ids) if order == 1 else _shift(found[-1])
            contexts = np.where(reach >= order, contexts, -1)
            found.append(_look_up(level.keys, contexts, ids, self.vocabulary_size))
        return found


def _count(ids: np.ndarray, size: int, order: int, end_id: int | None) -> list[Grams]:
    """Count the n-grams of every order up to the highest."""
    reach = _reach(ids, end_id, order)
    raw: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []  # keys, occurrences, suffixes, begins
    previous = np.zeros(len(ids), np.int64)
    at = np.arange(len(ids))
    for length in range(1, order + 1):
        here = at[reach >= length]
        contexts = np.zeros(len(here), np.int64) if length == 1 else previous[here - 1]
        keys, first, inverse, occurrences = np.unique(
            contexts * size + ids[here], return_index=True, return_inverse=True, return_counts=True
        )
        suffixes = np.zeros(len(keys), np.int64) if length == 1 else previous[here[first]]
        begins = (reach[here[first]] == length) & (end_id is not None) & (length > 1)  # nothing is before them
        previous = np.full(len(ids), -1)
        previous[here] = inverse
        raw.append((keys, occurrences, suffixes, begins))
    grams = []
    for length, (keys, occurrences, _, begins) in enumerate(raw, 1):
        counts = occurrences
        if length < order:
            extensions = np.bincount(raw[length][2], minlength=len(keys))
            counts = np.where(begins, occurrences, extensions)
        grams.append(Grams(keys, np.maximum(counts, 1)))
    return grams


def _estimate(grams: Grams, num_contexts: int, size: int) -> Level:
    """Estimate the discounted probabilities of one order."""
    discounts = estimate_discounts(grams.counts)
    contexts = grams.keys // size
    totals = np.bincount(contexts, grams.counts, num_contexts)
    discount = np.array((0.0, *discounts))[np.minimum(grams.counts, 3)]
    taken = np.bincount(contexts, discount, num_contexts)
    divisors = np.maximum(totals, 1)
    probabilities = (grams.counts - discount) / divisors[contexts]
    backoff = np.where(totals > 0, taken / divisors, 1.0)
    return Level(grams.keys, probabilities, backoff, np.log1p(totals))


def estimate_discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """Estimate the discounts of counts of 1, 2, and 3 or more from the counts of counts.

    Examples:
        >>> estimate_discounts(np.repeat([1, 2, 3, 4], [60, 20, 10, 6]))
        (0.6, 1.1, 1.56)
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if not n.all():
        return _FALLBACK_DISCOUNTS
    y = n[0] / (n[0] + 2 * n[1])
    first, second, third = (k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3))
    discounts = tuple(
        round(float(value), 12) if 0 < value < k else fallback
        for k, value, fallback in zip((1, 2, 3), (first, second, third), _FALLBACK_DISCOUNTS, strict=True)
    )
    return discounts[0], discounts[1], discounts[2]


def _reach(ids: np.ndarray, end_id: int | None, order: int) -> np.ndarray:
    """Return the length of the longest n-gram that ends at each token within its document, at most `order`.

    The end token before a document counts as its first token, so that its start can be learned.
    """
    at = np.arange(len(ids))
    ends = np.zeros(len(ids), bool) if end_id is None else ids == end_id
    starts = np.maximum.accumulate(np.where(_shift(ends, False), at - 1, 0))
    return np.minimum(at - starts + 1, order)


def _shift(values: np.ndarray, first: int | bool = -1) -> np.ndarray:
    """Move values to the next position."""
    return np.concatenate([np.array([first], values.dtype), values[:-1]])


def _look_up(keys: np.ndarray, contexts: np.ndarray, ids: np.ndarray, size: int) -> np.ndarray:
    """Return the indices of (context, token) among sorted keys, -1 where there is none."""
    wanted = contexts * size + ids
    index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where((contexts >= 0) & (keys[index] == wanted), index, -1)
