"""What can be refused before TensorFlow is imported, which takes seconds: names of files and folders."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from dlkit.cli.config import InMemorySource
from dlkit.errors import DlkitError
from dlkit.options import option
from dlkit.run_length import check_length

if TYPE_CHECKING:
    from dlkit.task import Task

_WORDS = ("kept", "sample", "none")  # of --examples, which are no files
_PRESET = "preset:"


def check_early(given: argparse.Namespace, task: Task | None = None) -> None:
    """Raises DlkitError for what the flags name and is not there, and for a folder that cannot be written.

    Args:
        given: parsed flags.
        task: the task that is to be trained, whose hyperparameters may name files.
    """
    from dlkit.data.read import refuse_missing
    from dlkit.model_folder import read_index

    if task is not None:
        check_length(task.epochs, getattr(given, "minutes", 0), getattr(given, "steps", 0))
    if getattr(given, "model", None):
        read_index(Path(given.model))
    sources = [getattr(given, name, None) for name in ("data", "validation", "test")]
    examples = getattr(given, "examples", None)
    for source in [*sources, None if examples in _WORDS else examples]:
        if isinstance(source, InMemorySource):
            raise DlkitError(source)
        if source is not None:
            refuse_missing(source)
    for name, file in _files(task).items() if task else ():
        if not Path(file).expanduser().exists():
            raise DlkitError(f"{option(name)}: there is no {file!r}: looked at {Path(file).expanduser().absolute()}.")
    if getattr(given, "save", None) and "TF_CONFIG" not in os.environ:  # of several workers the first alone writes
        _refuse_folder(Path(given.save), given)


def _files(task: Task) -> dict[str, str]:
    """The files and folders on this machine that a task's hyperparameters name, by the hyperparameter."""
    named = {field.name: getattr(task, field.name) for field in dataclasses.fields(task) if field.metadata["file"]}
    network = str(getattr(task, "network", ""))
    folder = network.removeprefix(_PRESET)
    if network.startswith(_PRESET) and folder.startswith((".", "/", "~")):
        named["network"] = folder
    return {name: file for name, file in named.items() if file and "://" not in file}


def _refuse_folder(folder: Path, given: argparse.Namespace) -> None:
    """Leaves nothing behind: the folder is made to see that it can be, and removed."""
    from dlkit.model_folder import holds_model, lock_for_writing, refuse_to_replace

    if given.resume is True and not holds_model(folder):
        return  # said when the options of the run are read
    with lock_for_writing(folder):
        if not given.resume and not given.overwrite:
            refuse_to_replace(folder)
