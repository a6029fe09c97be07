"""Unicode's canonical composition (NFC) in core TensorFlow ops, which have none of their own.

The properties of characters are Python's, as of its version of Unicode. Source: Unicode Standard Annex 15, and chapter
3.11 of the standard for the order of marks and for what blocks a composition.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Callable

import numpy as np

from dlkit.lazy import tf
from dlkit.text.code_points import DISTINCT_RANGES, UNICODE_END, CodePointTable, neighbor
from dlkit.tracing import trace_function

ORDER_MASK = 63  # the bits of a kind that hold the place of a combining class among all classes, 0 for a starter
UNSTABLE = 64  # of a kind: the character may change, or be taken into the one before it
SYLLABLE_BASE, LEAD_BASE, VOWEL_BASE, TAIL_BASE = (
    0xAC00,
    0x1100,
    0x1161,
    0x11A7,
)  # Hangul: the last is one before the first tail
NUM_LEADS, NUM_VOWELS, NUM_TAILS = 19, 21, 28
NUM_SYLLABLES = NUM_LEADS * NUM_VOWELS * NUM_TAILS


def compose(codes: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Characters in canonical composition (NFC).

    Args:
        codes: (characters,) int32, the code points of texts, one after the other.
        row: (characters,) int32, ascending, the text that each is of.

    Returns:
        Tuple of `codes` and `row` of the composed characters, with `origin` between them: (composed,) int32,
        ascending, the place in the given `codes` at which each begins.
    """
    kinds = _quick_table().kinds(codes)
    order = tf.bitwise.bitwise_and(kinds, ORDER_MASK)
    before = tf.where(neighbor(row, 1) == row, neighbor(order, 1), 0)
    unsettled = (kinds >= UNSTABLE) | ((order > 0) & (before > order))
    return tf.cond(  # nearly all texts are composed as they are
        tf.reduce_any(unsettled),
        lambda: _compose_characters(codes, row),
        lambda: (codes, tf.range(tf.size(codes)), row),
    )


def compose_text(text: tf.Tensor) -> tf.Tensor:
    """Texts in canonical composition (NFC): (batch,) string to the same; invalid UTF-8 reads as U+FFFD."""
    return _trace_compose()(text)


@functools.cache
def _trace_compose() -> Callable[[tf.Tensor], tf.Tensor]:
    return trace_function(_compose_text, tf.TensorSpec([None], tf.string))


def _compose_text(text: tf.Tensor) -> tf.Tensor:
    characters = tf.strings.unicode_decode(text, "UTF-8", errors="replace")
    codes, _, row = compose(characters.flat_values, tf.cast(characters.value_rowids(), tf.int32))
    composed = tf.RaggedTensor.from_value_rowids(codes, tf.cast(row, tf.int64), characters.nrows(), validate=False)
    return tf.strings.unicode_encode(composed, "UTF-8")


