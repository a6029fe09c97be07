"""Edge cases of images and texts, and invalid ones, for the contracts of tasks."""

import io

import numpy as np
import pytest


def encode_noise(mode, size=(9, 7), form="PNG"):
    """Encode an image of random noise."""
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    image = pillow.fromarray(pixels)
    image = (
        pillow.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000) if mode == "I;16" else image.convert(mode)
    )
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


EDGE_IMAGES = {
    "1 pixel": lambda: encode_noise("RGB", (1, 1)),
    "1 x 300": lambda: encode_noise("L", (1, 300)),
    "grayscale": lambda: encode_noise("L"),
    "alpha": lambda: encode_noise("RGBA"),
    "grayscale with alpha": lambda: encode_noise("LA"),
    "palette": lambda: encode_noise("P"),
    "16 bit": lambda: encode_noise("I;16"),
    "CMYK": lambda: encode_noise("CMYK", form="JPEG"),
    "BMP": lambda: encode_noise("RGB", form="BMP"),
    "GIF": lambda: encode_noise("P", form="GIF"),
    "a grayscale array": lambda: np.zeros((5, 6), np.uint8),
    "a float array": lambda: np.ones((5, 6, 3)),
}
INVALID_IMAGES = {"empty": b"", "not an image": b"hello", "truncated": lambda: encode_noise("RGB")[:60], "a number": 3}
EDGE_TEXTS = {
    "empty": lambda: "",
    "blanks": lambda: " \t\n ",
    "one character": lambda: "a",
    "many scripts": lambda: "これは 本 だ。 Ça, c'est naïve! עברית العربية 🎉👩‍👩‍👧",
    "control characters": lambda: "a\x00b\x07c\u200b",
    "very long": lambda: "word " * 20_000,
    "bytes": lambda: "é".encode(),
}
INVALID_TEXTS = {"not a text": 3.5, "not UTF-8": b"\xff\xfe"}
