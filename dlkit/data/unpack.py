"""Compressed files, gzip, zip and npz, with a limit on the decompressed size."""

from __future__ import annotations

import gzip
import io
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.errors import DataError, DlkitError
from dlkit.reading_errors import as_data_error, check_unpacked, size_of

_BUFFER_BYTES = 1 << 20
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class GzipReader(io.RawIOBase):
    """Reads a gzip archive. Raises DataError if it is corrupt or exceeds the limit.

    Args:
        file: the archive, open.
        source: what messages call it.
    """

    def __init__(self, file: Any, source: object):
        super().__init__()
        self._file, self._archive, self._source, self._size = file, gzip.GzipFile(fileobj=file), source, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with as_data_error(self._source, "a readable gzip archive", "Compress it again, or decompress it."):
            count = self._archive.readinto(buffer)
        self._size += count
        check_unpacked(self._size, self._source)
        return count

    def readall(self) -> bytes:
        parts = bytearray()
        while part := self.read(_BUFFER_BYTES):
            parts += part
        return bytes(parts)

    def close(self) -> None:
        self._archive.close()
        self._file.close()
        super().close()


def open_gzip(file: Any, source: object) -> io.BufferedReader:
    """Return the content of an open gzip archive as a file."""
    return io.BufferedReader(GzipReader(file, source), _BUFFER_BYTES)


def open_arrays(path: Path, source: str, *, error: type[DlkitError] = DataError) -> Any:
    """Open an npz file, whose arrays `read_array` reads. Pickled objects are refused, as loading them can run any code.

    Raises:
        error: it is none.
    """
    hint = "Write it with numpy.savez_compressed."
    with as_data_error(source, "a readable npz file", hint, error=error):
        with path.open("rb") as file:
            head = file.read(6)
        if head == np.lib.format.MAGIC_PREFIX:
            raise error(
                f"{source}: holds a single array. Expected named arrays, as numpy.savez_compressed writes them."
            )
        if not head.startswith(b"PK"):
            raise ValueError("it is not a zip archive" if head else "it is empty")
        return np.load(path, allow_pickle=False)


def read_array(file: Any, key: str, source: str, *, error: type[DlkitError] = DataError) -> np.ndarray:
    """Read an array of an npz file, once its size matches the header.

    Raises:
        error: it cannot be read, or is larger than the limit.
    """
    label = f"{source}, the array {key!r}"
    hint = "Texts must have a string dtype: numpy.array(list_of_str)."
    with as_data_error(f"{source}: the array {key!r} cannot be read", "a readable array", hint, error=error):
        entry = file.zip.getinfo(key if key in file.zip.namelist() else f"{key}.npy")
        check_unpacked(entry.file_size - size_of(file.zip), label, error=error)
        with file.zip.open(entry) as member:
            version = np.lib.format.read_magic(member)
            shape, _, dtype = _HEADER_READERS[version](member)
            data_bytes = entry.file_size - member.tell()
        rows = shape[0] if shape else 1
        if not dtype.hasobject and (math.prod(shape) * dtype.itemsize != data_bytes or rows > entry.file_size):
            raise error(
                f"{label}: its header says {dtype} of shape {shape}, but it holds {data_bytes} bytes. The file is "
                "corrupt. Write it again."
            )
        array = file[key]
        if dtype.kind == "U" and array.size:
            codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
            if codes.max() > sys.maxunicode:
                raise error(f"{label} holds invalid characters. The file is corrupt. Write it again.")
        return array
