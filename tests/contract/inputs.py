"""Images and texts at the edges of what tasks take, and broken ones: for the `EDGES` and `BROKEN` of a task."""

import io

import numpy as np
import pytest


def picture(mode, size=(9, 7), form="PNG"):
    """An encoded image of noise."""
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    image = pillow.fromarray(pixels)
    image = (
        pillow.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000) if mode == "I;16" else image.convert(mode)
    )
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


IMAGES = {
    "1 pixel": lambda: picture("RGB", (1, 1)),
    "1 x 300": lambda: picture("L", (1, 300)),
    "grey": lambda: picture("L"),
    "alpha": lambda: picture("RGBA"),
    "grayscale with alpha": lambda: picture("LA"),
    "palette": lambda: picture("P"),
    "16 bit": lambda: picture("I;16"),
    "CMYK": lambda: picture("CMYK", form="JPEG"),
    "BMP": lambda: picture("RGB", form="BMP"),
    "GIF": lambda: picture("P", form="GIF"),
    "a grey array": lambda: np.zeros((5, 6), np.uint8),
    "a float array": lambda: np.ones((5, 6, 3)),
}
BROKEN_IMAGES = {"nothing": b"", "no image": b"hello", "cut off": lambda: picture("RGB")[:60], "a number": 3}
TEXTS = {
    "empty": lambda: "",
    "blanks": lambda: " \t\n ",
    "one character": lambda: "a",
    "many scripts": lambda: "これは 本 だ。 Ça, c'est naïve! עברית العربية 🎉👩‍👩‍👧",
    "control characters": lambda: "a\x00b\x07c\u200b",
    "very long": lambda: "word " * 20_000,
    "bytes": lambda: "é".encode(),
}
BROKEN_TEXTS = {"no text": 3.5, "not UTF-8": b"\xff\xfe"}
