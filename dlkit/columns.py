"""Columns: what depends only on the kind of a value.

A column knows its raw form in the serving graph, which Python values it accepts, how a table's cell becomes one, how
it is written in a REST request and how an answer is shown. Readers, `predict`, the contract file and the command
line ask the column and hold no code of any task.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dlkit.errors import DataError, UnreadableError
from dlkit.lazy import tf
from dlkit.png import decode_mask, encode_image, encode_mask, mask_as_png, pil_ids


@dataclass(frozen=True)
class Column:
    """A named value of a task, with its raw form in the graph.

    Attributes:
        dtype: raw dtype in the graph, as a TensorFlow dtype name.
        shape: raw shape of one row, without the batch dimension; None for a free length.
        ranked_by: name of the score column that orders this answer, best first, if there is one.
        optional: whether a source may lack it, so that a table has no such column, and cells may be empty.
        aliases: other names under which a source may have it.
        empty: what pads a free length of numbers.
        atol: by how much a number of an answer may differ between two graphs that answer alike.
        pixels: the share of an answer's pixels that may; 0 for what is no image.
    """

    ranked_by: str = ""
    optional: bool = False
    aliases: tuple[str, ...] = ()

    dtype: ClassVar[str] = "string"
    shape: ClassVar[tuple[int | None, ...]] = ()
    empty: ClassVar[float] = 0
    atol: ClassVar[float] = 1e-5
    pixels: ClassVar[float] = 0.0

    def raw(self, value: Any) -> Any:
        """The value as the graph takes it. Raises DataError where it cannot be one."""
        raise NotImplementedError

    def from_cell(self, cell: str, folder: Path) -> Any:
        """A table's cell as a value for `raw`; `folder` is where the table lies."""
        return cell

    def many(self, value: Any) -> bool:
        """Whether `value` given to `predict` holds several values rather than one."""
        return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > len(self.shape))

    def to_request(self, raw: Any) -> Any:
        """The raw value in a REST request, as JSON."""
        return raw.decode() if isinstance(raw, bytes) else np.asarray(raw).tolist()

    def from_request(self, value: Any) -> Any:
        """The raw value that `to_request` wrote."""
        return self.raw(value)

    def show(self, answer: np.ndarray) -> Any:
        """One row of an answer as a plain Python value."""
        return _plain(answer)


class Text(Column):
    """A text in UTF-8."""

    def raw(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            try:
                value.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"the text is not UTF-8: byte {value[error.start]:#04x} at position {error.start}. "
                    "Convert it first, for example: iconv -f latin1 -t utf-8."
                ) from error
            return value
        if isinstance(value, str):
            return value.encode("utf-8", errors="replace")  # lone surrogates have no UTF-8 form
        raise DataError(f"expected a text (str or UTF-8 bytes). Received: {_describe(value)}.")


class Passage(Text):
    """A text that holds the answer to a question."""


class Answers(Column):
    """Answers that are parts of a passage, each with the character (code point) at which it starts.

    Accepts a text, a pair (text, start), or a list of texts, pairs or dicts `{"text", "answer_start"}`, or one such
    dict of two lists, as TFDS has it. No answer, an empty text or an empty list: the question has none. An answer
    without a start has -1. In the graph: (answers, 2) string, text and decimal start.
    """

    shape = (None, 2)

    @staticmethod
    def pairs(value: Any) -> list[tuple[str, int]]:
        """The answers as texts with starts. Raises DataError where they have none of the forms."""
        if isinstance(value, dict) and isinstance(value.get("text"), (list, tuple, np.ndarray)):
            texts = value["text"]
            starts = value.get("answer_start", [-1] * len(texts))
            value = list(zip(texts, starts, strict=True)) if len(texts) == len(starts) else len(texts)
        if value is None or isinstance(value, (str, bytes, dict)) or (isinstance(value, tuple) and _is_pair(value)):
            value = [value]
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise DataError(f"expected answers: texts with the character each starts at. Received: {_describe(value)}.")
        return [pair for pair in map(_answer, value) if pair[0]]

    def raw(self, value: Any) -> list[list[bytes]]:
        return [[Text().raw(text), str(start).encode()] for text, start in self.pairs(value)]

    def to_request(self, raw: list[list[bytes]]) -> list[dict[str, Any]]:
        return [{"text": text.decode(), "answer_start": int(start)} for text, start in raw]


