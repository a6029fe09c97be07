"""One table look-up for each character of a text, in core TensorFlow ops."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal

import numpy as np

from dlkit.lazy import tf

PAGE = 256  # code points per page: most pages of the table are equal and kept once
UNICODE_END = sys.maxunicode + 1
MAX_PARTS = 31  # the longest decomposition in Unicode has 18 characters
# Planes 3 to 13 hold rare Han characters or nothing, 15 and 16 are private: nothing there becomes another or combines.
DISTINCT_RANGES = (range(0x30000), range(0xE0000, 0xE1000))
# Han, surrogates and private characters: within each of these all become the same in every table.
UNIFORM_RANGES = (range(0x3400, 0x4D00), range(0x4E00, 0x9F00), range(0xD800, 0xE000), range(0xE000, 0xF800),
         range(0x20000, 0x2A600))  # fmt: skip
IDENTITY = 0  # stands for "the code point itself" in the table's values


class CodePointTable:
    """What each code point becomes: zero or more (code point, kind) pairs, for use in a graph.

    Args:
        parts: function of a one-character string giving a list of (code point, kind) pairs, at most 31.
    """

    def __init__(self, parts: Callable[[str], list[tuple[int, int]]]) -> None:
        starts = {}  # tuple of parts -> where they begin in `values`
        values: list[int] = []
        pages: dict[bytes, int] = {}  # bytes of a page -> its number
        page_of = np.zeros(UNICODE_END // PAGE, np.int32)
        for first in range(0, UNICODE_END, PAGE):
            if not any(first in codes for codes in DISTINCT_RANGES):  # there one page stands for all
                page_of[first // PAGE] = page_of[DISTINCT_RANGES[0].stop // PAGE - 1]
                continue
            alike = next((codes.start for codes in UNIFORM_RANGES if first in codes), first)
            if first > alike:
                page_of[first // PAGE] = page_of[alike // PAGE]
                continue
            page = np.zeros(PAGE, np.int32)
            for code in range(first, first + PAGE):
                found = tuple((kind << 24) | (IDENTITY if part == code else part) for part, kind in parts(chr(code)))[
                    :MAX_PARTS
                ]
                if found not in starts:
                    starts[found] = len(values)
                    values.extend(found)
                page[code - first] = (starts[found] << 5) | len(found)
            page_of[first // PAGE] = pages.setdefault(page.tobytes(), len(pages))
        self.page_of = page_of
        self.pages = np.frombuffer(b"".join(pages), np.int32)
        self.values = np.array(values, np.int32)

    def __call__(self, codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Replaces code points.

        Args:
            codes: (characters,) int32, code points.

        Returns:
            Tuple of `origin`: (parts,) int32, the position in `codes` of each part; `parts`: (parts,) int32, code
            points; `kinds`: (parts,) int32.
        """
        entry = self._entry(codes)
        counts = tf.bitwise.bitwise_and(entry, MAX_PARTS)
        starts = tf.bitwise.right_shift(entry, 5)
        origin = tf.repeat(tf.range(tf.size(codes)), counts)
        offset = tf.range(tf.size(origin)) - tf.gather(tf.cumsum(counts, exclusive=True), origin)
        value = tf.gather(self.values, tf.gather(starts, origin) + offset)
        kinds = tf.bitwise.right_shift(value, 24)
        parts = tf.bitwise.bitwise_and(value, 0xFFFFFF)
        return origin, tf.where(parts == IDENTITY, tf.gather(codes, origin), parts), kinds

    def kinds(self, codes: tf.Tensor) -> tf.Tensor:
        """The kinds alone, of a table in which each code point becomes one: (characters,) int32 to the same."""
        return tf.bitwise.right_shift(tf.gather(self.values, tf.bitwise.right_shift(self._entry(codes), 5)), 24)

    def _entry(self, codes: tf.Tensor) -> tf.Tensor:
        """Of each code point where its parts begin in `values`, times 32, plus how many they are."""
        return tf.gather(self.pages, tf.gather(self.page_of, codes // PAGE) * PAGE + codes % PAGE)


def neighbor(values: tf.Tensor, distance: Literal[1, -1]) -> tf.Tensor:
    """Shifts (n,) values so that each place holds its left (1) or right (-1) neighbour, with -1 at the border."""
    border = -tf.ones_like(values[:1])
    if distance > 0:
        return tf.concat([border, values[:-1]], 0)
    return tf.concat([values[1:], border], 0)
