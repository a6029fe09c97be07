"""Rows of plain values as a file: csv, jsonl or parquet, by its suffix."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from dlkit.durable import write_file
from dlkit.errors import DlkitError
from dlkit.plain import finite
from dlkit.vision.png import as_json

Row = Mapping[str, Any]


def check_new_file(path: Path, what: str, also: Iterable[str] = ()) -> None:
    """Refuses a file that could not be written, before the work whose result it is to hold.

    Args:
        path: the file.
        what: what gave its name, a flag or an argument, for the message.
        also: further suffixes that are written.

    Raises:
        DlkitError: its suffix tells no form, it exists, or its folder does not.
    """
    forms = [*_WRITERS, *also]
    if path.suffix.lower() not in forms:
        raise DlkitError(f"{what} must end in {', '.join(forms)}, which says in what form. Received: {path}.")
    if path.exists():
        raise DlkitError(f"{path} exists already. Remove it, or give {what} another name.")
    if not path.absolute().parent.is_dir():
        raise DlkitError(f"there is no folder {path.absolute().parent} for {path.name}. Make it, or choose another.")


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows whole or not at all: columns are all keys that any of them has, in the order in which they come.

    In csv, lists and dicts are JSON; what strict JSON lacks, NaN for one, is empty; pixels are PNG in base64.

    Raises:
        OSError: the file cannot be written.
    """
    plain = [json.loads(json.dumps(finite(row), default=as_json)) for row in rows]
    names = list(dict.fromkeys(name for row in plain for name in row))
    write = _WRITERS[path.suffix.lower()]
    write_file(path, lambda file: write(file, names, plain))


def _csv(file: IO[bytes], names: Sequence[str], rows: Sequence[Row]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    table = csv.writer(text)
    table.writerow(names)
    for row in rows:
        table.writerow([_cell(row.get(name)) for name in names])
    text.detach()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _jsonl(file: IO[bytes], names: Sequence[str], rows: Sequence[Row]) -> None:
    del names
    file.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _parquet(file: IO[bytes], names: Sequence[str], rows: Sequence[Row]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DlkitError("parquet files need pyarrow: pip install pyarrow. Or write csv or jsonl.") from error
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pyarrow.array(values)
        except pyarrow.ArrowException:  # of several types, as ids that are numbers and texts
            columns[name] = pyarrow.array([None if value is None else _text(value) for value in values])
    pyarrow.parquet.write_table(pyarrow.table(columns), file)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_WRITERS: dict[str, Callable[[IO[bytes], Sequence[str], Sequence[Row]], None]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
