"""How a source is to be read, where that does not show in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from dlkit.errors import DataError
from dlkit.options import option

MAX_ROWS = 1_000_000
_NAMED = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}


class ReadKeywords(TypedDict, total=False):
    """What may be said of a source beyond the names of its columns; see `ReadOptions`."""

    delimiter: str
    quotes: bool | None
    header: Sequence[str]
    strict: bool
    max_rows: int
    allow_outside: bool


@dataclass(frozen=True)
class ReadOptions:
    """How a source is to be read: one object, from `Task.fit` and the command line down to the reader of records.

    Attributes:
        rename: the source's own name for a wanted column.
        data_dir: where TensorFlow Datasets lie.
        delimiter: the character between the cells of a text table, or its name ("tab"); "" for a tab in a tsv, else a
            comma.
        quotes: whether cells of a text table may stand in quotes, as in RFC 4180; None for yes, but of a tsv, which has
            none, only where every cell that begins with a quote is well formed inside its line.
        header: the columns of a text table whose first line is a row.
        strict: whether a bad record, which is else left out, counted and named, is an error.
        max_rows: how many rows to take of a `tf.data.Dataset` that does not know its size.
        allow_outside: whether files that a table or an annotation names may lie outside of the data's folder.
        folders: those that the user gave: readers add them, and files that are named may lie below them.

    Raises:
        DataError: the delimiter is not one character, or a name of the header comes twice.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    data_dir: str | None = None
    delimiter: str = ""
    quotes: bool | None = None
    header: Sequence[str] = ()
    strict: bool = False
    max_rows: int = MAX_ROWS
    allow_outside: bool = False
    folders: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        delimiter = _NAMED.get(self.delimiter.lower(), self.delimiter)
        if len(delimiter) > 1 or delimiter in ('"', "\n", "\r"):
            raise DataError(
                f'the delimiter must be one character, or "tab". Received: {self.delimiter!r}. Convert tables '
                "with longer delimiters."
            )
        object.__setattr__(self, "delimiter", delimiter)
        names = list(self.header)
        twice = [name for name in names if names.count(name) > 1]
        if twice or not all(names):
            raise DataError(f"column names must be distinct and not empty. Received: {', '.join(names)}.")
        if self.max_rows < 1:
            raise DataError(f"`max_rows` must be at least 1. Received: {self.max_rows}.")


DEFAULT_OPTIONS = ReadOptions()


def report_skipped(reasons: Sequence[str], total: int, kind: str, strict: bool) -> list[str]:
    """The remark on bad records, which are counted and of which the first are named; none where there are none.

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
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    listed = "; ".join(reason.rstrip(".") for reason in reasons[:_SHOWN])
    return [f"{len(reasons)} of {total} {kind} skipped: {listed}{more}"]


def list_skipped(reasons: Sequence[str], total: int, kind: str) -> str:
    """What was left out, for a person: how many of `total`, and the first of them a line each."""
    more = f"\n  and {len(reasons) - _LINES} more" if len(reasons) > _LINES else ""
    listed = "\n  ".join(reasons[:_LINES])
    return f"{len(reasons)} of {total} {kind} skipped:\n  {listed}{more}"


_SHOWN, _LINES = 5, 10
