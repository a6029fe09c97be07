"""Delimited text tables, csv and tsv: a header line, then one record per row. The only reader of such files."""

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
_DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}


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
    """Return whether a file is a delimited table: by its suffix, or because a delimiter is given."""
    return file_type(path) in SUFFIXES or bool(how.delimiter)


def read_delimited(
    path: Path, source: str, choose: MatchColumns, how: ReadOptions
) -> tuple[dict[str, list[Any]], Callable[[int], str], list[str]]:
    """Read the wanted columns of a delimited table.

    Returns:
        Cells by column, a function from row number to location, and remarks.

    Raises:
        DataError: the file cannot be read.
    """
    with open_records(path, source, how) as records:
        matched = choose(records.header, records.hint)
        positions = {name: records.header.index(column) for name, column in matched.items()}
        cells: dict[str, list[Any]] = {name: [] for name in positions}
        lines: list[int] = []
        with progress(f"reading {source}") as update:
            for line, record in records.rows:
                lines.append(line)
                for name, position in positions.items():
                    cells[name].append(record[position])
                if len(lines) % PROGRESS_INTERVAL == 0:
                    update(len(lines))
    if not lines:
        raise DataError(f"{source} has a header and no rows.")
    return cells, lambda row: f"{source}, line {lines[row]}", records.remarks


@contextlib.contextmanager
def open_records(path: Path, source: str, how: ReadOptions, bad: dict[int, str] | None = None) -> Iterator[Records]:
    """Open a file and iterate over its records. Blank lines are skipped.

    Args:
        path, source, how: the file, as the user named it, and how it is read.
        bad: gets what is wrong with a record by its line, which then comes without cells; None for an error.

    Raises:
        DataError: names the file, the line, what is wrong there and the cure.
    """
    delimiter = how.delimiter or ("\t" if file_type(path) == ".tsv" else ",")
    allow_quotes, remarks = how.quotes, []
    errors = "strict" if bad is None else "surrogateescape"
    if allow_quotes is None:
        allow_quotes = True
        if delimiter == "\t":
            starts_quoted, allow_quotes = _detect_quotes(path, source, len(how.column_names), errors)
            if starts_quoted and not allow_quotes:
                remarks.append(
                    "cells begin with a quote, which is read as text in a tsv file. If cells are quoted, set "
                    f"{option('quotes', True)}"
                )
    with open_text(path, source, errors) as text:
        records = _read_records(text, delimiter, allow_quotes, source)
        header = list(how.column_names) or _read_header(records)
        if not header:
            raise DataError(f"{source} is empty.")
        rows = _check_widths(records, header, delimiter, allow_quotes, source, bad)
        yield Records(header, _missing_column_hint(header, delimiter), rows, remarks)


def _read_header(records: Iterator[tuple[int, list[str]]]) -> list[str]:
    for _, record in records:
        header = [name.strip() for name in record]
        if len(header) > 1 or header[0]:  # blanks alone are a blank line
            return header
    return []


def _read_records(text: TextIO, delimiter: str, allow_quotes: bool, source: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(
        text, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if allow_quotes else csv.QUOTE_NONE, strict=True
    )
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


def _check_widths(
    records: Iterator[tuple[int, list[str]]],
    header: list[str],
    delimiter: str,
    allow_quotes: bool,
    source: str,
    bad: dict[int, str] | None,
) -> Iterator[tuple[int, list[str]]]:
    for line, record in records:
        if len(record) != len(header):
            delimiter_name = _DELIMITER_NAMES.get(delimiter, repr(delimiter))
            hint = f'A cell that holds a {delimiter_name}, a quote or a line break must be enclosed in "quotes".'
            if not allow_quotes:
                hint = (
                    f"A cell must not contain a {delimiter_name} or a line break; if cells are quoted, set "
                    f"{option('quotes', True)}."
                )
            if delimiter == "," and any(map(_is_split_number, record, record[1:])):
                hint += (
                    " If numbers have decimal commas, use decimal points, or separate cells by another "
                    f"{option('delimiter')}."
                )
            message = f"expected {len(header)} cells, as in the header. Received: {len(record)}. {hint}"
            if bad is None:
                raise DataError(f"{source}, line {line}: {message}")
            bad[line], record = message, []
        yield line, record


def _is_split_number(before: str, after: str) -> bool:
    """Return whether two cells may be one number with a decimal comma."""
    return bool(re.fullmatch(r"\s*[-+]?\d+", before) and re.fullmatch(r"\d+\s*", after))


def _detect_quotes(path: Path, source: str, width: int, errors: str) -> tuple[bool, bool]:
    """Return whether any cell of a tsv begins with a quote, and whether all of these are well formed in their line."""
    starts_quoted = False
    with open_text(path, source, errors) as text:
        for line in text:
            stripped = line.rstrip("\r\n")
            plain = not stripped.startswith('"') and '\t"' not in stripped
            if plain and (width or not stripped.strip()):
                continue
            try:
                count = (
                    stripped.count("\t") + 1
                    if plain
                    else len(next(csv.reader([stripped], delimiter="\t", strict=True)))
                )
            except (csv.Error, StopIteration):
                return True, False
            width = width or count
            if count != width:
                return True, False
            starts_quoted = starts_quoted or not plain
    return starts_quoted, starts_quoted


def _missing_column_hint(header: list[str], delimiter: str) -> str:
    if len(header) == 1:
        for other, name in _DELIMITER_NAMES.items():
            if other != delimiter and other in header[0]:
                return (
                    f" Cells must be separated by a {_DELIMITER_NAMES.get(delimiter, repr(delimiter))}; the first line "
                    f"seems to use the {name}: set {option('delimiter', name)}."
                )
    return (
        " The first line must hold the column names; for a file without a header, give them: "
        f"{python_or_cli('column_names=[...]', '--column-names NAME,NAME')}."
    )
