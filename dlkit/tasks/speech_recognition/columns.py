"""Columns of a recognizer's answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.columns import Column, Text


class WordTimes(Text):
    """The words of a text: a line for each, with its start and end in seconds and the word, separated by tabs.

    One string, as lists of any length would depend on the other rows of a batch.
    """

    suffixes = ()
    feature = ""

    @staticmethod
    def parse(lines: str) -> dict[str, list[Any]]:
        """Return the lists `words`, `starts` and `ends`, of the same length.

        Examples:
            >>> WordTimes.parse("0.10\\t0.52\\tyes")
            {'words': ['yes'], 'starts': [0.1], 'ends': [0.52]}
        """
        cells = [line.split("\t") for line in lines.splitlines()]
        return {
            "words": [word for _, _, word in cells],
            "starts": [float(start) for start, _, _ in cells],
            "ends": [float(end) for _, end, _ in cells],
        }


class Seconds(Column):
    """A duration, or a time from the start of a recording, in seconds."""

    dtype = "float32"

    def raw(self, value: Any) -> np.float32:
        return np.float32(value)


class Numbers(Column):
    """Numbers of a free count; padded with 0 in a batch."""

    dtype = "float32"
    shape = (None,)

    def raw(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)
