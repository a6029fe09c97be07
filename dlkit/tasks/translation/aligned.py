"""Two texts, line by line: what one says, the other says on the same line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dlkit.columns import Column, Text
from dlkit.data.bytes import read_text
from dlkit.data.match import quote_names
from dlkit.data.table import Table
from dlkit.errors import DataError


def aligned_paths(source: str) -> list[Path]:
    """The two files of "corpus.en,corpus.es"; an empty list where it names no two files."""
    parts = [Path(part.strip()).expanduser() for part in source.split(",")]
    try:
        return parts if len(parts) == 2 and all(part.is_file() for part in parts) else []
    except (OSError, ValueError):  # too long or with a null byte: no path
        return []


def read_aligned(paths: Sequence[Path], source: str, columns: Mapping[str, Column]) -> Table:
    """A row for each line of two texts (UTF-8). The first one fills the first column.

    Raises:
        DataError: not two columns of texts are wanted, or the texts have different numbers of lines.
    """
    texts = [name for name, column in columns.items() if isinstance(column, Text)]
    if len(texts) != 2 or len(columns) != 2:
        raise DataError(f"{source}: two text files provide two text columns. Required: {quote_names(columns)}.")
    lines = [_lines(path) for path in paths]
    if len(lines[0]) != len(lines[1]):
        raise DataError(
            f"{source}: the files must be aligned line by line, but {paths[0].name} has {len(lines[0])} lines and "
            f"{paths[1].name} has {len(lines[1])}. Align them again."
        )
    values = dict(zip(texts, lines, strict=True))
    return Table(source, values, lambda row: f"{paths[0].name} and {paths[1].name}, line {row + 1}")


def _lines(path: Path) -> list[str]:
    text = read_text(path, str(path))
    lines = [line.removesuffix("\r") for line in text.split("\n")]  # splitlines() would also cut at U+2028 in a text
    return lines[:-1] if lines[-1] == "" else lines
