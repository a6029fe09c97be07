"""One table look-up for each character of a text, in core TensorFlow ops."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal

import numpy as np

from dlkit.lazy import tf

PAGE = 256  # code points per page: most pages of the table are equal and kept once
UNICODE_END = sys.maxunicode + 1
MOST_PARTS = 31  # the longest decomposition in Unicode has 18 characters
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
        # Planes 3 to 13 hold rare Han characters or nothing, 15 and 16 are private: there one page stands for all.
        for first in range(0, UNICODE_END, PAGE):
            if 0x30000 <= first < 0xE0000 or first >= 0xE1000:
                page_of[first // PAGE] = page_of[0x30000 // PAGE - 1]
                continue
            page = np.zeros(PAGE, np.int32)
            for code in range(first, first + PAGE):
                found = tuple((kind << 24) | (IDENTITY if part == code else part) for part, kind in parts(chr(code)))[
                    :MOST_PARTS
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
        page = tf.gather(self.page_of, codes // PAGE)
        entry = tf.gather(self.pages, page * PAGE + codes % PAGE)
        counts = tf.bitwise.bitwise_and(entry, MOST_PARTS)
        starts = tf.bitwise.right_shift(entry, 5)
        origin = tf.repeat(tf.range(tf.size(codes)), counts)
        offset = tf.range(tf.size(origin)) - tf.gather(tf.cumsum(counts, exclusive=True), origin)
        value = tf.gather(self.values, tf.gather(starts, origin) + offset)
        kinds = tf.bitwise.right_shift(value, 24)
        parts = tf.bitwise.bitwise_and(value, 0xFFFFFF)
        return origin, tf.where(parts == IDENTITY, tf.gather(codes, origin), parts), kinds


def neighbour(values: tf.Tensor, distance: Literal[1, -1]) -> tf.Tensor:
    """Shifts (n,) values so that each place holds its left (1) or right (-1) neighbour, with -1 at the border."""
    border = -tf.ones_like(values[:1])
    if distance > 0:
        return tf.concat([border, values[:-1]], 0)
    return tf.concat([values[1:], border], 0)
