"""Tables in files: dispatch on the suffix, then cells to values by the columns themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlkit.columns import Answers, Boxes, Column, Mask, Passage
from dlkit.data.answers import ALSO, join_starts, with_starts
from dlkit.data.match import match_names, wants
from dlkit.data.table import Table
from dlkit.errors import DataError

Choose = Callable[[Sequence[str], str], dict[str, str]]
"""From the names that a file has, and a hint for the error where one is missing, to its names for the wanted."""

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


def read_file(
    path: Path,
    source: str,
    columns: dict[str, Column],
    rename: dict[str, str],
    *,
    also: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """The wanted columns of a table in a file. Relative paths in it start from its folder.

    Args:
        path: the file.
        source: the file as the user named it.
        columns: the wanted columns.
        rename: the file's own name for a wanted column.
        also: further names under which a wanted column may go.
    """
    suffix = path.suffix.lower()

    def choose(found: Sequence[str], hint: str) -> dict[str, str]:
        matched = match_names(columns, found, rename, source, also=also, hint=hint)
        return with_starts(columns, matched, found) if wants(columns, Answers) else matched

    if wants(columns, Answers):
        also = {name: ALSO for name, column in columns.items() if isinstance(column, Answers)}
    if suffix == ".json" and wants(columns, Passage) and is_object(path):
        from dlkit.data.squad import read_squad

        return read_squad(path, source, columns, rename)
    if wants(columns, Boxes) or wants(columns, Mask):
        from dlkit.data.annotated import read_annotated_file

        annotated = read_annotated_file(path, source, columns, rename)
        if annotated is not None:
            return annotated
    if suffix in (".csv", ".tsv"):
        from dlkit.data.delimited import read_delimited

        cells, where = read_delimited(path, source, choose)
    elif suffix in (".jsonl", ".json"):
        from dlkit.data.json_rows import read_json

        cells, where = read_json(path, source, choose)
    elif suffix == ".parquet":
        from dlkit.data.parquet import read_parquet

        cells, where = read_parquet(path, source, choose)
    else:
        raise DataError(
            f"{source}: cannot tell what kind of data a file {suffix or 'without a suffix'} holds. Expected "
            f"a folder or a file that ends in one of: {', '.join(TABLE_SUFFIXES)}, .npz."
        )
    values: dict[str, Any] = {
        name: [_value(columns.get(name), cell, path.parent) for cell in column] for name, column in cells.items()
    }
    if wants(columns, Answers):
        values = join_starts(columns, values)
    if wants(columns, Mask):
        from dlkit.data.mask_folder import with_classes

        return with_classes(Table(source, values, where), columns, [path.parent])
    return Table(source, values, where)


def _value(column: Column | None, cell: Any, folder: Path) -> Any:
    # Only text needs the column's reading; a blank cell stays blank, so that it is seen as one.
    return column.from_cell(cell, folder) if column and isinstance(cell, str) and cell.strip() else cell


def is_object(path: Path) -> bool:
    """Whether a json file holds an object, as COCO's and SQuAD's do, and not a list of rows."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    except OSError:
        return False


def read_bytes(path: Path, source: str) -> bytes:
    """The whole file. DataError where it cannot be read or is empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror}.") from error
    if not data.strip():
        raise DataError(f"{source} is empty.")
    return data


def read_text(path: Path, source: str) -> str:
    """The whole file as text, without a byte order mark. DataError names the first line that is not UTF-8."""
    text = decode(read_bytes(path, source), source)
    if not text.strip():  # a byte order mark alone
        raise DataError(f"{source} is empty.")
    return text


def decode(data: bytes, source: str) -> str:
    """UTF-8 bytes as text, without a byte order mark. DataError names the first line that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Only what `iconv` is told first differs: UTF-16 files say so in their first two bytes.
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1"
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{source}, line {line}: the file is not UTF-8 (byte {error.object[error.start]:#04x}). Convert "
            f"it first, for example: iconv -f {encoding} -t utf-8 OLD > NEW."
        ) from error