class Place(Column):
    """A character (code point) of a passage, counted from 0; -1 for none."""

    dtype = "int32"

    def raw(self, value: Any) -> Any:
        return np.asarray(value, np.int32)


class Places(Place):
    """Characters (code points) of a passage, counted from 0; -1 for none."""

    shape = (None,)


class Logits(Column):
    """What a network gives for each token, before a softmax."""

    dtype = "float32"
    shape = (None,)
    atol = 1e-3


class Image(Column):
    """An image as encoded bytes: JPEG, PNG, BMP or GIF.

    Accepts a path, encoded bytes, a PIL image, or an array: (height, width), (height, width, 1, 3 or 4), of uint8 in
    [0, 255], uint16 in [0, 65535] or float in [0, 1]. Arrays become PNG, which loses nothing of 8-bit values.
    """

    def raw(self, value: Any) -> bytes:
        if isinstance(value, (str, os.PathLike)):
            return _file_bytes(value, "image")
        if isinstance(value, (bytes, bytearray)):
            return bytes(value)
        if _is_pil(value) and value.mode not in ("1", "L", "I;16", "RGB", "RGBA"):  # a palette's indices are no colours
            value = value.convert("RGB")
        if hasattr(value, "__array__") or _is_pil(value):
            return encode_image(np.asarray(value))
        raise DataError(
            f"expected an image: a path, encoded bytes, a PIL image or an array. Received: {_describe(value)}."
        )

    def from_cell(self, cell: str, folder: Path) -> Path | bytes:
        return cell if isinstance(cell, bytes) else folder / cell

    def many(self, value: Any) -> bool:
        if isinstance(value, np.ndarray):
            return value.ndim == 4 or (value.ndim == 3 and value.shape[-1] not in (1, 3, 4))
        return isinstance(value, (list, tuple))

    def to_request(self, raw: bytes) -> dict[str, str]:
        return {"b64": base64.b64encode(raw).decode()}

    def from_request(self, value: dict[str, str]) -> bytes:
        return base64.b64decode(value["b64"])


class Label(Column):
    """The name of a class. Integers and booleans become their decimal or lower-case names."""

    def raw(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return Text().raw(value)
        if isinstance(value, (bool, np.bool_)):
            return str(bool(value)).lower().encode()
        if isinstance(value, (str, int, np.integer)):
            return _named(str(value).strip())
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value)).encode()
        raise DataError(f"expected a label (a name or an integer). Received: {_describe(value)}.")


class Labels(Column):
    """Names of classes: several answers, or the labels of a row that may carry any number of them.

    A table's cell holds them joined by `|`.
    """

    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        if isinstance(value, str):
            value = [name for name in value.split("|") if name.strip()]
        if not isinstance(value, (list, tuple, set, np.ndarray)):
            raise DataError(f"expected a list of labels, or a text joined by `|`. Received: {_describe(value)}.")
        return [Label().raw(item) for item in value]


class Id(Column):
    """The id of a user or an item: a text or an integer, which the graph knows by its digits; empty for nobody."""

    def raw(self, value: Any) -> bytes:
        if value is None:
            return b""
        if isinstance(value, (str, bytes)):
            return Text().raw(value)
        if isinstance(value, (float, np.floating)) and float(value).is_integer():  # an integer beside empty cells
            value = int(value)
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            return str(value).encode()
        raise DataError(f"expected an id (a text or an integer). Received: {_describe(value)}.")


class Items(Column):
    """Ids of items, any number of them, the oldest first. A table's cell holds them joined by `|`.

    In the graph and in requests an empty id is no item: lists are padded with it, and no item at all is [""].
    """

    shape = (None,)

    def raw(self, value: Any) -> list[bytes]:
        if isinstance(value, (str, bytes)):
            value = Text().raw(value).split(b"|")
        if value is None or isinstance(value, dict) or not hasattr(value, "__iter__"):
            raise DataError(f"expected a list of item ids, or a text joined by `|`. Received: {_describe(value)}.")
        return [item for item in map(Id().raw, value) if item] or [b""]

    def to_request(self, raw: list[bytes]) -> list[str]:
        return [item.decode() for item in raw]


