"""csv and tsv files: a header line, then one record a row; quotes as in RFC 4180."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from dlkit.data.bytes import Choose, read_text
from dlkit.errors import DataError

_NAMES = {",": "comma", "\t": "tab", ";": "semicolon"}


def read_delimited(path: Path, source: str, choose: Choose) -> tuple[dict[str, list[Any]], Callable[[int], str]]:
    """Cells by wanted column, and the line of each row: the one its record starts on, counted from 1."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    records = records_of(io.StringIO(read_text(path, source), newline=""), delimiter, source)
    _, header = next(records)
    header = [name.strip() for name in header]
    matched = choose(header, _hint(header, delimiter))
    places = {name: header.index(column) for name, column in matched.items()}
    cells: dict[str, list[Any]] = {name: [] for name in places}
    lines: list[int] = []
    for line, record in records:
        if len(record) != len(header):
            raise DataError(
                f"{source}, line {line}: expected {len(header)} cells, as in the header. Received: "
                f"{len(record)}. "
                f'A cell that holds a {_NAMES[delimiter]}, a quote or a line break must stand in "quotes".'
            )
        lines.append(line)
        for name, place in places.items():
            cells[name].append(record[place])
    if not lines:
        raise DataError(f"{source} has a header and no rows.")
    return cells, lambda row: f"{source}, line {lines[row]}"


def records_of(text: TextIO, delimiter: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """The records with the line that each starts on. Blank lines are none."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    # The limit of 131,072 characters a cell belongs to the module, not to a reader.
    limit = csv.field_size_limit(sys.maxsize)
    line = 1
    try:
        for record in reader:
            if record:
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{source}: the record that starts on line {line} has a quote that does not close, or text "
            "after its "
            'closing quote. Inside a quoted cell, write a quote twice: "a ""good"" day".'
        ) from error
    finally:
        csv.field_size_limit(limit)


def _hint(header: list[str], delimiter: str) -> str:
    if len(header) == 1:
        for other, name in _NAMES.items():
            if other != delimiter and other in header[0]:
                return f" Cells must be parted by a {_NAMES[delimiter]}; the first line seems to use the {name}."
    return " The first line must hold the columns' names."
