"""Files as bytes and as text, for all readers; those that end in .gz are unpacked."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from dlkit.data.unpack import open_gzip
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error

MatchColumns = Callable[[Sequence[str], str], dict[str, str]]
"""From the names that a file has, and a hint for the error where one is missing, to its names for the wanted."""


def file_type(path: Path) -> str:
    """The suffix that tells what a file holds, in small letters: ".csv" of "a.csv.gz", and ".jsonl" of "a.ndjson"."""
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    return ".jsonl" if suffix == ".ndjson" else suffix


def is_json_object(path: Path) -> bool:
    """Whether a json file holds an object, as COCO's and SQuAD's do, and not a list of rows."""
    with contextlib.suppress(DataError), as_data_error(path), open_bytes(path, str(path)) as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    return False


def open_bytes(path: Path, source: str) -> BinaryIO:
    """A file to read, unpacked. Raises OSError, and while it is read DataError for a broken or too large archive."""
    file = path.open("rb")
    return cast("BinaryIO", open_gzip(file, source)) if path.suffix.lower() == ".gz" else file


def existing_file(source: Any) -> Path | None:
    """The file that a source names; None where it names none: reading it says what it is."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = Path(source).expanduser()
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long or with a null byte: a text by mistake
        return None


def cell_text(value: Any) -> str:
    """A cell as text: bytes as UTF-8, with U+FFFD for what is none."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_bytes(path: Path, source: str) -> bytes:
    """The whole file. DataError where it cannot be read or is empty."""
    with as_data_error(source), open_bytes(path, source) as file:
        data = file.read()
    if not data.strip():
        raise DataError(f"{source} is empty.")
    return data


def refuse_blank(path: Path, source: str) -> None:
    """Raises DataError for a file that holds nothing, or blanks alone: libraries say less of it."""
    if path.stat().st_size < _HEAD:
        read_bytes(path, source)


def read_text(path: Path, source: str) -> str:
    """The whole file as text, without a byte order mark. DataError names the first line that is not UTF-8."""
    text = decode_utf8(read_bytes(path, source), source)
    if not text.strip():  # a byte order mark alone
        raise DataError(f"{source} is empty.")
    return text


def read_json_file(path: Path, source: str) -> Any:
    """What a file of JSON holds. DataError where it cannot be read, is empty or no JSON."""
    text = read_text(path, source)
    with as_data_error(source, "JSON"):
        return json.loads(text)


@contextlib.contextmanager
def open_text(path: Path, source: str, errors: str = "strict") -> Iterator[TextIO]:
    """A file to read as text, a line at a time, line ends as they are. Errors as of `read_text`.

    With `errors="surrogateescape"` bytes that are not UTF-8 come along, and `utf8_problem` finds them.
    """
    with as_data_error(source), open_bytes(path, source) as file:
        refuse_utf_16(file.read(_HEAD), source)
    try:
        with open_bytes(path, source) as file:
            yield io.TextIOWrapper(file, encoding="utf-8-sig", errors=errors, newline="")
    except UnicodeDecodeError:
        read_text(path, source)  # names the line
        raise


def decode_utf8(data: bytes, source: str) -> str:
    """UTF-8 bytes as text, without a byte order mark. DataError names the first line that is not UTF-8."""
    refuse_utf_16(data[:_HEAD], source)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Only what `iconv` is told first differs: UTF-16 files say so in their first two bytes.
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1"
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{source}, line {line}: the file is not UTF-8 (byte {error.object[error.start]:#04x}). Convert "
            f"it first, for example: iconv -f {encoding} -t utf-8 OLD > NEW."
        ) from error


_HEAD = 512


def utf8_problem(text: str) -> str:
    """What is wrong with a text of `open_text(errors="surrogateescape")`; "" for one that is UTF-8."""
    if text.isascii():
        return ""
    wrong = next((letter for letter in text if "\udc80" <= letter <= "\udcff"), "")
    if not wrong:
        return ""
    return f"not UTF-8 (byte {ord(wrong) - 0xDC00:#04x}). Convert it first, for example: iconv -f latin1 -t utf-8."


def refuse_utf_16(head: bytes, source: str) -> None:
    """Raises DataError for the first bytes of UTF-16 without a mark, which are UTF-8 too: a zero by each letter."""
    for encoding, zeros in (("utf-16le", head[1::2]), ("utf-16be", head[0::2])):
        others = head[0::2] if encoding == "utf-16le" else head[1::2]
        if len(zeros) > 1 and zeros.count(0) > len(zeros) / 2 and not others.count(0):
            raise DataError(
                f"{source}, line 1: the file is not UTF-8 but looks like UTF-16 without a byte order mark. Convert it "
                f"first, for example: iconv -f {encoding} -t utf-8 OLD > NEW."
            )