class Rating(Column):
    """How much a user likes an item: a number in the units of the training data."""

    dtype = "float32"
    atol = 1e-4

    def raw(self, value: Any) -> np.float32:
        try:
            number = np.float32(value)
        except (TypeError, ValueError):
            number = np.float32("nan")
        if not np.isfinite(number):
            raise DataError(f"expected a rating (a finite number). Received: {_describe(value)}.")
        return number


class Stamp(Column):
    """A point in time, of which only the order counts: a number, a date in ISO 8601, or a datetime."""

    dtype = "float64"

    def raw(self, value: Any) -> np.float64:
        try:
            return np.float64(value.decode() if isinstance(value, bytes) else value)
        except (TypeError, ValueError):
            pass
        try:
            return np.datetime64(value, "us").astype(np.float64) / 1e6  # seconds since 1970
        except (TypeError, ValueError):
            raise DataError(f"expected a time: a number or a date. Received: {_describe(value)}.") from None


class Score(Column):
    """A number between 0 and 1: how sure an answer is."""

    dtype = "float32"

    def raw(self, value: Any) -> np.float32:
        return np.float32(value)


class Scores(Score):
    """A score for each of several answers."""

    shape = (None,)


class Count(Column):
    """How many of a row's padded answers count."""

    dtype = "int32"

    def raw(self, value: Any) -> np.int32:
        return np.int32(value)


class Flag(Column):
    """Whether something holds."""

    dtype = "bool"

    def raw(self, value: Any) -> np.bool_:
        return np.bool_(value)


class Boxes(Column):
    """Boxes of an image, any number of them: ymin, xmin, ymax, xmax in pixels of the original image.

    The origin is the upper left corner of the first pixel: a box around that pixel alone is 0, 0, 1, 1.
    """

    dtype = "float32"
    shape = (None, 4)
    atol = 0.01

    def raw(self, value: Any) -> np.ndarray:
        return _box_rows(value, (4,))


