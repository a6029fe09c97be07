"""What can be refused before TensorFlow is imported, which takes seconds: names of files and folders."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from dlkit.cli.config import InMemory
from dlkit.errors import DlkitError

if TYPE_CHECKING:
    from dlkit.task import Task

_WORDS = ("kept", "sample", "none")  # of --examples, which are no files
_PRESET = "preset:"


def refuse_early(given: argparse.Namespace, task: Task | None = None) -> None:
    """Raises DlkitError for what the flags name and is not there, and for a folder that cannot be written.

    Args:
        given: parsed flags.
        task: the task that is to be trained, whose hyperparameters may name files.
    """
    from dlkit.data.read import refuse_missing
    from dlkit.model_folder import read_index

    if getattr(given, "model", None):
        read_index(Path(given.model))
    sources = [getattr(given, name, None) for name in ("data", "validation", "test")]
    examples = getattr(given, "examples", None)
    for source in [*sources, None if examples in _WORDS else examples, *(_files(task) if task else ())]:
        if isinstance(source, InMemory):
            raise DlkitError(source)
        if source is not None:
            refuse_missing(source)
    if getattr(given, "save", None) and "TF_CONFIG" not in os.environ:  # of several workers the first alone writes
        _refuse_folder(Path(given.save), given)


def _files(task: Task) -> list[str]:
    """The files and folders that a task's hyperparameters name."""
    fields = [field.name for field in dataclasses.fields(task) if field.metadata["file"]]
    network = str(getattr(task, "network", ""))
    folder = network.removeprefix(_PRESET)
    presets = [folder] if network.startswith(_PRESET) and folder.startswith((".", "/", "~")) else []
    return [*filter(None, (getattr(task, name) for name in fields)), *presets]


def _refuse_folder(folder: Path, given: argparse.Namespace) -> None:
    """Leaves nothing behind: the folder is made to see that it can be, and removed."""
    from dlkit.model_folder import holds_model, refuse_to_replace, writing

    if given.resume is True and not holds_model(folder):
        return  # said when the options of the run are read
    with writing(folder):
        if not given.resume and not given.overwrite:
            refuse_to_replace(folder)
