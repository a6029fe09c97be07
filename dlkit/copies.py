"""Copies of a task for `pickle`, `copy` and scikit-learn: its hyperparameters and, if fitted, its saved model."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlkit import model_folder


def reduce_task(task: Any) -> tuple[Any, ...]:
    """Return a task in the form of `object.__reduce__`: a function and the arguments to rebuild it.

    A fitted one carries the bytes of what `save` writes, so that a pickle is as good as a saved model, and as large.
    """
    return _rebuild, (type(task), task.hparams, task._given_hparams, _pack(task) if hasattr(task, "stages_") else None)


def clone_unfitted(task: Any) -> Any:
    """Return an unfitted task with the same hyperparameters."""
    return _rebuild(type(task), task.hparams, task._given_hparams, None)


def with_hparams(task: Any, hparams: Mapping[str, Any]) -> Any:
    """Return an unfitted task with other hyperparameters.

    Hyperparameters that were not set explicitly get the defaults that fit the new ones, such as those of a preset.

    Raises:
        HparamError: an option is unknown, has the wrong type or is out of range.
    """
    chosen = {name: value for name, value in task.hparams.items() if name in task._given_hparams}
    defaults = type(task)(**chosen).hparams
    assigned = {name: value for name, value in task.hparams.items() if value != defaults[name]}
    return type(task)(**{**chosen, **assigned, **hparams})


def _rebuild(task_class: Any, hparams: dict[str, Any], given_names: frozenset[str], model: bytes | None) -> Any:
    task = task_class(**hparams) if model is None else _unpack(task_class, model)
    task._given_hparams = given_names
    return task


def _pack(task: Any) -> bytes:
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as name, zipfile.ZipFile(packed, "w") as archive:  # what is in it is packed
        folder = Path(name)
        model_folder.write_model(task, folder)
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def _unpack(task_class: Any, model: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(model)) as archive:
        archive.extractall(folder)
        return task_class.load(folder)
