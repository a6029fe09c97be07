"""Which of a source's columns is which of the wanted ones."""

from __future__ import annotations

import collections
import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dlkit.columns import Column
from dlkit.errors import DataError
from dlkit.options import option

_LISTED, _LONG = 20, 200  # a wide table's header would drown the message; names, and characters of each


def match_names(
    columns: Mapping[str, Column],
    found: Iterable[str],
    rename: Mapping[str, str],
    source: str,
    *,
    also: Mapping[str, Sequence[str]] | None = None,
    hint: str = "",
) -> dict[str, str]:
    """The source's name for each wanted column. Names are compared in Unicode's form NFC.

    Args:
        columns: the wanted columns, of which optional ones may be missing.
        found: the names that the source has.
        rename: the user's word for which is which; where it has one, `also` is not asked.
        source: the source, for the message.
        also: other names under which a wanted column may go, in order.
        hint: a further sentence for the message.

    Raises:
        DataError: a wanted column is not there, or is there twice.
    """
    found = list(found)
    spelled = {to_nfc(name): name for name in reversed(found)}
    counts = collections.Counter(map(to_nfc, found))
    matched = {}
    for name in columns:
        others = (*columns[name].aliases, *(also or {}).get(name, ()))
        candidates = [rename[name]] if name in rename else [name, *others]
        present = [to_nfc(candidate) for candidate in candidates if to_nfc(candidate) in spelled]
        if name in rename and not present:  # of a value inside another, its own name is enough
            present = [inner for inner in spelled if inner.partition("/")[2] == to_nfc(rename[name])]
            present = present if len(present) == 1 else []
        if not present and columns[name].optional and name not in rename:
            continue
        if not present:
            raise DataError(_missing(name, candidates[0], found, source) + _for_several(columns[name]) + hint)
        if counts[present[0]] > 1:
            raise DataError(f"{source} has {counts[present[0]]} columns named {present[0]!r}. Keep one of them.")
        matched[name] = spelled[present[0]]
    return matched


def _missing(name: str, wanted: str, found: list[str], source: str) -> str:
    lowered = {column.lower(): column for column in found}
    close = [lowered[match] for match in difflib.get_close_matches(wanted.lower(), lowered, n=1)]
    meant = f" Did you mean {close[0]!r}?" if close else ""
    example = close[0] if close else "NAME"
    return (
        f"{source} has no column {wanted!r}. Columns found: {quote_names(found)}.{meant} Map it with "
        f"{option('columns', {name: example})}."
    )


def to_nfc(name: str) -> str:
    """A name in the form in which names are compared: an accent is part of its letter."""
    return unicodedata.normalize("NFC", name)


def _for_several(column: Column) -> str:
    return " For one 0/1 column per label, list them all: NAME=A,B,C." if column.one_hot else ""


def quote_names(names: Iterable[str]) -> str:
    """Names in a sentence, cut where there are very many."""
    names = list(names)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(repr(name[:_LONG]) for name in map(str, names[:_LISTED])) or "none") + more


def match_kinds(columns: Mapping[str, Column], held: Mapping[type[Column], Any], source: str) -> dict[str, Any]:
    """What a source without column names holds for each wanted column, by the column's kind.

    Args:
        columns: the wanted columns.
        held: kind of column to what the source has of it.
        source: the source, for the message.

    Raises:
        DataError: a column is of another kind.
    """
    matched = {}
    for name, column in columns.items():
        kind = next((kind for kind in held if isinstance(column, kind)), None)
        if kind is None:
            kinds = ", ".join(kind.kind for kind in held)
            raise DataError(f"{source} holds {kinds}: nothing for the column {name!r} ({column.kind}).")
        matched[name] = held[kind]
    return matched


def wants_kind(columns: Mapping[str, Column], kind: type[Column]) -> bool:
    """Whether one of the wanted columns is of this kind."""
    return any(isinstance(column, kind) for column in columns.values())
