"""Columns of a recognizer's answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.columns import Column, Text


class SpokenWords(Column):
    """The words of a text, in their order; padded with "" in a batch."""

    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        return [Text().raw(word) for word in value]


class Seconds(Column):
    """A duration, or a time from the start of a recording, in seconds."""

    dtype = "float32"

    def raw(self, value: Any) -> np.float32:
        return np.float32(value)


class Times(Column):
    """Times from the start of a recording, in seconds, one for each word; padded with 0 in a batch."""

    dtype = "float32"
    shape = (None,)

    def raw(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)


class Numbers(Column):
    """Numbers of a free count; padded with 0 in a batch."""

    dtype = "float32"
    shape = (None,)

    def raw(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)
