"""Digests that identify a source and a fitted model, and the number of rows of a source."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.data.bytes import existing_file, file_type
from dlkit.data.parquet import open_parquet
from dlkit.data.record_chunks import Chunk
from dlkit.data.remote import is_remote
from dlkit.prediction_inputs import source_names

if TYPE_CHECKING:
    from dlkit.task import Task


def existing_folder(data: Any) -> Path | None:
    """Return the folder that a source names, or None if it names no folder."""
    if not isinstance(data, (str, os.PathLike)):
        return None
    path = Path(data).expanduser()
    try:
        return path if path.is_dir() else None
    except (OSError, ValueError):
        return None


def digest_data(data: Any, chunks: Iterable[Chunk]) -> str:
    """Compute a digest of a source: of the content of files, and of the names, sizes and times of files in folders."""
    digest = hashlib.blake2b(digest_size=16)
    names = source_names(data)
    if names is None:
        for chunk in chunks:
            for name, values in {**chunk.table.columns, **chunk.kept}.items():
                digest.update(name.encode())
                for value in values:
                    digest.update(_bytes_of(value))
        return digest.hexdigest()
    for name in names:
        digest.update(os.fsencode(name) if is_remote(name) or not existing_file(name) else b"file")
        if file := existing_file(name):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).digest())
        elif folder := existing_folder(name):
            for path in sorted(folder.rglob("*")):
                stat = path.stat()
                if path.is_file():
                    digest.update(
                        f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors="replace")
                    )
    return digest.hexdigest()


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        return f"{array.shape}{array.dtype}".encode() + (
            array.tobytes() if array.dtype != object else repr(value).encode()
        )
    return value.encode(errors="replace") if isinstance(value, str) else repr(value).encode(errors="replace")


def digest_model(task: Task) -> str:
    """Compute a digest of a fitted model: its hyperparameters, what it has learned, and its weights."""
    task._check_fitted()
    learned = {name: value for name, value in vars(task).items() if name.endswith("_") and name != "stages_"}
    description = {"task": task.task_name(), "hparams": task.hparams, "learned": {**learned, "last_evaluation_": None}}
    digest = hashlib.blake2b(json.dumps(description, sort_keys=True, default=repr).encode(), digest_size=16)
    for stage in task.stages_.serving_models():
        for weight in stage.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()


def count_rows(data: Any) -> int | None:
    """Count the rows of a source for the progress bar, without parsing it.

    Lines of a text table are counted, of which there may be more than rows. None if the number is unknown.
    """
    names = source_names(data)
    if names is None:
        return None
    counts = []
    for name in names:
        file, folder = existing_file(name), existing_folder(name)
        if folder:
            counts.append(sum(path.is_file() for path in folder.rglob("*")))
        elif file and file_type(file) == ".parquet":
            with open_parquet(file, str(name)) as opened:
                counts.append(opened.metadata.num_rows)
        elif file and file_type(file) in (".csv", ".tsv", ".jsonl") and file.suffix != ".gz":
            with file.open("rb") as lines:
                counts.append(sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b"")))
        else:
            return None
    return sum(counts)
