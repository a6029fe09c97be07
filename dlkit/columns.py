"""Columns: everything that depends only on the kind of a value.

A column knows the raw form of its values in the serving graph, which Python values it accepts, how it reads the cell of
a table, how it writes a REST request, and how it shows a prediction. Readers, `predict`, the contract and the command
line use columns and contain no code of a task.
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
        optional: whether the column can be missing in a source or a request, and cells can be empty.
        aliases: other names of the column in a source.
        default: value of an optional column that is missing.
        limits: allowed values in a request; None for any value.
        kind: name of the kind in messages; by default the name of the class in lower case.
        reader: module whose `reader`, a `dlkit.data.reader.Reader`, reads sources of such columns; "" if ordinary
            tables are enough. Imported only when such a column is wanted.
        suffixes: suffixes of files in a folder that hold one value each.
        table_suffixes: suffixes of files of several rows that only the reader of the column knows.
        feature: class of the feature in TensorFlow Datasets, if there is one.
        may_be_empty: whether an empty text, or an empty list, is a value.
        may_be_missing: whether a missing value is valid.
        one_hot: whether one-hot and multi-hot rows are converted to class names.
        lists_classes: whether a source can list all classes, including those that no row has.
        empty: padding value of a free length of numbers.
        regressed: whether the signature `regress` answers with this number.
        absent: value of a feature that a `tf.Example` lacks; None if the example must have it.
        atol: absolute tolerance when the outputs of two graphs are compared.
        pixel_tolerance: fraction of the pixels of an image output that may differ; 0 for other outputs.
    """

    ranked_by: str = ""
    optional: bool = False
    aliases: tuple[str, ...] = ()
    default: Any = None
    limits: Limits | None = None

    kind: ClassVar[str] = "column"
    reader: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = ()
    table_suffixes: ClassVar[tuple[str, ...]] = ()
    feature: ClassVar[str] = ""
    may_be_empty: ClassVar[bool] = False
    may_be_missing: ClassVar[bool] = False
    one_hot: ClassVar[bool] = False
    lists_classes: ClassVar[bool] = False
    dtype: ClassVar[str] = "string"
    shape: ClassVar[tuple[int | None, ...]] = ()
    empty: ClassVar[float] = 0
    regressed: ClassVar[bool] = False
    absent: ClassVar[Any] = None
    atol: ClassVar[float] = 1e-5
    pixels: ClassVar[float] = 0.0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kind" not in vars(cls):
            cls.kind = cls.__name__.lower()

    def raw(self, value: Any) -> Any:
        """Convert a value to its raw form in the graph. Raises DataError for an invalid value."""
        raise NotImplementedError

    def from_cell(self, cell: str, folder: Path) -> Any:
        """Convert the cell of a table to a value for `raw`; `folder` is the folder of the table."""
        return cell

    def convert_all(self, values: Any, where: Callable[[int], str]) -> tuple[Any, list[str]]:
        """Convert all values of a column of a source, where the form of one depends on the others; also return remarks.

        Args:
            values: one for each row.
            where: row number, from 0, to the words of an error message.

        Raises:
            DataError: they cannot be what they look like; names the row and the cure.
        """
        return values, []

    def from_file(self, file: Path) -> Any:
        """Read a file of a folder, one with a suffix of `suffixes`, as a value for `raw`. Raises DataError."""
        return file

    def is_list(self, value: Any) -> bool:
        """Return whether `value`, given to `predict`, holds several values rather than one."""
        return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > len(self.shape))

    def is_batch(self, shape: Sequence[int | None], dtype: str) -> bool:
        """Return whether a tensor of this shape and dtype, from a `tf.data.Dataset`, holds several values rather than
        one.
        """
        return len(shape) > len(self.shape)

    def to_request(self, raw: Any) -> Any:
        """Convert a raw value to its JSON form in a REST request."""
        return raw.decode() if isinstance(raw, bytes) else np.asarray(raw).tolist()

    def from_request(self, value: Any) -> Any:
        """Convert the JSON form of `to_request` to a raw value."""
        return self.raw(value)

    def show(self, answer: np.ndarray) -> Any:
        """Convert one row of a prediction to a plain Python value."""
        return _to_python(answer)

    def show_all(self, answers: Sequence[Any]) -> list[Any]:
        """Convert several rows of a prediction as `show` does; an array is converted as a whole, which is faster."""
        if isinstance(answers, np.ndarray) and type(self).show is Column.show:
            return _to_python(answers)
        return [self.show(answer) for answer in answers]