def _compose_characters(codes: tf.Tensor, row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    origin, codes, order = _decompose_table()(codes)
    row = tf.gather(row, origin)
    begins = (order == 0) | (neighbor(row, 1) != row)
    run = tf.cumsum(tf.cast(begins, tf.int64))  # a starter and the marks behind it
    sorted_places = tf.argsort(run * (ORDER_MASK + 1) + tf.cast(order, tf.int64), stable=True)
    # Marks change places within their run; rows stay, and so do places in the text, which must ascend.
    codes, order = tf.gather(codes, sorted_places), tf.gather(order, sorted_places)
    shape = tf.TensorShape([None])
    codes, origin, row, _, _ = tf.while_loop(
        lambda codes, origin, row, order, going: going,
        _compose_step,
        (codes, origin, row, order, tf.constant(True)),
        shape_invariants=(shape, shape, shape, shape, tf.TensorShape([])),
    )
    return codes, origin, row


def _compose_step(
    codes: tf.Tensor, origin: tf.Tensor, row: tf.Tensor, order: tf.Tensor, going: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Each starter takes the first character behind it that it may; `going` where any did."""
    del going
    size = tf.size(codes)
    place, is_starter = tf.range(size), order == 0
    starters = tf.concat([[-1], tf.cast(tf.where(is_starter)[:, 0], tf.int32)], 0)
    starter = tf.gather(starters, tf.cumsum(tf.cast(is_starter, tf.int32), exclusive=True))  # the last one before
    known = tf.maximum(starter, 0)
    # A mark is blocked by one of its own class, or of a higher one, between it and the starter.
    free = (starter == place - 1) | (neighbor(order, 1) < order)
    made = _pairs(tf.gather(codes, known), codes)
    may = (starter >= 0) & (tf.gather(row, known) == row) & free & (made > 0)
    first = tf.math.unsorted_segment_min(tf.where(may, place, size), known, size)
    taken = may & (tf.gather(first, known) == place)
    taken &= ~tf.gather(taken, known)  # a starter that may be taken itself waits until it is settled
    changed = tf.where(taken)[:, 0]
    codes = tf.tensor_scatter_nd_update(codes, tf.gather(starter, changed)[:, tf.newaxis], tf.gather(made, changed))
    kept = tf.where(~taken)[:, 0]
    codes, origin, row, order = (tf.gather(values, kept) for values in (codes, origin, row, order))
    return codes, origin, row, order, tf.reduce_any(taken)


def _pairs(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """What two characters become as one: (pairs,) int32 code points each to the same, 0 for nothing."""
    keys, composed = _pair_arrays()
    asked = tf.cast(first, tf.int64) * UNICODE_END + tf.cast(second, tf.int64)
    found = tf.minimum(tf.searchsorted(keys, asked), len(keys) - 1)
    made = tf.where(tf.gather(keys, found) == asked, tf.gather(composed, found), 0)
    lead, vowel, tail, syllable = first - LEAD_BASE, second - VOWEL_BASE, second - TAIL_BASE, first - SYLLABLE_BASE
    opens = (lead >= 0) & (lead < NUM_LEADS) & (vowel >= 0) & (vowel < NUM_VOWELS)
    made = tf.where(opens, SYLLABLE_BASE + (lead * NUM_VOWELS + vowel) * NUM_TAILS, made)
    is_open = (syllable >= 0) & (syllable < NUM_SYLLABLES) & (syllable % NUM_TAILS == 0)
    return tf.where(is_open & (tail > 0) & (tail < NUM_TAILS), first + tail, made)


@functools.cache
def _orders() -> dict[int, int]:
    """The place of each combining class among all."""
    classes = {unicodedata.combining(chr(code)) for code in itertools.chain(*DISTINCT_RANGES)}
    return {number: place for place, number in enumerate(sorted(classes))}


def _order(character: str) -> int:
    return _orders()[unicodedata.combining(character)]


def _is_syllable(character: str) -> bool:
    return SYLLABLE_BASE <= ord(character) < SYLLABLE_BASE + NUM_SYLLABLES


@functools.cache
def _compositions() -> dict[tuple[int, int], int]:
    """Pairs that are one character, but for Hangul, which is worked out."""
    pairs = {}
    for code in itertools.chain(*DISTINCT_RANGES):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and parts[0][0] != "<" and unicodedata.normalize("NFC", chr(code)) == chr(code):
            pairs[int(parts[0], 16), int(parts[1], 16)] = code
    return pairs


@functools.cache
def _pair_arrays() -> tuple[np.ndarray, np.ndarray]:
    pairs = sorted(_compositions().items())
    keys = np.array([first * UNICODE_END + second for (first, second), _ in pairs], np.int64)
    return keys, np.array([code for _, code in pairs], np.int32)


@functools.cache
def _quick_table() -> CodePointTable:
    """Each character as it is; its kind is its order, and `UNSURE`."""
    joining = {second for _, second in _compositions()}
    joining |= set(range(VOWEL_BASE, VOWEL_BASE + NUM_VOWELS)) | set(range(TAIL_BASE + 1, TAIL_BASE + NUM_TAILS))

    def parts(character: str) -> list[tuple[int, int]]:
        unsure = ord(character) in joining or unicodedata.normalize("NFC", character) != character
        return [(ord(character), _order(character) | (UNSTABLE if unsure else 0))]

    return CodePointTable(parts)


@functools.cache
def _decompose_table() -> CodePointTable:
    """Each character taken apart (NFD), but for syllables of Hangul; kinds are orders."""

    def parts(character: str) -> list[tuple[int, int]]:
        apart = character if _is_syllable(character) else unicodedata.normalize("NFD", character)
        return [(ord(part), _order(part)) for part in apart]

    return CodePointTable(parts)
