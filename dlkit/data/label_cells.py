"""Cells that hold several labels, as people and programs write them: lists of Python and JSON, and joined texts."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dlkit.errors import DataError
from dlkit.options import option

_STRONG = {"|": r"[|｜]", ";": r"[;；]", ",": r"[,，、]", "line breaks": r"[\r\n]+", "tabs": r"\t"}
"""What parts labels, and is seldom part of a name; the first is the one that the documentation asks for."""
_WEAK = r"\s*[/&+:]\s*"
_CALL = re.compile(r"(?:set|frozenset|list|tuple|array|Index)\((.*)\)", re.DOTALL)
_STRING = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_STRINGS = re.compile(rf"\s*(?:{_STRING}(?:\s*,\s*|\s+))*{_STRING}\s*,?\s*", re.DOTALL)
_NUMBERS = re.compile(r"\s*(?:[-+]?\d+\.?(?:\s*,\s*|\s+))*[-+]?\d+\.?\s*,?\s*")
_CURE = 'Separate several labels by |; write a name that contains a separator as a list: ["a/b"].'


def parse_label_list(text: str) -> list[Any] | None:
    """The items of a text that is a list: of JSON, Python, NumPy, Postgres, or tags as <a><b>; None for any other text.

    An object of names and truth values gives the names of those that hold.

    Raises:
        DataError: it looks like a list and cannot be read as one of labels.
    """
    bare = text.strip()
    if re.fullmatch(r"(<[^<>]+>)+", bare):
        return re.findall(r"<([^<>]+)>", bare)
    called = _CALL.fullmatch(bare)
    if called:
        bare = re.sub(r",\s*dtype=.*$", "", called[1].strip(), flags=re.DOTALL).strip() or "[]"
    if bare[:1] in ("'", '"') and _STRINGS.fullmatch(bare) and len(re.findall(_STRING, bare, re.DOTALL)) > 1:
        return _strings(bare)
    if (bare[:1], bare[-1:]) not in (("[", "]"), ("(", ")"), ("{", "}")):
        return None
    inner = bare[1:-1].strip()
    if not inner:
        return []
    if _STRINGS.fullmatch(inner):  # not by Python, which joins 'a' 'b' of NumPy
        return _strings(inner)
    if _NUMBERS.fullmatch(inner):
        return [part.rstrip(".") for part in re.split(r"[\s,]+", inner) if part]
    for read in (json.loads, ast.literal_eval):
        try:
            return to_label_list(read(bare), text)
        except Exception:  # whatever either makes of what is no list
            continue
    if bare[0] == "(":  # words in parentheses are a name
        return None
    if re.search(r"[\[\]{}'\"]", inner):
        raise DataError(f"cannot read the list of labels {text[:60]!r}. {_CURE}")
    return [part.strip() for part in inner.split(",")]


def to_label_list(value: Any, shown: Any) -> list[Any]:
    """The labels of a list, or of an object of names and truth values. Raises DataError where it is another thing."""
    if isinstance(value, Mapping):
        if all(item in (0, 1) for item in value.values()):  # True is 1
            return [name for name, item in value.items() if item]
    elif isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else list(value)
        if all(isinstance(item, (str, int)) for item in items):
            return items
    raise DataError(f"expected a list of labels, or 0 or 1 for each. Received: {str(shown)[:60]}. {_CURE}")


def _strings(text: str) -> list[str]:
    return [str(ast.literal_eval(part)) for part in re.findall(_STRING, text, re.DOTALL)]


def split_cells(texts: Sequence[str], where: Callable[[int], str]) -> tuple[list[list[Any]], list[str]]:
    """The labels of each text of a column, which all are parted alike, and remarks.

    Where no text holds `|`, what stands between labels is found out: semicolons, commas, line breaks or tabs.

    Args:
        texts: a text a row; "" has no label.
        where: row number to the words of an error message.

    Raises:
        DataError: more than one of them stands there, or names that are made of other names.
    """
    found = [_named(parse_label_list, text, row, where) for row, text in enumerate(texts)]
    plain = [text for text, items in zip(texts, found, strict=True) if items is None]
    used = [name for name, pattern in _STRONG.items() if any(re.search(pattern, text.strip()) for text in plain)]
    if len(used) > 1 and used[0] != "|":
        raise DataError(f"several labels are separated by {' and by '.join(used)}: use only one of them. {_CURE}")
    parted = _STRONG[used[0]] if used else "(?!)"
    split = [re.split(parted, text) if items is None else items for text, items in zip(texts, found, strict=True)]
    made = [[item for item in items if str(item).strip()] for items in split]
    alone = {str(item).strip() for items in made for item in items}
    for row, (items, given) in enumerate(zip(made, found, strict=True)):
        if given is None:
            _refuse_joined(items, alone, where, row)
    several = sum(len(items) > 1 for items, given in zip(made, found, strict=True) if given is None)
    told = used and used[0] != "|" and several
    return made, [f"{several} of {len(texts)} cells hold several labels, separated by {used[0]}"] if told else []


def _refuse_joined(items: Iterable[str], alone: set[str], where: Callable[[int], str], row: int) -> None:
    for item in items:
        name = str(item).strip()
        weak, words = re.split(_WEAK, name), name.split()
        if (len(weak) > 1 and any(part in alone for part in weak)) or (len(words) > 1 and alone.issuperset(words)):
            raise DataError(f"{where(row)}: {name!r} looks like several labels, which also occur individually. {_CURE}")


def refuse_lists(texts: Iterable[str], where: Callable[[int], str]) -> None:
    """Raises DataError for a text that holds several labels, where each row is to have one."""
    rows: dict[str, int] = {}
    for row, text in enumerate(texts):
        rows.setdefault(text.strip(), row)
    for text, row in rows.items():
        items = _named(parse_label_list, text, row, where) if text[:1] in "[({<'\"" or "(" in text else None
        quoted = any(mark in text for mark in "'\"")
        pieces = next((re.split(part, text) for part in _STRONG.values() if re.search(part, text)), [])
        joined = len(pieces) > 1 and all(piece.strip() in rows for piece in pieces if piece.strip())
        if joined or (items is not None and (len(items) != 1 or quoted)):
            raise DataError(
                f"{where(row)}: {text[:60]!r} holds several labels, or a list, but one is expected. Keep one, or "
                f"train a multi-label model: {option('multi_label', True)}."
            )


def _named(read: Callable[[str], list[Any] | None], text: str, row: int, where: Callable[[int], str]) -> Any:
    try:
        return read(text)
    except DataError as error:
        raise DataError(f"{where(row)}: {error}") from error