class Text(Column):
    """Text in UTF-8, or the `Path` of a file that holds it."""

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
    """The bytes of a file, such as an image; in requests in base64."""

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
    """A class name, in Unicode form NFC. Integers and booleans become their decimal or lower-case names."""

    feature = "ClassLabel"

    def convert_all(self, values: Any, where: Callable[[int], str]) -> tuple[Any, list[str]]:
        """Refuse lists of labels in Python or JSON syntax, and texts that join labels of other rows."""
        if _holds_any(values):
            refuse_lists((value if isinstance(value, str) else "" for value in values), where)
        return [_compose_label(value) for value in values] if _holds_any(values, bytes) else values, []

    def raw(self, value: Any) -> bytes:
        if isinstance(value, bytes):  # as it is: already encoded
            return Text().raw(value)
        if isinstance(value, (bool, np.bool_)):
            return str(bool(value)).lower().encode()
        if isinstance(value, (str, int, np.integer)):
            return _encode_label(str(value).strip())
        if isinstance(value, (float, np.floating)) and float(value).is_integer():
            return str(int(value)).encode()
        raise DataError(f"expected a label (a name or an integer). Received: {describe_value(value)}.")


class Labels(Column):
    """Several class names: a ranked prediction, or the labels of a multi-label row.

    A table's cell holds them joined by `|`, or as a list of JSON or Python. Where no cell of a column has either,
    commas, semicolons, line breaks and tabs part them too.
    """

    shape = (None,)
    may_be_empty = True
    one_hot = True

    def convert_all(self, values: Any, where: Callable[[int], str]) -> tuple[Any, list[str]]:
        """Convert texts to lists of labels, all with the same separator."""
        if not _holds_any(values):
            is_list_of_bytes = (isinstance(value, (list, tuple)) and _holds_any(value, bytes) for value in values)
            lists = [
                [*map(_compose_label, value)] if labels else value
                for value, labels in zip(values, is_list_of_bytes, strict=True)
            ]
            return lists, []
        lists, remarks = split_cells([value if isinstance(value, str) else "" for value in values], where)
        return [
            labels if isinstance(value, str) else value for value, labels in zip(values, lists, strict=True)
        ], remarks

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
    """The id of a user or an item: a text or an integer, stored as its digits; empty if there is none."""

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
    """A point in time, of which only the order matters: a number, an ISO 8601 date, or a datetime."""

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
    """A finite number."""

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
    """A score between 0 and 1: the confidence of a prediction."""

    dtype = "float32"

    def raw(self, value: Any) -> np.float32:
        return np.float32(value)


class Scores(Score):
    """Scores of several ranked predictions."""

    shape = (None,)


class Count(Column):
    """Number of valid entries in the padded predictions of a row."""

    dtype = "int32"

    def raw(self, value: Any) -> np.int32:
        return np.int32(value)


class Flag(Column):
    """A truth value."""

    dtype = "bool"

    def raw(self, value: Any) -> np.bool_:
        return np.bool_(parse_bool(value))


TRUE_SPELLINGS = ("true", "yes", "1", "1.0", "t", "y")  # of data sets, in lower case
FALSE_SPELLINGS = ("false", "no", "0", "0.0", "f", "n")


def parse_bool(value: Any) -> bool:
    """Convert a truth value of a data set: a boolean, 0 or 1, or one of them as text; "False" is false.

    Raises:
        DataError: it is another thing.
    """
    text = cell_text(value).strip().lower()
    if text not in TRUE_SPELLINGS and text not in FALSE_SPELLINGS:
        raise DataError(f"expected true or false, or 1 or 0. Received: {describe_value(value)}.")
    return text in TRUE_SPELLINGS


