"""Options for reading a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from dlkit.errors import DataError
from dlkit.options import option

MAX_ROWS = 1_000_000
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}


class ReadKeywords(TypedDict, total=False):
    """Keyword arguments for reading data, apart from the names of columns; see `ReadOptions`."""

    delimiter: str
    quotes: bool | None
    column_names: Sequence[str]
    strict: bool
    max_rows: int
    allow_outside: bool


@dataclass(frozen=True)
class ReadOptions:
    """Options for reading a source, passed from `Task.fit` and the command line down to the readers of records.

    Attributes:
        rename: the source's own name for a wanted column.
        data_dir: folder of TensorFlow Datasets.
        delimiter: the character between the cells of a text table, or its name ("tab"); "" for a tab in a tsv, else a
            comma.
        quotes: whether cells of a text table may stand in quotes, as in RFC 4180; None for yes, but of a tsv, which has
            none, only where every cell that begins with a quote is well formed inside its line.
        column_names: the columns of a text table whose first line is a row.
        strict: whether a bad record, which is else left out, counted and named, is an error.
        max_rows: how many rows to take of a `tf.data.Dataset` that does not know its size.
        allow_outside: whether tables and annotations can refer to files outside the data folder.
        folders: data folders, which readers add; files that data refers to must be inside one of them.

    Raises:
        DataError: the delimiter is not one character, or a name of the header comes twice.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    data_dir: str | None = None
    delimiter: str = ""
    quotes: bool | None = None
    column_names: Sequence[str] = ()
    strict: bool = False
    max_rows: int = MAX_ROWS
    allow_outside: bool = False
    folders: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        delimiter = _DELIMITERS.get(self.delimiter.lower(), self.delimiter)
        if len(delimiter) > 1 or delimiter in ('"', "\n", "\r"):
            raise DataError(
                f'the delimiter must be one character, or "tab". Received: {self.delimiter!r}. Convert tables '
                "with longer delimiters."
            )
        object.__setattr__(self, "delimiter", delimiter)
        names = list(self.column_names)
        duplicates = [name for name in names if names.count(name) > 1]
        if duplicates or not all(names):
            raise DataError(f"column names must be distinct and not empty. Received: {', '.join(names)}.")
        if self.max_rows < 1:
            raise DataError(f"`max_rows` must be at least 1. Received: {self.max_rows}.")


DEFAULT_OPTIONS = ReadOptions()


def report_skipped(reasons: Sequence[str], total: int, kind: str, strict: bool) -> list[str]:
    """Return a remark on skipped records, with their number and the first of them; an empty list if there are none.

    Args:
        reasons: the place of each record with what is wrong there.
        total: of how many records.
        kind: what these are, in the plural.
        strict: whether they are an error.

    Raises:
        DataError: there are some, and `strict`.
    """
    if not reasons:
        return []
    if strict:
        raise DataError(f"{reasons[0]} Without {option('strict')} it is skipped.")
    more = f"; and {len(reasons) - _MAX_IN_SENTENCE} more" if len(reasons) > _MAX_IN_SENTENCE else ""
    listed = "; ".join(reason.rstrip(".") for reason in reasons[:_MAX_IN_SENTENCE])
    return [f"{len(reasons)} of {total} {kind} skipped: {listed}{more}"]


def list_skipped(reasons: Sequence[str], total: int, kind: str) -> str:
    """Describe skipped records for people: their number, and the first of them, one per line."""
    more = f"\n  and {len(reasons) - _MAX_LINES} more" if len(reasons) > _MAX_LINES else ""
    listed = "\n  ".join(reasons[:_MAX_LINES])
    return f"{len(reasons)} of {total} {kind} skipped:\n  {listed}{more}"


_MAX_IN_SENTENCE, _MAX_LINES = 5, 10
