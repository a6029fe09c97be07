"""What tells one source and one fitted model from another, and how many rows a source has."""

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
    """The folder that a source names; None for another."""
    if not isinstance(data, (str, os.PathLike)):
        return None
    path = Path(data).expanduser()
    try:
        return path if path.is_dir() else None
    except (OSError, ValueError):
        return None


def digest_data(data: Any, parts: Iterable[Chunk]) -> str:
    """Tells one source from another: files by what they hold, those of folders by name, size and time."""
    digest = hashlib.blake2b(digest_size=16)
    names = source_names(data)
    if names is None:
        for part in parts:
            for name, values in {**part.table.columns, **part.kept}.items():
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
                facts = path.stat()
                if path.is_file():
                    digest.update(
                        f"{path.relative_to(folder)} {facts.st_size} {facts.st_mtime_ns}\n".encode(errors="replace")
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
    """Tells one fitted model from another: what it was told, what it learned, and its weights."""
    task._check_fitted()
    learned = {name: value for name, value in vars(task).items() if name.endswith("_") and name != "stages_"}
    told = {"task": task.task_name(), "hparams": task.hparams, "learned": {**learned, "last_evaluation_": None}}
    digest = hashlib.blake2b(json.dumps(told, sort_keys=True, default=repr).encode(), digest_size=16)
    for stage in task.stages_.serving_models():
        for weight in stage.weights:
            digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()


def count_rows(data: Any) -> int | None:
    """How many rows a source has, for the bar, where that shows without reading it: lines of a text table may be fewer
    rows."""
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
