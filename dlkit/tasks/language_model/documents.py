"""Documents: text files that are read in parts, so that they may be larger than memory."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlkit.columns import Column, Text
from dlkit.data.bytes import cell_text, file_type, open_bytes, read_text, refuse_utf_16
from dlkit.data.listing import describe_counts, list_files
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error

SUFFIX = ".txt"
BLOCK_BYTES = 1 << 15  # of a long document, encoded together
CHECKED_BYTES = 1 << 20  # of a file, checked at a time
_CONTINUATION = range(0x80, 0xC0)  # bytes of a UTF-8 character after its first


@dataclass(frozen=True)
class FileSpan:
    """A part of a text file (UTF-8), read when it is needed.

    Attributes:
        path: the file.
        start, stop: its first byte, and the one after its last.
    """

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self) -> bytes:
        """Read the part. Raises DataError if the file is gone or has become shorter."""
        with as_data_error(self.path), self.path.open("rb") as file:
            file.seek(self.start)
            data = file.read(len(self))
        if len(data) < len(self):
            raise DataError(f"{self.path} has changed while it was read. Start again with a file that stays the same.")
        return data


class DocumentText(Text):
    """A text, the path of a file that holds it, or a `FileSpan`; may be larger than memory in a `.txt` file."""

    reader = "dlkit.tasks.language_model.documents"

    def raw(self, value: Any) -> bytes:
        return value.read() if isinstance(value, FileSpan) else super().raw(value)


class DocumentReader(Reader):
    """Reads text files: each is a document."""

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read a text file as the only document."""
        name = _text_name(columns)
        if file_type(path) != SUFFIX or name is None or how.delimiter:
            return None
        return Table(source, {name: [open_document(path, source)]}, lambda row: source)

    def folder(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read the text files of a folder, at any depth."""
        name = _text_name(columns)
        files, skipped = list_files(path, (SUFFIX, ".gz"))
        files = [file for file in files if file_type(file) == SUFFIX]
        if name is None or not files:
            return None
        documents, kept, reasons = [], [], []
        for file in files:
            try:
                documents.append(open_document(file, str(file)))
                kept.append(file)
            except DataError as error:
                reasons.append(str(error))
        if not documents:
            raise DataError(f"{source}: none of its {len(files)} files can be read. The first: {reasons[0]}")
        remarks = [f"skipped {describe_counts(skipped)}. Only texts ({SUFFIX}) are read"] if skipped else []
        remarks += report_skipped(reasons, len(files), "files", how.strict)
        return Table(source, {name: documents}, lambda row: str(kept[row]), remarks=remarks)


reader = DocumentReader()


def _text_name(columns: Mapping[str, Column]) -> str | None:
    """Return the column that a text file fills: the last of documents, if all others may be missing."""
    names = [name for name, column in columns.items() if isinstance(column, DocumentText)]
    if not names or any(not column.optional for name, column in columns.items() if name != names[-1]):
        return None
    return names[-1]


def open_document(path: Path, source: str) -> FileSpan | str:
    """Open a text file as a document, without byte order mark; archives are read into memory.

    Raises:
        DataError: the file cannot be read, or is not UTF-8; names the line.
    """
    if path.suffix.lower() == ".gz":
        return read_text(path, source)
    decoder = codecs.getincrementaldecoder("utf-8")()
    with as_data_error(source), open_bytes(path, source) as file:
        head = file.read(CHECKED_BYTES)
        refuse_utf_16(head[:512], source)
        start = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        line, size, data = 1, 0, head
        try:
            while data:
                decoder.decode(data)
                line, size, data = line + data.count(b"\n"), size + len(data), file.read(CHECKED_BYTES)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object.count(b"\n", 0, error.start)
            raise DataError(
                f"{source}, line {line}: the file is not UTF-8 (byte {error.object[error.start]:#04x}). Convert it "
                "first, for example: iconv -f latin1 -t utf-8 OLD > NEW."
            ) from error
    return FileSpan(path, start, size)


def document_bytes(value: Any) -> int:
    """Return the size of a document in bytes, without reading it."""
    return len(value) if isinstance(value, (FileSpan, bytes)) else len(cell_text(value).encode(errors="replace"))


def cut_document(value: Any, cuts: Sequence[int]) -> list[Any]:
    """Cut a document at these bytes, in ascending order, into parts of the same kind: a `FileSpan` or bytes."""
    edges = [0, *cuts, document_bytes(value)]
    if isinstance(value, FileSpan):
        return [
            FileSpan(value.path, value.start + first, value.start + last) for first, last in itertools.pairwise(edges)
        ]
    data = DocumentText().raw(value)
    return [data[first:last] for first, last in itertools.pairwise(edges)]


def iterate_blocks(value: Any, block_bytes: int = BLOCK_BYTES) -> Iterator[Any]:
    """Yield the consecutive parts of a document, each of at most `block_bytes`, reading one at a time.

    Parts end after a line, else before a blank, else between two characters, so that no word is cut if there is a blank
    in the second half of a part.
    """
    size, start = document_bytes(value), 0
    if size <= block_bytes:
        yield value
        return
    data = value if isinstance(value, FileSpan) else DocumentText().raw(value)
    while start < size:
        stop = min(start + block_bytes, size)
        if stop < size:
            (_, part, *_) = cut_document(data, [start, stop])
            stop = start + find_boundary(part.read() if isinstance(part, FileSpan) else part)
        yield cut_document(data, [start, stop])[1]
        start = stop


def find_boundary(block: bytes) -> int:
    """Return where to cut a block of text: after its last line, else before its last blank, else before a character.

    A line or blank in the first half does not count.

    Examples:
        >>> find_boundary(b"one two\\nthree"), find_boundary(b"one two three"), find_boundary("xyzäö".encode()[:-1])
        (8, 7, 5)
    """
    half = len(block) // 2
    line, blank = block.rfind(b"\n", half), block.rfind(b" ", half)
    if line >= 0:
        return line + 1
    if blank > 0:
        return blank
    stop = len(block) - 1  # the byte after the block is unknown: the last character may be cut
    while stop > 1 and block[stop] in _CONTINUATION:
        stop -= 1
    return stop
