"""Copies of a task, for `pickle`, `copy` and scikit-learn: by its hyperparameters and, once fitted, its saved model."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlkit import model_folder


def reduce_task(task: Any) -> tuple[Any, ...]:
    """Give a task in the form of `object.__reduce__`: how to make it again, and of what.

    A fitted one carries the bytes of what `save` writes, so that a pickle is as good as a saved model, and as large.
    """
    return _rebuild, (type(task), task.hparams, task._given_hparams, _pack(task) if hasattr(task, "stages_") else None)


def clone_unfitted(task: Any) -> Any:
    """Give a task with the same hyperparameters that has learned nothing."""
    return _rebuild(type(task), task.hparams, task._given_hparams, None)


def with_hparams(task: Any, hparams: Mapping[str, Any]) -> Any:
    """Give an unfitted task with other hyperparameters.

    Those that nobody has chosen get the default that goes with the new ones, as a preset has its own.

    Raises:
        HparamError: one is misspelled, of the wrong type or out of its range.
    """
    given = {name: value for name, value in task.hparams.items() if name in task._given_hparams}
    usual = type(task)(**given).hparams
    assigned = {name: value for name, value in task.hparams.items() if value != usual[name]}
    return type(task)(**{**given, **assigned, **hparams})


def _rebuild(kind: Any, hparams: dict[str, Any], given: frozenset[str], model: bytes | None) -> Any:
    task = kind(**hparams) if model is None else _unpack(kind, model)
    task._given_hparams = given
    return task


def _pack(task: Any) -> bytes:
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(packed, "w") as archive:  # what is in it is packed
        folder = Path(name)
        model_folder.write_model(task, folder)
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def _unpack(kind: Any, model: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(model)) as archive:
        archive.extractall(folder)
        return kind.load(folder)
