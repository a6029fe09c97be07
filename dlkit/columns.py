"""Columns: what depends only on the kind of a value.

A column knows its raw form in the serving graph, which Python values it accepts, how a table's cell becomes one, how
it is written in a REST request and how an answer is shown. Readers, `predict`, the contract file and the command
line ask the column and hold no code of any task.
"""

from __future__ import annotations

import base64
import keyword
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dlkit.data.bytes import cell_text, decode_utf8
from dlkit.data.label_cells import refuse_lists, split_cells, to_label_list
from dlkit.errors import DataError, UnreadableError
from dlkit.lazy import tf
from dlkit.limits import Limits
from dlkit.options import option
from dlkit.reading_errors import as_data_error
from dlkit.vision.png import convert_unsupported, encode_image, encode_pil


@dataclass(frozen=True)
class Column:
    """A named value of a task, with its raw form in the graph.

    Attributes:
        dtype: raw dtype in the graph, as a TensorFlow dtype name.
        shape: raw shape of one row, without the batch dimension; None for a free length.
        ranked_by: name of the score column that orders this answer, best first, if there is one.
        optional: whether a source or a request may lack it, so that a table has no such column, and cells may be empty.
        aliases: other names under which a source may have it.
        default: what stands for an optional one that is not there.
        limits: what a request's values can be; None where any can be meant.
        kind: what messages call it; by default the class's name in small letters.
        reader: the module whose `reader`, a `dlkit.data.reader.Reader`, knows the sources of such columns alone; ""
            where what is common to all tables is enough. Imported only when such a column is wanted.
        suffixes: of the files of a folder that hold such a value each.
        feature: the class of TensorFlow Datasets' feature that holds it, if there is one.
        may_be_empty: whether an empty text, or an empty list, is a value.
        may_be_missing: whether a cell without a value is one.
        one_hot: whether rows of zeros and ones stand for the names of their ones.
        lists_classes: whether a source may say of which classes it can be, with those that no row has.
        empty: what pads a free length of numbers.
        atol: by how much a number of an answer may differ between two graphs that answer alike.
        pixels: the share of an answer's pixels that may; 0 for what is no image.
    """

    ranked_by: str = ""
    optional: bool = False
    aliases: tuple[str, ...] = ()
    default: Any = None
    limits: Limits | None = None

    kind: ClassVar[str] = "column"
    reader: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = ()
    feature: ClassVar[str] = ""
    may_be_empty: ClassVar[bool] = False
    may_be_missing: ClassVar[bool] = False
    one_hot: ClassVar[bool] = False
    lists_classes: ClassVar[bool] = False
    dtype: ClassVar[str] = "string"
    shape: ClassVar[tuple[int | None, ...]] = ()
    empty: ClassVar[float] = 0
    atol: ClassVar[float] = 1e-5
    pixels: ClassVar[float] = 0.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kind" not in vars(cls):
            cls.kind = cls.__name__.lower()

    def raw(self, value: Any) -> Any:
        """The value as the graph takes it. Raises DataError where it cannot be one."""
        raise NotImplementedError

    def from_cell(self, cell: str, folder: Path) -> Any:
        """A table's cell as a value for `raw`; `folder` is where the table lies."""
        return cell

    def convert_all(self, values: Any, where: Callable[[int], str]) -> tuple[Any, list[str]]:
        """All values of a source's column, where how one is read depends on the others, and remarks.

        Args:
            values: one for each row.
            where: row number, from 0, to the words of an error message.

        Raises:
            DataError: they cannot be what they look like; names the row and the cure.
        """
        return values, []

    def from_file(self, file: Path) -> Any:
        """A file of a folder, of those with its `suffixes`, as a value for `raw`. Raises DataError."""
        return file

    def is_list(self, value: Any) -> bool:
        """Whether `value` given to `predict` holds several values rather than one."""
        return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > len(self.shape))

    def is_batch(self, shape: Sequence[int | None], dtype: str) -> bool:
        """Whether a tensor of this shape and dtype, of a `tf.data.Dataset`, holds several values rather than one."""
        return len(shape) > len(self.shape)

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
    """A text in UTF-8, or the `Path` of a file that holds one."""

    suffixes: ClassVar[tuple[str, ...]] = (".txt",)
    feature = "Text"
    may_be_empty = True

    def from_file(self, file: Path) -> str:
        with as_data_error(file):
            return decode_utf8(file.read_bytes(), str(file))

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
        if isinstance(value, Path):
            return self.from_file(value).encode()
        raise DataError(f"expected a text (str or UTF-8 bytes). Received: {describe_value(value)}.")


