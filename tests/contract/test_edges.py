"""Inputs at the edges of what a task takes: an answer, or the documented error."""

import io

import numpy as np
import pytest

from dlkit.columns import Id, Image, Text
from dlkit.errors import DlkitError
from dlkit.tasks.forecasting.columns import Stamps


def picture(mode, size=(9, 7), form="PNG"):
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    image = pillow.fromarray(pixels)
    image = (
        pillow.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000) if mode == "I;16" else image.convert(mode)
    )
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


EDGES = {
    Image: {
        "1 pixel": lambda: picture("RGB", (1, 1)),
        "1 x 300": lambda: picture("L", (1, 300)),
        "grey": lambda: picture("L"),
        "alpha": lambda: picture("RGBA"),
        "grey with alpha": lambda: picture("LA"),
        "palette": lambda: picture("P"),
        "16 bit": lambda: picture("I;16"),
        "CMYK": lambda: picture("CMYK", form="JPEG"),
        "BMP": lambda: picture("RGB", form="BMP"),
        "GIF": lambda: picture("P", form="GIF"),
        "a grey array": lambda: np.zeros((5, 6), np.uint8),
        "a float array": lambda: np.ones((5, 6, 3)),
    },
    Text: {
        "empty": lambda: "",
        "blanks": lambda: " \t\n ",
        "one character": lambda: "a",
        "many scripts": lambda: "これは 本 だ。 Ça, c'est naïve! עברית العربية 🎉👩‍👩‍👧",
        "control characters": lambda: "a\x00b\x07c\u200b",
        "very long": lambda: "word " * 20_000,
        "bytes": lambda: "é".encode(),
    },
    Stamps: {
        "one value": lambda: {"ds": ["1961-01-01"], "y": [3.5]},
        "no value at all": lambda: {"ds": ["1961-01-01"], "y": [None]},
        "constant": lambda: {"ds": ["1961-01", "1961-02", "1961-03"], "y": [0, 0, 0]},
        "gaps, in disorder": lambda: {"ds": ["1961-06-01", "1959-01-01", "1960-12-01"], "y": [3.0, float("nan"), 1.0]},
        "one stamp twice": lambda: {"ds": ["1961-06-30", "1961-06-30 13:00"], "y": [1.0, 2.0]},
        "huge and tiny": lambda: {"ds": ["1961-01-31", "1961-02-28"], "y": [1e30, 1e-30]},
        "long": lambda: {"ds": np.arange("1000-01", "3000-01", dtype="datetime64[M]"), "y": np.arange(24_000.0)},
    },
    Id: {
        "empty": lambda: "",
        "unknown": lambda: "nobody 🎉",
        "known": lambda: "u001",
        "of an item": lambda: "comedy-01",
        "bytes": lambda: "é".encode(),
        "very long": lambda: "x" * 100_000,
    },
}
BROKEN = {
    Image: {"nothing": b"", "no image": b"hello", "cut off": lambda: picture("RGB")[:60], "a number": 3},
    Text: {"no text": 3.5, "not UTF-8": b"\xff\xfe"},
    Stamps: {
        "no stamp": {"ds": ["soon"], "y": [1.0]},
        "no stamps": {"ds": [], "y": []},
        "no day": {"ds": ["1961-02-30"], "y": [1.0]},
        "a time zone": {"ds": ["1961-02-03T00:00:00+01:00"], "y": [1.0]},
        "too few values": {"ds": ["1961-01-01", "1961-02-01"], "y": [1.0]},
        "too many values": {"ds": ["1961-01-01"], "y": [1.0, 2.0]},
        "infinite": {"ds": ["1961-01-01"], "y": [float("inf")]},
        "no numbers": {"ds": ["1961-01-01"], "y": ["much"]},
    },
    Id: {"a fraction": 3.5, "not UTF-8": b"\xff\xfe", "a dict": {}},
}


def kind_of(task):
    return type(next(iter(task.inputs.values())))


def inputs_with(task, value):
    """An input of a task for each of its columns that takes such a value; the others hold a text. A dict is one."""
    if len(task.inputs) == 1 or isinstance(value, dict):
        return [value]
    return [{name: value if name == edge else "a text" for name in task.inputs} for edge in task.inputs]


def test_edges_get_an_answer(fitted):
    for name, make in EDGES[kind_of(fitted)].items():
        for value in inputs_with(fitted, make()):
            answer = fitted.predict(value)
            scores = [value for key, value in answer.items() if key in ("score", "forecast")]
            assert all(np.isfinite(score).all() for score in scores), name


def test_what_is_broken_is_refused_by_name(fitted):
    for name, value in BROKEN[kind_of(fitted)].items():
        value = value() if callable(value) else value
        good = inputs_with(fitted, next(iter(EDGES[kind_of(fitted)].values()))())[0]
        for broken in inputs_with(fitted, value):
            with pytest.raises(DlkitError, match=r"input 1|'a text'"):  # a row is named by its first text, if short
                fitted.predict([good, broken])
            with pytest.raises(DlkitError, match=r"input|'a text'"):
                fitted.predict(broken)
        assert fitted.predict(good), name
