"""jsonl files (one object a line) and json files (one list of objects, or lines as well)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlkit.data.bytes import MatchColumns, is_json_lines, read_text
from dlkit.data.nested import find_inside, names_inside
from dlkit.errors import DataError
from dlkit.progress import progress
from dlkit.reading_errors import as_data_error


def read_json(path: Path, source: str, match: MatchColumns) -> tuple[dict[str, Any], Callable[[int], str]]:
    """Read the wanted columns of a jsonl or json file; also return a function from row number to location."""
    text = read_text(path, source)
    if is_json_lines(path):
        rows, lines = _parse_lines(text, source)
        return rows_to_columns(rows, match, lambda row: f"{source}, line {lines[row]}", source)
    return rows_to_columns(_parse_list(text, source), match, lambda row: f"{source}, item {row + 1}", source)


def rows_to_columns(
    rows: list[Any], match: MatchColumns, where: Callable[[int], str], source: str
) -> tuple[dict[str, Any], Callable[[int], str]]:
    """Convert rows of dicts to columns. DataError names the row that is not a dict or lacks a wanted column."""
    for row, value in enumerate(rows):
        if not isinstance(value, dict):
            raise DataError(f'{where(row)}: expected an object such as {{"text": "..."}}. Received: {str(value)[:60]}.')
    if not rows:
        raise DataError(f"{source} has no rows.")
    names = list(dict.fromkeys(str(key) for value in rows for key in value))
    inside = [inner for name in names for inner in names_inside(name, (row.get(name) for row in rows))]
    matched = match([*names, *inside], "")
    cells: dict[str, list[Any]] = {name: [] for name in matched}
    for row, value in enumerate(rows):
        for name, column in matched.items():
            found, cell = find_inside(value, column)
            if not found:
                raise DataError(
                    f"{where(row)}: the row has no {column!r}, but other rows do. Add it, or remove the row."
                )
            cells[name].append(cell)
    return cells, where


def _parse_lines(text: str, source: str) -> tuple[list[Any], list[int]]:
    rows, lines = [], []
    contents = text.split("\n")  # splitlines() would also cut at U+2028 in a text
    with progress(f"reading {source}", len(contents)) as update:
        for line, content in enumerate(contents, start=1):
            if not content.strip():
                continue
            with as_data_error(f"{source}, line {line}", "a JSON object", "Write one JSON object per line."):
                rows.append(json.loads(content))
            lines.append(line)
            update(len(lines))
    return rows, lines


def _parse_list(text: str, source: str) -> list[Any]:
    hint = "Expected one list of objects; a file with one object per line must end in .jsonl."
    with as_data_error(source, "JSON", hint):
        rows = json.loads(text)
    if not isinstance(rows, list):
        raise DataError(f"{source}: expected a list of objects. Received: {type(rows).__name__}.")
    return rows
