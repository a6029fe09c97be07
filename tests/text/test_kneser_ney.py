"""Kneser-Ney models against an implementation with dictionaries, and by hand."""

import collections

import numpy as np
import pytest

from dlkit.text.kneser_ney import KneserNey, estimate_discounts

END = 0
DOCUMENTS = [[1, 2, 3, 1, 2, 4], [1, 2, 3, 3], [4, 1, 2, 3, 1], [2], [1, 2, 4, 4, 1, 2, 3]]


def join(documents):
    return np.concatenate([[*document, END] for document in documents])


class DictKneserNey:
    """The textbook's definition, one n-gram at a time."""

    def __init__(self, documents, size, order):
        self.size, self.order = size, order
        raw = collections.Counter({(END,): 1})  # before the first document
        for document in documents:
            padded = (END, *document, END)
            for stop in range(2, len(padded) + 1):
                for length in range(1, min(order, stop) + 1):
                    raw[padded[stop - length : stop]] += 1
        before = collections.defaultdict(set)
        for gram in raw:
            before[gram[1:]].add(gram[0])
        self.counts = {
            gram: count if len(gram) == order or (gram[0] == END and len(gram) > 1) else max(len(before[gram]), 1)
            for gram, count in raw.items()
        }

    def discount(self, gram):
        counts = [count for other, count in self.counts.items() if len(other) == len(gram)]
        return (0.0, *estimate_discounts(np.array(counts)))[min(self.counts[gram], 3)]

    def probability(self, context, token):
        context = tuple(context)
        lower = self.probability(context[1:], token) if context else 1 / self.size
        followers = [gram for gram in self.counts if gram[:-1] == context and len(gram) == len(context) + 1]
        if not followers:
            return lower
        total = sum(self.counts[gram] for gram in followers)
        gram = (*context, token)
        own = self.counts[gram] - self.discount(gram) if gram in self.counts else 0
        return (own + sum(map(self.discount, followers)) * lower) / total


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_definition(order):
    expected = DictKneserNey(DOCUMENTS, 5, order)
    model = KneserNey(join(DOCUMENTS), 5, order, END)
    text = [END, 4, 1, 2, 3, 3, 1, 4]
    probabilities = [expected.probability(text[max(0, at - order + 1) : at], text[at]) for at in range(1, len(text))]
    np.testing.assert_allclose(2 ** -model.bits(np.array(text[1:])), probabilities, rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_of_all_tokens_sum_to_one(order):
    model = KneserNey(join(DOCUMENTS), 7, order, END)
    for context in ([], [1], [1, 2], [6], [END, 1], [4, 1, 2, 3]):
        total = sum(2 ** -model.bits(np.array([*context, token]))[-1] for token in range(7))
        assert total == pytest.approx(1)


def test_contexts_do_not_reach_into_the_document_before():
    model = KneserNey(join(DOCUMENTS), 5, 4, END)
    alone = model.bits(np.array([END, 1, 2, 3]))[1:]
    after_others = model.bits(np.array([3, 3, 4, END, 1, 2, 3]))[4:]
    np.testing.assert_array_equal(alone, after_others)


def test_discounts_that_cannot_be_estimated_have_a_default():
    assert estimate_discounts(np.array([1, 1, 2])) == (0.5, 1.0, 1.5)


def test_repeated_text_is_nearly_certain():
    text = np.frombuffer(b"one two three four five. " * 200, np.uint8)
    assert KneserNey(text, 256, 6).bits(text[:500])[50:].mean() < 0.05


def test_unknown_tokens_have_a_probability():
    assert np.isfinite(KneserNey(np.array([1, 2, 1, 2]), 10, 3).bits(np.array([9, 8, 9]))).all()


@pytest.mark.parametrize(("ids", "order"), [([], 2), ([1, 5], 2), ([-1], 2), ([1], 0), ([1], 9)])
def test_invalid_arguments_are_refused(ids, order):
    with pytest.raises(ValueError, match="must be"):
        KneserNey(np.array(ids), 5, order)
