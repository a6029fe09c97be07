"""parquet files. An image is its bytes, a path, or a struct of both as Hugging Face data sets write it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlkit.data.bytes import Choose, read_bytes
from dlkit.data.nested import find_inside
from dlkit.errors import DataError


def read_parquet(path: Path, source: str, choose: Choose) -> tuple[dict[str, list[Any]], Callable[[int], str]]:
    """Values by wanted column, and the number of each row, from 1. Only the wanted columns are read."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            structs = (field for field in schema if pyarrow.types.is_struct(field.type))
            inside = [f"{field.name}/{inner.name}" for field in structs for inner in field.type]
            matched = choose([*schema.names, *inside], "")
            outer = {name: name if name in schema.names else name.partition("/")[0] for name in matched.values()}
            table = file.read(columns=sorted(set(outer.values())))
    except (pyarrow.ArrowException, OSError) as error:
        read_bytes(path, source)  # has the better words for an empty file
        raise DataError(f"{source}: not a readable parquet file ({error}).") from error
    cells = {
        name: [_value(cell, outer[column], column) for cell in table.column(outer[column]).to_pylist()]
        for name, column in matched.items()
    }
    return cells, lambda row: f"{source}, row {row + 1}"


def _value(cell: Any, outer: str, name: str) -> Any:
    if outer != name:
        return find_inside({outer: cell}, name)[1]
    if isinstance(cell, dict) and cell.keys() == {"bytes", "path"}:
        return cell["path"] if cell["bytes"] is None else cell["bytes"]
    return cell