class EncodedFile(Column):
    """What a file of an image format holds, as its bytes; in requests in base64."""

    channels: ClassVar[tuple[int, ...]] = (1, 3, 4)  # that the last side of one array may be

    def from_cell(self, cell: str, folder: Path) -> Path | bytes:
        return cell if isinstance(cell, bytes) else folder / cell

    def is_list(self, value: Any) -> bool:
        if isinstance(value, np.ndarray):
            return value.ndim == 4 or (value.ndim == 3 and value.shape[-1] not in self.channels)
        return isinstance(value, (list, tuple))

    def to_request(self, raw: bytes) -> dict[str, str]:
        return {"b64": base64.b64encode(raw).decode()}

    def from_request(self, value: dict[str, str]) -> bytes:
        return base64.b64decode(value["b64"])


class Image(EncodedFile):
    """An image as encoded bytes: JPEG, PNG, BMP, GIF or WebP.

    Accepts a path, encoded bytes, a PIL image, or an array: (height, width), (height, width, 1, 3 or 4), of uint8 in
    [0, 255], uint16 in [0, 65535] or float in [0, 1]. Arrays become PNG, which loses nothing of 8 and 16 bits; so do
    files of other formats that Pillow opens (TIFF, AVIF, animated WebP, ...), with their EXIF orientation.
    """

    suffixes = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif")
    feature = "Image"

    def raw(self, value: Any) -> bytes:
        if isinstance(value, (str, os.PathLike)):
            return convert_unsupported(read_file_bytes(value, "image"))
        if isinstance(value, (bytes, bytearray)):
            return convert_unsupported(bytes(value))
        if is_pil(value):
            return encode_pil(value)
        if hasattr(value, "__array__"):
            return encode_image(np.asarray(value))
        raise DataError(
            f"expected an image: a path, encoded bytes, a PIL image or an array. Received: {describe_value(value)}."
        )

    def is_batch(self, shape: Sequence[int | None], dtype: str) -> bool:
        if dtype == "string":
            return super().is_batch(shape, dtype)
        return len(shape) == 4 or (len(shape) == 3 and shape[-1] not in (*self.channels, None))


class Label(Column):
    """The name of a class, in Unicode's form NFC. Integers and booleans become their decimal or lower-case names."""

    feature = "ClassLabel"

    def convert_all(self, values: Any, where: Callable[[int], str]) -> tuple[Any, list[str]]:
        """Refuses lists of labels, as Python and JSON write them, and texts that join labels of other rows."""
        if _texts_among(values):
            refuse_lists((value if isinstance(value, str) else "" for value in values), where)
        return [_composed(value) for value in values] if _texts_among(values, bytes) else values, []

    def raw(self, value: Any) -> bytes:
        if isinstance(value, bytes):  # as it is: as a model spells it that was trained before
            return Text().raw(value)
        if isinstance(value, (bool, np.bool_)):
            return str(bool(value)).lower().encode()
        if isinstance(value, (str, int, np.integer)):
            return _named(str(value).strip())
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value)).encode()
        raise DataError(f"expected a label (a name or an integer). Received: {describe_value(value)}.")


class Labels(Column):
    """Names of classes: several answers, or the labels of a row that may carry any number of them.

    A table's cell holds them joined by `|`, or as a list of JSON or Python. Where no cell of a column has either,
    commas, semicolons, line breaks and tabs part them too.
    """

    shape = (None,)
    may_be_empty = True
    one_hot = True

    def convert_all(self, values: Any, where: Callable[[int], str]) -> tuple[Any, list[str]]:
        """Texts as lists of labels, all of them parted by the same."""
        if not _texts_among(values):
            composed = (isinstance(value, (list, tuple)) and _texts_among(value, bytes) for value in values)
            lists = [[*map(_composed, value)] if of else value for value, of in zip(values, composed, strict=True)]
            return lists, []
        made, remarks = split_cells([value if isinstance(value, str) else "" for value in values], where)
        return [of if isinstance(value, str) else value for value, of in zip(values, made, strict=True)], remarks

    def raw(self, value: Any) -> list[bytes]:
        if isinstance(value, str):
            value = split_cells([value], lambda row: "the cell")[0][0]
        if isinstance(value, Mapping):
            value = to_label_list(value, value)
        if not isinstance(value, (list, tuple, set, np.ndarray)):
            raise DataError(
                f"expected a list of labels, or a text separated by `|`. Received: {describe_value(value)}."
            )
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
        raise DataError(f"expected an id (a text or an integer). Received: {describe_value(value)}.")


class Timestamp(Column):
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
            raise DataError(f"expected a time: a number or a date. Received: {describe_value(value)}.") from None


