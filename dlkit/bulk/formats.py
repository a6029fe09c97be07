"""Files of answers, which grow by a few rows at a time: csv, jsonl and parquet.

What grows is a file beside the output, `<output>.partial`; cut at any of its sizes of before, it goes on from there.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.durable import write_atomic
from dlkit.errors import DlkitError
from dlkit.plain import finite
from dlkit.vision.png import as_json as array_as_json

ROW_GROUP_SIZE = 65_536  # rows of a row group of parquet
Records = Sequence[dict[str, Any]]


class JsonLines:
    """An object a line."""

    def header(self, names: Sequence[str]) -> bytes:
        """What the file begins with."""
        return b""

    def lines(self, records: Records, names: Sequence[str]) -> bytes:
        """Some records, each of which has these names, as they follow in the file."""
        return "".join(f"{as_json(record)}\n" for record in records).encode()

    def whole(self, records: Records, names: Sequence[str]) -> bytes:
        """A file of all records, which does not grow."""
        return self.header(names) + self.lines(records, names)

    def finish(self, partial: Path, output: Path) -> None:
        """Puts the file, which is on disk whole, in its place."""
        partial.replace(output)


class Csv(JsonLines):
    """A header and a record a row; lists and the like stand in their cells as JSON, and what is missing is empty."""

    def header(self, names: Sequence[str]) -> bytes:
        return self._written([names])

    def lines(self, records: Records, names: Sequence[str]) -> bytes:
        return self._written([[_cell(record[name]) for name in names] for record in records])

    def _written(self, rows: Sequence[Sequence[Any]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode(errors="replace")


class Parquet(JsonLines):
    """What grows are tables of Arrow, each with its size before it and with types of its own, which are joined last."""

    def lines(self, records: Records, names: Sequence[str]) -> bytes:
        import pyarrow

        table = _table(records, names)
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        data = sink.getvalue().to_pybytes()
        return struct.pack("<q", len(data)) + data

    def whole(self, records: Records, names: Sequence[str]) -> bytes:
        import pyarrow.parquet

        sink = io.BytesIO()
        pyarrow.parquet.write_table(_table(records, names), sink)
        return sink.getvalue()

    def finish(self, partial: Path, output: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        schema = _joined(list(dict.fromkeys(table.schema for table in _tables(partial))))

        def write(file: Any) -> None:
            with pyarrow.parquet.ParquetWriter(file, schema) as writer:
                waiting: list[Any] = []
                for table in _tables(partial):
                    waiting.append(_cast(table, schema))
                    if sum(map(len, waiting)) >= ROW_GROUP_SIZE:
                        writer.write_table(pyarrow.concat_tables(waiting).combine_chunks())
                        waiting = []
                if waiting:
                    writer.write_table(pyarrow.concat_tables(waiting).combine_chunks())

        write_atomic(output, write)
        partial.unlink()


FORMATS = {".csv": Csv(), ".jsonl": JsonLines(), ".ndjson": JsonLines(), ".parquet": Parquet()}


def format_of(output: Path) -> JsonLines | None:
    """The form of a file by its suffix; None where there is none of that.

    Raises:
        DlkitError: it is parquet, and pyarrow is not installed.
    """
    found = FORMATS.get(output.suffix.lower())
    if isinstance(found, Parquet):
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise DlkitError(
                f"{output}: parquet needs a package: pip install pyarrow. Or write .csv or .jsonl."
            ) from error
    return found


def check_new_file(path: Path, what: str, also: Iterable[str] = ()) -> None:
    """Refuses a file that could not be written, before the work whose result it is to hold.

    Args:
        path: the file.
        what: what gave its name, a flag or an argument, for the message.
        also: further suffixes that are written.

    Raises:
        DlkitError: its suffix tells no form, it exists, or its folder does not.
    """
    if path.suffix.lower() not in also and not format_of(path):
        forms = ", ".join([*FORMATS, *also])
        raise DlkitError(f"{what} must end in {forms}, which selects the format. Received: {path}.")
    if path.exists():
        raise DlkitError(f"{path} already exists. Remove it, or choose another name for {what}.")
    if not path.absolute().parent.is_dir():
        raise DlkitError(f"there is no folder {path.absolute().parent} for {path.name}. Create it, or choose another.")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes rows whole or not at all, in the form of the file's suffix: a column for each key that any of them has.

    What strict JSON lacks, NaN for one, is empty; pixels are PNG in base64.

    Raises:
        OSError: the file cannot be written.
    """
    form = FORMATS[path.suffix.lower()]
    records = [json.loads(as_json(row)) for row in rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    if type(form) is not JsonLines:  # a line holds what its row has
        records = [{name: record.get(name) for name in names} for record in records]
    write_atomic(path, lambda file: file.write(form.whole(records, names)))


def as_json(value: Any) -> str:
    """A value as strict JSON on one line: without NaN, bytes in base64, dates in ISO 8601."""
    return json.dumps(finite(value), ensure_ascii=False, default=_plain).encode(errors="replace").decode()


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (np.ndarray, np.generic)):
        return finite(array_as_json(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (str, int)):
        return str(value).lower() if isinstance(value, bool) else value
    if isinstance(value, (float, np.generic)):
        return finite(value)
    text = as_json(value)
    return json.loads(text) if text.startswith('"') else text


def _table(records: Records, names: Sequence[str]) -> Any:
    """Records, each of which has these names, as a table of Arrow."""
    import pyarrow

    return pyarrow.table({name: _array([record[name] for record in records]) for name in names})


def _array(values: list[Any]) -> Any:
    """An array of Arrow: of values of several kinds their JSON."""
    import pyarrow

    plain = [value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value for value in values]
    try:
        return pyarrow.array(plain)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, UnicodeError, OverflowError):
        return pyarrow.array(_texts(plain), pyarrow.string())


def _texts(values: Sequence[Any]) -> list[str | None]:
    return [
        value.encode(errors="replace").decode() if isinstance(value, str) else None if value is None else as_json(value)
        for value in values
    ]


def _tables(partial: Path) -> Iterator[Any]:
    import pyarrow

    with partial.open("rb") as file:
        while head := file.read(8):
            with pyarrow.ipc.open_stream(file.read(struct.unpack("<q", head)[0])) as stream:
                yield stream.read_all()


def _joined(schemas: Sequence[Any]) -> Any:
    """One schema for all: the wider type of a column, or texts where its types have nothing in common."""
    import pyarrow

    fields = []
    for name in schemas[0].names if schemas else ():
        own = [pyarrow.schema([schema.field(name)]) for schema in schemas]
        try:
            fields.append(pyarrow.unify_schemas(own, promote_options="permissive").field(name))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
            fields.append(pyarrow.field(name, pyarrow.string()))
    return pyarrow.schema(fields)


def _cast(table: Any, schema: Any) -> Any:
    import pyarrow

    columns = {}
    for field in schema:
        column = table.column(field.name)
        if pyarrow.types.is_string(field.type) and not pyarrow.types.is_string(column.type):
            column = pyarrow.chunked_array([pyarrow.array(_texts(column.to_pylist()), field.type)])
        columns[field.name] = column.cast(field.type)
    return pyarrow.table(columns, schema)
