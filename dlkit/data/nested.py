"""Names of nested values: `translation/en` for rows with {"translation": {"en": ..., "it": ...}}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def names_inside(name: str, values: Iterable[Any]) -> list[str]:
    """Return the names of a column's nested values, in order; none if it holds no objects."""
    return list(dict.fromkeys(f"{name}/{inner}" for value in values if isinstance(value, Mapping) for inner in value))


def find_inside(row: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Return whether a row has a value of that name, which may be nested, and the value."""
    if name in row:
        return True, row[name]
    outer, _, inner = name.partition("/")
    outer_value = row.get(outer)
    if inner and isinstance(outer_value, Mapping) and inner in outer_value:
        return True, outer_value[inner]
    return False, None
