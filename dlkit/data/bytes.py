"""Files as bytes and as text, for all readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dlkit.errors import DataError

Choose = Callable[[Sequence[str], str], dict[str, str]]
"""From the names that a file has, and a hint for the error where one is missing, to its names for the wanted."""


def is_object(path: Path) -> bool:
    """Whether a json file holds an object, as COCO's and SQuAD's do, and not a list of rows."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    except OSError:
        return False


def read_bytes(path: Path, source: str) -> bytes:
    """The whole file. DataError where it cannot be read or is empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror}.") from error
    if not data.strip():
        raise DataError(f"{source} is empty.")
    return data


def read_text(path: Path, source: str) -> str:
    """The whole file as text, without a byte order mark. DataError names the first line that is not UTF-8."""
    text = decode(read_bytes(path, source), source)
    if not text.strip():  # a byte order mark alone
        raise DataError(f"{source} is empty.")
    return text


def decode(data: bytes, source: str) -> str:
    """UTF-8 bytes as text, without a byte order mark. DataError names the first line that is not UTF-8."""
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
