"""Synthetic values, for exports that must not contain rows of any data."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from dlkit.audio.columns import Audio
from dlkit.columns import Column, EncodedFile, Id, Text

_WORDS = "The quick brown fox jumps over 13 lazy dogs, and the café by the old mill is open; who would not go there?"


@functools.singledispatch
def synthetic(column: Column, number: int) -> Any:
    """Generate a value of a column for `Column.raw`, the same one for the same number."""
    if column.dtype != "string":
        return number + 0.5 if not column.shape else [number + 0.5] * (number + 1)
    return [str(item + 1) for item in range(number + 1)]  # names, as ids often are


@synthetic.register
def _(column: Text, number: int) -> str:
    words = _WORDS.split()
    return " ".join(words[(number + offset) % len(words)] for offset in range(2 + 7 * number))


@synthetic.register
def _(column: Id, number: int) -> str:
    return str(number + 1)


@synthetic.register
def _(column: EncodedFile, number: int) -> np.ndarray:
    height, width = 48 + 8 * number, 64  # of the same size as no other: each is resized in its own way
    vertical, horizontal = np.mgrid[0:height, 0:width]
    planes = [vertical * 255 // height, horizontal * 255 // width, (vertical * (number + 3) + horizontal * 5) % 256]
    return np.stack(planes, -1).astype(np.uint8)


@synthetic.register
def _(column: Audio, number: int) -> tuple[np.ndarray, int]:
    rate = 8000 * (1 + number % 6)  # each is resampled in its own way
    time = np.arange(rate * (4 + number) // 8) / rate
    return (np.sin(2 * np.pi * (200 + 40 * number) * time * (1 + time)) / 4).astype(np.float32), rate
