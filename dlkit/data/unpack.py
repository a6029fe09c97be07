"""What unpacks to more than it is: gzip, zip and npz, of which no more comes out than the limit."""

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

_PART = 1 << 20
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class GzipReader(io.RawIOBase):
    """The bytes of a gzip archive. Raises DataError for a broken one, and beyond the limit.

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
        while part := self.read(_PART):
            parts += part
        return bytes(parts)

    def close(self) -> None:
        self._archive.close()
        self._file.close()
        super().close()


def open_gzip(file: Any, source: object) -> io.BufferedReader:
    """An open gzip archive as the file in it."""
    return io.BufferedReader(GzipReader(file, source), _PART)


def open_arrays(path: Path, source: str, *, error: type[DlkitError] = DataError) -> Any:
    """An npz file, whose arrays `read_array` reads. Pickled objects are refused: loading them could run any code.

    Raises:
        error: it is none.
    """
    cure = "Write it with numpy.savez_compressed."
    with as_data_error(source, "a readable npz file", cure, error=error):
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
    """An array of an npz file. It is made only where as many bytes are there as its header says.

    Raises:
        error: it cannot be read, or is larger than the limit.
    """
    named = f"{source}, the array {key!r}"
    cure = "Texts must have a string dtype: numpy.array(list_of_str)."
    with as_data_error(f"{source}: the array {key!r} cannot be read", "a readable array", cure, error=error):
        entry = file.zip.getinfo(key if key in file.zip.namelist() else f"{key}.npy")
        check_unpacked(entry.file_size - size_of(file.zip), named, error=error)
        with file.zip.open(entry) as member:
            version = np.lib.format.read_magic(member)
            shape, _, dtype = _HEADERS[version](member)
            held = entry.file_size - member.tell()
        rows = shape[0] if shape else 1
        if not dtype.hasobject and (math.prod(shape) * dtype.itemsize != held or rows > entry.file_size):
            raise error(
                f"{named}: its header says {dtype} of shape {shape}, but it holds {held} bytes. The file is "
                "corrupt. Write it again."
            )
        array = file[key]
        if dtype.kind == "U" and array.size:
            codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
            if codes.max() > sys.maxunicode:
                raise error(f"{named} holds invalid characters. The file is corrupt. Write it again.")
        return array