class CrowdBoxes(Boxes):
    """Boxes to learn from. A fifth number is 1 for a crowd: many objects in one box, as COCO's `iscrowd`; else 0."""

    shape = (None, 5)

    def raw(self, value: Any) -> np.ndarray:
        boxes = _box_rows(value, (4, 5))
        boxes = np.pad(boxes, [(0, 0), (0, 5 - boxes.shape[1])])
        right = np.isfinite(boxes).all(1) & (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        right &= np.isin(boxes[:, 4], (0, 1))
        if not right.all():
            first = int(np.argmin(right))
            numbers = ", ".join(f"{number:g}" for number in boxes[first])
            raise DataError(
                f"box {first} of {len(boxes)} is empty, inverted or no box: {numbers}. Expected ymin < ymax, xmin < "
                "xmax, and 1 for a crowd or 0. Correct it, or leave it out."
            )
        return boxes


class Mask(Column):
    """A class id for each pixel of an image, as a grey 8-bit PNG of the image's size.

    Accepts a path, the bytes of an image file, a PIL image, or an array of integers, (height, width). A palette image
    gives its indices. By convention 255 is no class: such pixels count neither in training nor in scores.
    """

    pixels = 1e-3

    def raw(self, value: Any) -> bytes:
        if isinstance(value, (str, os.PathLike)):
            value = _file_bytes(value, "mask")
        if isinstance(value, (bytes, bytearray)):
            return mask_as_png(bytes(value))
        if _is_pil(value):
            return encode_mask(pil_ids(value))
        if hasattr(value, "__array__"):
            return encode_mask(np.asarray(value))
        raise DataError(
            "expected a mask: a path, encoded bytes, a PIL image or an array of class ids. "
            f"Received: {_describe(value)}."
        )

    def from_cell(self, cell: str, folder: Path) -> Path | bytes:
        return cell if isinstance(cell, bytes) else folder / cell

    def many(self, value: Any) -> bool:
        if isinstance(value, np.ndarray):
            return value.ndim == 4 or (value.ndim == 3 and value.shape[-1] != 1)
        return isinstance(value, (list, tuple))

    def to_request(self, raw: bytes) -> dict[str, str]:
        return {"b64": base64.b64encode(raw).decode()}

    def from_request(self, value: dict[str, str]) -> bytes:
        return base64.b64decode(value["b64"])

    def show(self, answer: Any) -> np.ndarray:
        return decode_mask(answer)


def _is_pair(value: tuple) -> bool:
    return len(value) == 2 and isinstance(value[0], (str, bytes)) and not isinstance(value[1], (str, bytes, tuple))


def _answer(value: Any) -> tuple[str, int]:
    """A text with its start, -1 where it has none."""
    text, start = value, -1
    if isinstance(value, dict):
        text, start = value.get("text"), value.get("answer_start", -1)
    elif isinstance(value, (tuple, list)) and len(value) == 2:
        text, start = value
    if text is None:
        return "", -1
    try:
        number = -1 if start is None else int(start)
        return Text().raw(text).decode(), number
    except (TypeError, ValueError):
        raise DataError(
            f"expected an answer: a text, and the character it starts at. Received: {_describe(value)}."
        ) from None


def _file_bytes(path: Any, kind: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = getattr(error, "strerror", None) or error
        raise UnreadableError(f"cannot read the {kind} {str(path)!r}: {reason}.") from error


def _is_pil(value: Any) -> bool:
    return hasattr(value, "convert") and hasattr(value, "mode")


def _box_rows(value: Any, widths: tuple[int, ...]) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # beyond float32 is refused as not finite
            boxes = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):  # from a value that reads its image only now
            raise
        raise DataError(f"expected boxes, four numbers each. Received: {_describe(value)}.") from error
    if not boxes.size and boxes.ndim:
        boxes = np.zeros((0, widths[-1]), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] not in widths:
        raise DataError(
            "expected boxes as (boxes, 4) numbers: ymin, xmin, ymax, xmax in pixels. "
            f"Received: {_describe(value)}, of the shape {boxes.shape}."
        )
    return boxes


def _named(name: str) -> bytes:
    if not name:
        raise DataError("the label is empty. Give it a name, or leave the row out.")
    return name.encode("utf-8", errors="replace")


def _plain(answer: Any) -> Any:
    if isinstance(answer, bytes):
        return answer.decode("utf-8", errors="replace")
    if isinstance(answer, np.ndarray):
        return [_plain(item) for item in answer]
    return answer.item() if isinstance(answer, np.generic) else answer


def _describe(value: Any) -> str:
    shape = f" of shape {value.shape}" if hasattr(value, "shape") else ""
    text = repr(value)
    return f"{type(value).__name__}{shape}" + (f" {text}" if len(text) <= 60 else "")


def stack(column: Column, values: Sequence[Any]) -> np.ndarray:
    """Raw values of several rows as one array with a batch dimension; free lengths are padded with the empty value."""
    dtype = object if column.dtype == "string" else column.dtype
    if None not in column.shape:
        sizes = [size for size in column.shape if size is not None]
        return np.array(values, dtype=dtype).reshape([len(values), *sizes])
    longest = max((len(value) for value in values), default=0)
    shape: tuple[Any, ...] = (len(values), longest, *column.shape[1:])
    padded = np.full(shape, b"" if dtype is object else column.empty, dtype)
    for row, value in enumerate(values):
        if len(value):  # an empty list does not say that it is one of pairs
            padded[row, : len(value)] = value
    return padded


def batch_of(rows: Sequence[dict[str, Any]], columns: dict[str, Column]) -> dict[str, tf.Tensor]:
    """Raw rows as the graph takes them: a tensor for each column, batch dimension first."""
    batch = {}
    for name, column in columns.items():
        values = [row[name] for row in rows]
        plain = column.dtype == "string" and not column.shape  # by way of an array it takes half as long again
        batch[name] = tf.constant(values if plain else stack(column, values))
    return batch


def tensor_specs(columns: dict[str, Column]) -> dict[str, tf.TensorSpec]:
    """The columns' raw form in the graph, batch dimension first."""
    return {name: tf.TensorSpec([None, *column.shape], column.dtype, name=name) for name, column in columns.items()}
