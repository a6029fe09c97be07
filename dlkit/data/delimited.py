"""Text tables, csv and tsv: a header line, then one record a row. Every reader of them comes here."""

from __future__ import annotations

import contextlib
import csv
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from dlkit.data.bytes import MatchColumns, file_type, open_text
from dlkit.data.read_options import ReadOptions
from dlkit.errors import DataError
from dlkit.options import option, python_or_cli
from dlkit.progress import progress

SUFFIXES = (".csv", ".tsv")
PROGRESS_INTERVAL = 1024  # records between two words on how many were read
_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}


@dataclass
class Records:
    """An open table.

    Attributes:
        header: the names of the columns.
        hint: a sentence for the message where a column is missing.
        rows: the line that each record starts on, counted from 1, and its cells, of which there are as many as names.
        remarks: what a person should know of how it is read.
    """

    header: list[str]
    hint: str
    rows: Iterator[tuple[int, list[str]]]
    remarks: list[str] = field(default_factory=list)


def is_delimited(path: Path, how: ReadOptions) -> bool:
    """Whether a file is a text table: by its suffix, or because the user says how it is one."""
    return file_type(path) in SUFFIXES or bool(how.delimiter)


def read_delimited(
    path: Path, source: str, choose: MatchColumns, how: ReadOptions
) -> tuple[dict[str, list[Any]], Callable[[int], str], list[str]]:
    """Cells by wanted column, the line of each row, and remarks. Raises DataError."""
    with open_records(path, source, how) as records:
        matched = choose(records.header, records.hint)
        places = {name: records.header.index(column) for name, column in matched.items()}
        cells: dict[str, list[Any]] = {name: [] for name in places}
        lines: list[int] = []
        with progress(f"reading {source}") as told:
            for line, record in records.rows:
                lines.append(line)
                for name, place in places.items():
                    cells[name].append(record[place])
                if len(lines) % PROGRESS_INTERVAL == 0:
                    told(len(lines))
    if not lines:
        raise DataError(f"{source} has a header and no rows.")
    return cells, lambda row: f"{source}, line {lines[row]}", records.remarks


@contextlib.contextmanager
def open_records(path: Path, source: str, how: ReadOptions, bad: dict[int, str] | None = None) -> Iterator[Records]:
    """The records of a file, as they are read. Blank lines are none.

    Args:
        path, source, how: the file, as the user named it, and how it is read.
        bad: gets what is wrong with a record by its line, which then comes without cells; None for an error.

    Raises:
        DataError: names the file, the line, what is wrong there and the cure.
    """
    delimiter = how.delimiter or ("\t" if file_type(path) == ".tsv" else ",")
    quoted, remarks = how.quotes, []
    errors = "strict" if bad is None else "surrogateescape"
    if quoted is None:
        quoted = True
        if delimiter == "\t":
            begun, quoted = _quoting(path, source, len(how.column_names), errors)
            if begun and not quoted:
                remarks.append(
                    "cells begin with a quote, which is read as text in a tsv file. If cells are quoted, set "
                    f"{option('quotes', True)}"
                )
    with open_text(path, source, errors) as text:
        records = _records(text, delimiter, quoted, source)
        header = list(how.column_names) or _header(records)
        if not header:
            raise DataError(f"{source} is empty.")
        rows = _checked(records, header, delimiter, quoted, source, bad)
        yield Records(header, _hint(header, delimiter), rows, remarks)


def _header(records: Iterator[tuple[int, list[str]]]) -> list[str]:
    for _, record in records:
        header = [name.strip() for name in record]
        if len(header) > 1 or header[0]:  # blanks alone are a blank line
            return header
    return []


def _records(text: TextIO, delimiter: str, quoted: bool, source: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=True)
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
            f"{source}: the record that starts on line {line} has an unclosed quote, or text after a closing quote. "
            'Inside a quoted cell, double a quote: "a ""good"" day". If quotes are ordinary text, set '
            f"{option('quotes', False)}."
        ) from error
    finally:
        csv.field_size_limit(limit)


def _checked(
    records: Iterator[tuple[int, list[str]]],
    header: list[str],
    delimiter: str,
    quoted: bool,
    source: str,
    bad: dict[int, str] | None,
) -> Iterator[tuple[int, list[str]]]:
    for line, record in records:
        if len(record) != len(header):
            named = _NAMES.get(delimiter, repr(delimiter))
            cure = f'A cell that holds a {named}, a quote or a line break must be enclosed in "quotes".'
            if not quoted:
                cure = (
                    f"A cell must not contain a {named} or a line break; if cells are quoted, set "
                    f"{option('quotes', True)}."
                )
            if delimiter == "," and any(map(_is_half, record, record[1:])):
                cure += (
                    " If numbers have decimal commas, use decimal points, or separate cells by another "
                    f"{option('delimiter')}."
                )
            said = f"expected {len(header)} cells, as in the header. Received: {len(record)}. {cure}"
            if bad is None:
                raise DataError(f"{source}, line {line}: {said}")
            bad[line], record = said, []
        yield line, record


def _is_half(before: str, after: str) -> bool:
    """Whether two cells may be one number with a decimal comma."""
    return bool(re.fullmatch(r"\s*[-+]?\d+", before) and re.fullmatch(r"\d+\s*", after))


def _quoting(path: Path, source: str, width: int, errors: str) -> tuple[bool, bool]:
    """Of a tsv: whether any cell begins with a quote, and whether all that do are well formed inside their line."""
    begun = False
    with open_text(path, source, errors) as text:
        for line in text:
            bare = line.rstrip("\r\n")
            plain = not bare.startswith('"') and '\t"' not in bare
            if plain and (width or not bare.strip()):
                continue
            try:
                count = bare.count("\t") + 1 if plain else len(next(csv.reader([bare], delimiter="\t", strict=True)))
            except (csv.Error, StopIteration):
                return True, False
            width = width or count
            if count != width:
                return True, False
            begun = begun or not plain
    return begun, begun


def _hint(header: list[str], delimiter: str) -> str:
    if len(header) == 1:
        for other, name in _NAMES.items():
            if other != delimiter and other in header[0]:
                return (
                    f" Cells must be separated by a {_NAMES.get(delimiter, repr(delimiter))}; the first line seems "
                    f"to use the {name}: set {option('delimiter', name)}."
                )
    return (
        " The first line must hold the column names; for a file without a header, give them: "
        f"{python_or_cli('header=[...]', '--column-names NAME,NAME')}."
    )
