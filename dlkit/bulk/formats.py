"""File formats of predictions that are written a few rows at a time: csv, jsonl and parquet.

Rows are appended to `<output>.partial`. Truncated to any of its earlier sizes, the file can be continued from there.
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
    """JSON Lines: one object per line."""

    def encode_header(self, names: Sequence[str]) -> bytes:
        """Encode the beginning of the file."""
        return b""

    def encode_records(self, records: Records, names: Sequence[str]) -> bytes:
        """Encode some records, all with these names, as they are appended to the file."""
        return "".join(f"{as_json(record)}\n" for record in records).encode()

    def encode_file(self, records: Records, names: Sequence[str]) -> bytes:
        """Encode a whole file of records."""
        return self.encode_header(names) + self.encode_records(records, names)

    def finish(self, partial: Path, output: Path) -> None:
        """Move the completed partial file to its final place."""
        partial.replace(output)


class Csv(JsonLines):
    """CSV with a header. Lists and the like are JSON in their cells; missing values are empty."""

    def encode_header(self, names: Sequence[str]) -> bytes:
        return self._format_rows([names])

    def encode_records(self, records: Records, names: Sequence[str]) -> bytes:
        return self._format_rows([[_cell(record[name]) for name in names] for record in records])

    def _format_rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode(errors="replace")


class Parquet(JsonLines):
    """Parquet. The partial file holds Arrow tables, each after its size; they are unified and written at the end."""

    def encode_records(self, records: Records, names: Sequence[str]) -> bytes:
        import pyarrow

        table = _table(records, names)
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        data = sink.getvalue().to_pybytes()
        return struct.pack("<q", len(data)) + data

    def encode_file(self, records: Records, names: Sequence[str]) -> bytes:
        import pyarrow.parquet

        sink = io.BytesIO()
        pyarrow.parquet.write_table(_table(records, names), sink)
        return sink.getvalue()

    def finish(self, partial: Path, output: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        schema = _unify_schemas(list(dict.fromkeys(table.schema for table in _read_tables(partial))))

        def write(file: Any) -> None:
            with pyarrow.parquet.ParquetWriter(file, schema) as writer:
                pending: list[Any] = []
                for table in _read_tables(partial):
                    pending.append(_cast(table, schema))
                    if sum(map(len, pending)) >= ROW_GROUP_SIZE:
                        writer.write_table(pyarrow.concat_tables(pending).combine_chunks())
                        pending = []
                if pending:
                    writer.write_table(pyarrow.concat_tables(pending).combine_chunks())

        write_atomic(output, write)
        partial.unlink()


FORMATS = {".csv": Csv(), ".jsonl": JsonLines(), ".ndjson": JsonLines(), ".parquet": Parquet()}


def format_of(output: Path) -> JsonLines | None:
    """Return the format for the suffix of a file, or None if there is none.

    Raises:
        DlkitError: it is parquet, and pyarrow is not installed.
    """
    output_format = FORMATS.get(output.suffix.lower())
    if isinstance(output_format, Parquet):
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise DlkitError(
                f"{output}: parquet needs a package: pip install pyarrow. Or write .csv or .jsonl."
            ) from error
    return output_format


def check_new_file(path: Path, argument: str, extra_suffixes: Iterable[str] = ()) -> None:
    """Check that a file can be created, before the work whose result it will hold.

    Args:
        path: the file.
        argument: what gave its name, a flag or an argument, for the message.
        extra_suffixes: further suffixes that are written.

    Raises:
        DlkitError: its suffix tells no form, it exists, or its folder does not.
    """
    if path.suffix.lower() not in extra_suffixes and not format_of(path):
        formats = ", ".join([*FORMATS, *extra_suffixes])
        raise DlkitError(f"{argument} must end in {formats}, which selects the format. Received: {path}.")
    if path.exists():
        raise DlkitError(f"{path} already exists. Remove it, or choose another name for {argument}.")
    if not path.absolute().parent.is_dir():
        raise DlkitError(f"there is no folder {path.absolute().parent} for {path.name}. Create it, or choose another.")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows atomically, in the format of the suffix, with one column for each key that any row has.

    What strict JSON lacks, NaN for one, is empty; pixels are PNG in base64.

    Raises:
        OSError: the file cannot be written.
    """
    output_format = FORMATS[path.suffix.lower()]
    records = [json.loads(as_json(row)) for row in rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    if type(output_format) is not JsonLines:  # a line holds what its row has
        records = [{name: record.get(name) for name in names} for record in records]
    write_atomic(path, lambda file: file.write(output_format.encode_file(records, names)))


def as_json(value: Any) -> str:
    """Encode a value as strict JSON on one line: without NaN, bytes in base64, dates in ISO 8601."""
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
    """Convert records that all have these names to an Arrow table."""
    import pyarrow

    return pyarrow.table({name: _array([record[name] for record in records]) for name in names})


def _array(values: list[Any]) -> Any:
    """Convert values to an Arrow array; values of mixed types become JSON strings."""
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


def _read_tables(partial: Path) -> Iterator[Any]:
    import pyarrow

    with partial.open("rb") as file:
        while head := file.read(8):
            with pyarrow.ipc.open_stream(file.read(struct.unpack("<q", head)[0])) as stream:
                yield stream.read_all()


def _unify_schemas(schemas: Sequence[Any]) -> Any:
    """Unify schemas: the wider type of each column, or strings where its types have nothing in common."""
    import pyarrow

    fields = []
    for name in schemas[0].names if schemas else ():
        versions = [pyarrow.schema([schema.field(name)]) for schema in schemas]
        try:
            fields.append(pyarrow.unify_schemas(versions, promote_options="permissive").field(name))
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
