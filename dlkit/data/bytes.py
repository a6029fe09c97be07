"""Files as bytes and text, for all readers; files that end in .gz are decompressed."""

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
    """Return the suffix that tells what a file holds, in lower case: ".csv" for "a.csv.gz", ".jsonl" for "a.ndjson"."""
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    return ".jsonl" if suffix == ".ndjson" else suffix


def is_json_object(path: Path) -> bool:
    """Return whether a json file holds an object, as those of COCO and SQuAD, rather than a list of rows."""
    with contextlib.suppress(DataError), as_data_error(path), open_bytes(path, str(path)) as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    return False


def is_json_lines(path: Path) -> bool:
    """Return whether a file holds one JSON object per line, as its suffix says, or its first two lines show."""
    if file_type(path) != ".json":
        return file_type(path) == ".jsonl"
    with contextlib.suppress(DataError), as_data_error(path), open_bytes(path, str(path)) as file:
        first, second = (file.readline(_MAX_LINE_BYTES).removeprefix(b"\xef\xbb\xbf").strip() for _ in range(2))
        return second.startswith(b"{") and isinstance(json.loads(first), dict)
    return False


def open_bytes(path: Path, source: str) -> BinaryIO:
    """Open a file for reading, decompressed.

    Raises:
        OSError: the file cannot be opened.
        DataError: while reading, if the archive is corrupt or too large.
    """
    file = path.open("rb")
    return cast("BinaryIO", open_gzip(file, source)) if path.suffix.lower() == ".gz" else file


def existing_file(source: Any) -> Path | None:
    """Return the file that a source names, or None if it names no existing file."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = Path(source).expanduser()
    try:
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long or with a null byte: a text by mistake
        return None


def cell_text(value: Any) -> str:
    """Return a cell as text; bytes are decoded as UTF-8, with U+FFFD for invalid ones."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_bytes(path: Path, source: str) -> bytes:
    """Read a whole file. Raises DataError if it cannot be read or is empty."""
    with as_data_error(source), open_bytes(path, source) as file:
        data = file.read()
    if not data.strip():
        raise DataError(f"{source} is empty.")
    return data


def refuse_blank(path: Path, source: str) -> None:
    """Raise DataError if a file is empty or blank; libraries report this less clearly."""
    if path.stat().st_size < _HEAD_BYTES:
        read_bytes(path, source)


def read_text(path: Path, source: str) -> str:
    """Read a whole file as text, without byte order mark. DataError names the first line that is not UTF-8."""
    text = decode_utf8(read_bytes(path, source), source)
    if not text.strip():  # a byte order mark alone
        raise DataError(f"{source} is empty.")
    return text


def read_json_file(path: Path, source: str) -> Any:
    """Read a JSON file. Raises DataError if it cannot be read, is empty, or is not JSON."""
    text = read_text(path, source)
    with as_data_error(source, "JSON"):
        return json.loads(text)


@contextlib.contextmanager
def open_text(path: Path, source: str, errors: str = "strict") -> Iterator[TextIO]:
    """Open a file as text, line by line and with its line ends. Raises the errors of `read_text`.

    With `errors="surrogateescape"` bytes that are not UTF-8 come along, and `utf8_problem` finds them.
    """
    with as_data_error(source), open_bytes(path, source) as file:
        refuse_utf_16(file.read(_HEAD_BYTES), source)
    try:
        with open_bytes(path, source) as file:
            yield io.TextIOWrapper(file, encoding="utf-8-sig", errors=errors, newline="")
    except UnicodeDecodeError:
        read_text(path, source)  # names the line
        raise


def decode_utf8(data: bytes, source: str) -> str:
    """Decode UTF-8, without byte order mark. DataError names the first line that is not UTF-8."""
    refuse_utf_16(data[:_HEAD_BYTES], source)
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


_HEAD_BYTES = 512
_MAX_LINE_BYTES = 1_000_000  # of a first line that is looked at


def utf8_problem(text: str) -> str:
    """Describe what is wrong with a text read with `open_text(errors="surrogateescape")`; "" if it is UTF-8."""
    if text.isascii():
        return ""
    bad_character = next((letter for letter in text if "\udc80" <= letter <= "\udcff"), "")
    if not bad_character:
        return ""
    return (
        f"not UTF-8 (byte {ord(bad_character) - 0xDC00:#04x}). Convert it first, for example: iconv -f latin1 -t utf-8."
    )


def refuse_utf_16(head: bytes, source: str) -> None:
    """Raise DataError for UTF-16 without a byte order mark, which is valid UTF-8: every other byte is zero."""
    for encoding, zeros in (("utf-16le", head[1::2]), ("utf-16be", head[0::2])):
        others = head[0::2] if encoding == "utf-16le" else head[1::2]
        if len(zeros) > 1 and zeros.count(0) > len(zeros) / 2 and not others.count(0):
            raise DataError(
                f"{source}, line 1: the file is not UTF-8 but looks like UTF-16 without a byte order mark. Convert it "
                f"first, for example: iconv -f {encoding} -t utf-8 OLD > NEW."
            )