class Number(Column):
    """A number."""

    dtype = "float32"

    def raw(self, value: Any) -> np.float32:
        try:
            with np.errstate(over="ignore"):
                number = np.asarray(value, np.float32)
        except (TypeError, ValueError):
            number = np.asarray(np.nan, np.float32)
        if number.ndim or not np.isfinite(number):
            raise DataError(f"expected a finite number. Received: {describe_value(value)}.{comma_hint(value)}")
        return np.float32(number)


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
        return np.bool_(parse_bool(value))


_TRUE, _FALSE = ("true", "yes", "1", "1.0", "t", "y"), ("false", "no", "0", "0.0", "f", "n")


def parse_bool(value: Any) -> bool:
    """A truth value, as data have it: a boolean, 0 or 1, or one of them as a text. "False" is false.

    Raises:
        DataError: it is another thing.
    """
    text = cell_text(value).strip().lower()
    if text not in _TRUE and text not in _FALSE:
        raise DataError(f"expected true or false, or 1 or 0. Received: {describe_value(value)}.")
    return text in _TRUE


_MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none", "missing", "-", ".", "?")


def is_missing_number(value: Any) -> bool:
    """Whether a cell of a column of numbers says that there is none: empty, NA, null, NaN and the like."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip().lower() in _MISSING
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # pandas need not be there to be asked


def comma_hint(value: Any) -> str:
    """A further sentence for the refusal of a number with a decimal comma."""
    text = cell_text(value)
    return " Use a decimal point instead of the comma." if re.fullmatch(r"\s*[-+]?\d+,\d+\s*", text) else ""


def _texts_among(values: Any, kind: type = str) -> bool:
    if isinstance(values, np.ndarray) and (values.dtype.kind not in "UOS" or values.ndim != 1):
        return False
    return any(isinstance(value, kind) for value in values)


def _composed(value: Any) -> Any:
    """A label in bytes in Unicode's form NFC; what is not UTF-8, or something else, as it is."""
    try:
        return unicodedata.normalize("NFC", value.decode()).encode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


class Reason(Text):
    """Why a row could not be read, and has no answer; empty for one that has."""


class Truncated(Flag):
    """Whether the text was longer than what the model reads, and its end was cut."""


def read_file_bytes(path: Any, kind: str) -> bytes:
    with as_data_error(f"the {kind} {str(path)!r}", error=UnreadableError):
        return Path(path).read_bytes()


def is_pil(value: Any) -> bool:
    return hasattr(value, "convert") and hasattr(value, "mode")


def _named(name: str) -> bytes:
    if not name:
        raise DataError("the label is empty. Set it, or remove the row.")
    return unicodedata.normalize("NFC", name).encode("utf-8", errors="replace")


def _plain(answer: Any) -> Any:
    if isinstance(answer, bytes):
        return answer.decode("utf-8", errors="replace")
    if isinstance(answer, np.ndarray):  # all numbers at once: of long lists, one by one takes ten times as long
        items = answer.tolist()
        if answer.dtype != object:
            return items
        return [item.decode(errors="replace") if type(item) is bytes else _plain(item) for item in items]
    return answer.item() if isinstance(answer, np.generic) else answer


def describe_value(value: Any) -> str:
    shape = f" of shape {value.shape}" if hasattr(value, "shape") else ""
    text = repr(value)
    return f"{type(value).__name__}{shape}" + (f" {text}" if len(text) <= 60 else "")


def stack_column(column: Column, values: Sequence[Any]) -> np.ndarray:
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


def to_batch(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]) -> dict[str, tf.Tensor]:
    """Raw rows as the graph takes them: a tensor for each column, batch dimension first."""
    batch = {}
    for name, column in columns.items():
        values = [row[name] for row in rows]
        plain = column.dtype == "string" and not column.shape  # by way of an array it takes half as long again
        batch[name] = tf.constant(values if plain else stack_column(column, values))
    return batch


def check_input_names(columns: Mapping[str, Column], source: str) -> None:
    """Raises DataError for a column whose name cannot be that of a tensor in a signature, and says what to do."""
    for name in columns:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name == "self":
            own = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "column"
            own = own if own[0].isalpha() else f"c_{own}"
            raise DataError(
                f"{source}: the column {name!r} cannot be the input of a served model: its name must be ASCII "
                "letters, digits and underscores, start with a letter and not be a Python keyword. Rename it with "
                f"{option('columns', {own: name})}."
            )


def tensor_specs(columns: Mapping[str, Column]) -> dict[str, tf.TensorSpec]:
    """The columns' raw form in the graph, batch dimension first."""
    return {name: tf.TensorSpec([None, *column.shape], column.dtype, name=name) for name, column in columns.items()}
