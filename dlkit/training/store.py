"""Encoded rows with random access, in memory or, if they are large, on disk."""

from __future__ import annotations

import errno
import functools
import hashlib
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.errors import DataError
from dlkit.lazy import tf


class Store:
    """Rows of fixed shape, written once in order and then read by row number.

    If they need more than `memory_mb`, they go to files in the system's temporary folder (`TMPDIR`), which are removed
    with the store. They are memory-mapped for each batch, so that the process keeps none of them in memory.

    Args:
        rows: maximum number of rows that will be appended.
        memory_mb: maximum memory to use, in MB.
    """

    def __init__(self, rows: int, memory_mb: int):
        self.rows = 0
        self.source_rows: list[int] = []
        self._weights: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._capacity = rows
        self._memory = memory_mb * 1_000_000
        self._structure: Any = None
        self._arrays: list[np.ndarray] = []
        self._folder: tempfile.TemporaryDirectory | None = None
        self._paths: list[Path] = []
        self._hash = hashlib.sha256()

    @property
    def on_disk(self) -> bool:
        """Whether the rows are stored in files."""
        return self._folder is not None

    @property
    def weights(self) -> np.ndarray | None:
        """(rows,) float32: the training weight of each row; None if all are equal."""
        return np.concatenate(self._weights).astype(np.float32) if self._weights else None

    @property
    def lengths(self) -> np.ndarray | None:
        """(rows,) int: the length of each row; None if lengths were not given."""
        return np.concatenate(self._lengths) if self._lengths else None

    def append(self, batch: Any, source_rows: Sequence[int] = (), weights: Any = None, lengths: Any = None) -> None:
        """Append rows: a nest of arrays with the batch dimension first, of the same shapes each time.

        Args:
            batch: the rows.
            source_rows: the row of the source that each row comes from, for messages.
            weights: (rows,) training weights.
            lengths: (rows,) lengths, for bucketing. Neither is part of the fingerprint.
        """
        self.source_rows.extend(source_rows)
        for kept, values in ((self._weights, weights), (self._lengths, lengths)):
            if values is not None:
                kept.append(np.asarray(values))
        arrays = [np.asarray(array) for array in tf.nest.flatten(batch)]
        if self._structure is None:
            self._start(batch, arrays)
        count = len(arrays[0])
        for number, array in enumerate(arrays):
            self._hash.update(np.ascontiguousarray(array).data)
            if self.on_disk:
                self._write(self._paths[number], array)
            else:
                self._arrays[number][self.rows : self.rows + count] = array
        self.rows += count

    def fingerprint(self) -> str:
        """Return the SHA-256 of all rows in their order: equal for the same rows, encoded in the same way."""
        return self._hash.hexdigest()

    def read(self, indices: np.ndarray) -> list[np.ndarray]:
        """Read rows by number, as a flat list of arrays."""
        if not self.on_disk:
            return [array[indices] for array in self._arrays]
        return [
            np.memmap(path, dtype=dtype, mode="r", shape=(self.rows, *shape))[indices]
            for path, (dtype, shape) in zip(self._paths, self._kinds, strict=True)
        ]

    def take(self, indices: tf.Tensor) -> Any:
        """Read rows by number inside a `tf.data` function, in the nest that was appended.

        The function must keep the store alive. The operation does not, because TensorFlow never releases what it calls.
        """
        types = [tf.as_dtype(dtype) for dtype, _ in self._kinds]
        flat = tf.numpy_function(functools.partial(_read, weakref.ref(self)), [indices], types, stateful=False)
        for tensor, (_, shape) in zip(flat, self._kinds, strict=True):
            tensor.set_shape((indices.shape[0], *shape))
        return tf.nest.pack_sequence_as(self._structure, flat)

    def all(self) -> Any:
        """Read all rows, in the nest that was appended, as arrays."""
        return self.rows_at(np.arange(self.rows))

    def rows_at(self, indices: np.ndarray) -> Any:
        """Read rows by number, in the nest that was appended, as arrays."""
        return tf.nest.pack_sequence_as(self._structure, self.read(indices))

    def has(self, name: str) -> bool:
        """Return whether the first element of the nest that was appended is a dict with this key."""
        return isinstance(self._structure[0], dict) and name in self._structure[0]

    def every(self, pick: Callable[[Any], Any]) -> np.ndarray:
        """Read one array of all rows, and no other from disk: `pick` selects it from the nest that was appended."""
        number = pick(tf.nest.pack_sequence_as(self._structure, list(range(len(self._kinds)))))
        if not self.on_disk:
            return self._arrays[number][: self.rows]
        dtype, shape = self._kinds[number]
        return np.fromfile(self._paths[number], dtype).reshape(self.rows, *shape)

    def _start(self, batch: Any, arrays: Sequence[np.ndarray]) -> None:
        self._structure = tf.nest.map_structure(lambda _: None, batch)
        self._kinds = [(array.dtype, array.shape[1:]) for array in arrays]
        row_bytes = sum(array[0].nbytes for array in arrays)
        if self._capacity * row_bytes > self._memory:
            self._folder = tempfile.TemporaryDirectory(prefix="dlkit-rows-")
            self._paths = [Path(self._folder.name) / str(number) for number in range(len(arrays))]
        else:
            self._arrays = [np.empty((self._capacity, *array.shape[1:]), array.dtype) for array in arrays]

    def _write(self, path: Path, array: np.ndarray) -> None:
        try:
            with path.open("ab") as file:
                file.write(np.ascontiguousarray(array).data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            needed = self._capacity * sum(np.dtype(d).itemsize * int(np.prod(s)) for d, s in self._kinds)
            raise DataError(
                f"the disk of {path.parent} is full: the preprocessed data needs {needed / 1e9:.1f} GB. Free some "
                "space, or set TMPDIR to a folder on a larger disk."
            ) from error


def _read(store: weakref.ref[Store], indices: np.ndarray) -> list[np.ndarray]:
    alive = store()
    if alive is None:
        raise RuntimeError("the cached rows no longer exist")
    return alive.read(indices)