MISSING_SPELLINGS = ("", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none", "missing", "-", ".", "?")


def is_missing_number(value: Any) -> bool:
    """Return whether the cell of a numeric column is missing: empty, NA, null, NaN and the like."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip().lower() in MISSING_SPELLINGS
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # without importing pandas


def comma_hint(value: Any) -> str:
    """Return a hint for the error message if a number has a decimal comma."""
    text = cell_text(value)
    return " Use a decimal point instead of the comma." if re.fullmatch(r"\s*[-+]?\d+,\d+\s*", text) else ""


def _holds_any(values: Any, kind: type = str) -> bool:
    if isinstance(values, np.ndarray) and (values.dtype.kind not in "UOS" or values.ndim != 1):
        return False
    return any(isinstance(value, kind) for value in values)


def _compose_label(value: Any) -> Any:
    """Normalize an encoded label to Unicode form NFC; other values are returned unchanged."""
    try:
        return unicodedata.normalize("NFC", value.decode()).encode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


class Reason(Text):
    """The reason why a row could not be read and has no prediction; empty for valid rows."""


class Truncated(Flag):
    """Whether a text was longer than the maximum and was truncated."""


def read_file_bytes(path: Any, kind: str) -> bytes:
    """Read a file. Raises UnreadableError if that fails; `kind` names its content in the message."""
    with as_data_error(f"the {kind} {str(path)!r}", error=UnreadableError):
        return Path(path).read_bytes()


def is_pil(value: Any) -> bool:
    """Return whether a value is a PIL image."""
    return hasattr(value, "convert") and hasattr(value, "mode")


def _encode_label(name: str) -> bytes:
    if not name:
        raise DataError("the label is empty. Set it, or remove the row.")
    return unicodedata.normalize("NFC", name).encode("utf-8", errors="replace")


def _to_python(answer: Any) -> Any:
    if isinstance(answer, bytes):
        return answer.decode("utf-8", errors="replace")
    if isinstance(answer, np.ndarray):  # all numbers at once: of long lists, one by one takes ten times as long
        items = answer.tolist()
        return _decode_items(items) if answer.dtype == object else items
    return answer.item() if isinstance(answer, np.generic) else answer


def _decode_items(items: list[Any]) -> list[Any]:
    return [
        item.decode(errors="replace")
        if type(item) is bytes
        else _decode_items(item)
        if type(item) is list
        else _to_python(item)
        for item in items
    ]


def describe_value(value: Any) -> str:
    """Describe a value for an error message: its type, shape and, if short, its repr."""
    shape = f" of shape {value.shape}" if hasattr(value, "shape") else ""
    text = repr(value)
    return f"{type(value).__name__}{shape}" + (f" {text}" if len(text) <= 60 else "")


def stack_column(column: Column, values: Sequence[Any]) -> np.ndarray:
    """Stack raw values of several rows into an array, batch first; free lengths are padded with the empty value."""
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
    """Convert raw rows to the inputs of the graph: one tensor per column, batch first."""
    batch = {}
    for name, column in columns.items():
        values = [row[name] for row in rows]
        plain = column.dtype == "string" and not column.shape  # through an array this takes 1.5 times as long
        batch[name] = tf.constant(values if plain else stack_column(column, values))
    return batch


def check_input_names(columns: Mapping[str, Column], source: str) -> None:
    """Raise DataError if a column name cannot be the name of a tensor in a signature; the message gives a remedy."""
    for name in columns:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name == "self":
            suggested = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "column"
            suggested = suggested if suggested[0].isalpha() else f"c_{suggested}"
            raise DataError(
                f"{source}: the column {name!r} cannot be the input of a served model: its name must be ASCII "
                "letters, digits and underscores, start with a letter and not be a Python keyword. Rename it with "
                f"{option('columns', {suggested: name})}."
            )


def tensor_specs(columns: Mapping[str, Column]) -> dict[str, tf.TensorSpec]:
    """Return the tensor specs of the raw columns, batch first."""
    return {name: tf.TensorSpec([None, *column.shape], column.dtype, name=name) for name, column in columns.items()}
