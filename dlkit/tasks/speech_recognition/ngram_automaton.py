"""An n-gram model of characters as a finite automaton, so that a graph needs one look-up per character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlkit.text.kneser_ney import KneserNey

MAX_CELLS = 8_000_000  # of the tables, states times characters: 64 MB


@dataclass(frozen=True)
class NgramAutomaton:
    """A finite automaton that scores texts, one character after the other.

    A state is the longest context of the n-gram model that the text so far ends with.

    Attributes:
        log_probs: (states, characters + 1) float32, natural logarithms of the probabilities of what follows; the last
            column is the end of the text.
        next_states: (states, characters) int32.
        start: the state at the start of a text.
        order: of the n-gram model; 0 for none.
    """

    log_probs: np.ndarray
    next_states: np.ndarray
    start: int
    order: int


def no_language_model(num_characters: int) -> NgramAutomaton:
    """Return an automaton of one state that gives every text the logarithm 0."""
    return NgramAutomaton(
        np.zeros((1, num_characters + 1), np.float32), np.zeros((1, num_characters), np.int32), start=0, order=0
    )


def learn_automaton(texts: Sequence[str], characters: Sequence[str], order: int) -> NgramAutomaton:
    """Learn a Kneser-Ney model of the characters of texts, as an automaton.

    Args:
        texts: normalized texts; other characters than the known ones are left out.
        characters: the known characters.
        order: length of the longest n-grams, from 1; a lower one is used where the tables would be too large.

    Examples:
        >>> automaton = learn_automaton(["abab", "ab"] * 9, ["a", "b"], order=3)
        >>> bool(automaton.log_probs[automaton.start, 0] > automaton.log_probs[automaton.start, 1])
        True
    """
    number = {character: index for index, character in enumerate(characters)}
    end = len(characters)
    documents = ([number[character] for character in text if character in number] for text in texts)
    ids = np.array([token for document in documents for token in (*document, end)], np.int64)
    model = KneserNey(ids, end + 1, order, end_id=end)
    while model.order > 1 and _count_states(model) * (end + 1) > MAX_CELLS:
        model = KneserNey(ids, end + 1, model.order - 1, end_id=end)
    return make_automaton(model)


def _count_states(model: KneserNey) -> int:
    return 1 + sum(len(level.keys) for level in model.levels[:-1])


def make_automaton(model: KneserNey) -> NgramAutomaton:
    """Make the automaton of a model whose last token ends a text.

    The probabilities of a state are those of its suffix (the context without its first token) times the backoff
    weight, plus its own; transitions that a state lacks are those of its suffix.
    """
    size = model.vocabulary_size
    states = _count_states(model)
    probabilities = np.zeros((states, size))
    following = np.zeros((states, size), np.int32)
    suffixes = np.zeros(states, np.int32)
    first_before, first = 0, 0  # the first states whose contexts have `length` - 1 and `length` tokens
    for length, level in enumerate(model.levels):
        count = 1 if not length else len(model.levels[length - 1].keys)
        own = np.arange(first, first + count)
        if length:
            before, token = np.divmod(model.levels[length - 1].keys, size)
            suffixes[own] = 0 if length == 1 else following[suffixes[first_before + before], token]
            following[own] = following[suffixes[own]]
            shorter = probabilities[suffixes[own]]
        else:
            shorter = np.full((1, size), 1 / size)
        probabilities[own] = level.backoff[:, np.newaxis] * shorter
        context, token = np.divmod(level.keys, size)
        probabilities[first + context, token] += level.probabilities
        if length < model.order - 1:
            following[first + context, token] = first + count + np.arange(len(level.keys))
        first_before, first = first, first + count
    log_probs = np.log(np.maximum(probabilities, 1e-30)).astype(np.float32)
    return NgramAutomaton(log_probs, following[:, :-1].copy(), int(following[0, size - 1]), model.order)
