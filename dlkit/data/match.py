"""Matching of the columns of a source with the wanted columns."""

from __future__ import annotations

import collections
import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dlkit.columns import Column
from dlkit.errors import DataError
from dlkit.options import option

_MAX_NAMES, _MAX_NAME_LENGTH = 20, 200  # a wide table's header would drown the message; names, and characters of each


def match_names(
    columns: Mapping[str, Column],
    found: Iterable[str],
    rename: Mapping[str, str],
    source: str,
    *,
    alternatives: Mapping[str, Sequence[str]] | None = None,
    hint: str = "",
) -> dict[str, str]:
    """Return the source's name for each wanted column. Names are compared in Unicode form NFC.

    Args:
        columns: the wanted columns, of which optional ones may be missing.
        found: the names that the source has.
        rename: names given by the user, which take precedence over `alternatives`.
        source: the source, for the message.
        alternatives: other names under which a wanted column may go, in order.
        hint: a further sentence for the message.

    Raises:
        DataError: a wanted column is not there, or is there twice.
    """
    found = list(found)
    originals = {to_nfc(name): name for name in reversed(found)}
    counts = collections.Counter(map(to_nfc, found))
    matched = {}
    for name in columns:
        aliases = (*columns[name].aliases, *(alternatives or {}).get(name, ()))
        candidates = [rename[name]] if name in rename else [name, *aliases]
        present = [to_nfc(candidate) for candidate in candidates if to_nfc(candidate) in originals]
        if name in rename and not present:  # of a value inside another, its own name is enough
            present = [inner for inner in originals if inner.partition("/")[2] == to_nfc(rename[name])]
            present = present if len(present) == 1 else []
        if not present and columns[name].optional and name not in rename:
            continue
        if not present:
            raise DataError(_missing_column(name, candidates[0], found, source) + _one_hot_hint(columns[name]) + hint)
        if counts[present[0]] > 1:
            raise DataError(f"{source} has {counts[present[0]]} columns named {present[0]!r}. Keep one of them.")
        matched[name] = originals[present[0]]
    return matched


def _missing_column(name: str, wanted: str, found: list[str], source: str) -> str:
    lowered = {column.lower(): column for column in found}
    close = [lowered[match] for match in difflib.get_close_matches(wanted.lower(), lowered, n=1)]
    suggestion = f" Did you mean {close[0]!r}?" if close else ""
    example = close[0] if close else "NAME"
    return (
        f"{source} has no column {wanted!r}. Columns found: {quote_names(found)}.{suggestion} Map it with "
        f"{option('columns', {name: example})}."
    )


def to_nfc(name: str) -> str:
    """Normalize a name to Unicode form NFC, in which names are compared."""
    return unicodedata.normalize("NFC", name)


def _one_hot_hint(column: Column) -> str:
    return " For one 0/1 column per label, list them all: NAME=A,B,C." if column.one_hot else ""


def quote_names(names: Iterable[str]) -> str:
    """List names in quotes; long lists are shortened."""
    names = list(names)
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return (", ".join(repr(name[:_MAX_NAME_LENGTH]) for name in map(str, names[:_MAX_NAMES])) or "none") + more


def match_kinds(columns: Mapping[str, Column], available: Mapping[type[Column], Any], source: str) -> dict[str, Any]:
    """Return what a source without column names holds for each wanted column, by the kind of the column.

    Args:
        columns: the wanted columns.
        available: kind of column to what the source has of it.
        source: the source, for the message.

    Raises:
        DataError: a column is of another kind.
    """
    matched = {}
    for name, column in columns.items():
        kind = next((kind for kind in available if isinstance(column, kind)), None)
        if kind is None:
            kinds = ", ".join(kind.kind for kind in available)
            raise DataError(f"{source} holds {kinds}: nothing for the column {name!r} ({column.kind}).")
        matched[name] = available[kind]
    return matched


def wants_kind(columns: Mapping[str, Column], kind: type[Column]) -> bool:
    """Return whether one of the wanted columns is of this kind."""
    return any(isinstance(column, kind) for column in columns.values())
