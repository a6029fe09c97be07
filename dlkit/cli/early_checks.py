"""Checks of the names of files and folders before TensorFlow is imported, which takes seconds."""

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

_EXAMPLE_VALUES = ("saved", "sample", "synthetic")  # of --examples, which are no files
_PRESET = "preset:"


def check_early(args: argparse.Namespace, task: Task | None = None) -> None:
    """Raise DlkitError for files that flags name and that do not exist, and for folders that cannot be written.

    Args:
        args: parsed flags.
        task: the task that is to be trained, whose hyperparameters may name files.
    """
    from dlkit.data.read import refuse_missing
    from dlkit.model_folder import read_index

    if task is not None:
        check_length(task.epochs, getattr(args, "minutes", 0), getattr(args, "steps", 0))
    if getattr(args, "model", None):
        read_index(Path(args.model))
    sources = [getattr(args, name, None) for name in ("data", "validation", "test")]
    examples = getattr(args, "examples", None)
    for source in [*sources, None if examples in _EXAMPLE_VALUES else examples]:
        if isinstance(source, InMemorySource):
            raise DlkitError(source)
        if source is not None:
            refuse_missing(source)
    for name, file in _files(task).items() if task else ():
        if not Path(file).expanduser().exists():
            raise DlkitError(f"{option(name)}: there is no {file!r}: looked at {Path(file).expanduser().absolute()}.")
    if getattr(args, "save", None) and "TF_CONFIG" not in os.environ:  # of several workers the first alone writes
        _refuse_folder(Path(args.save), args)


def _files(task: Task) -> dict[str, str]:
    """Return the local files and folders that a task's hyperparameters name, by hyperparameter."""
    paths = {field.name: getattr(task, field.name) for field in dataclasses.fields(task) if field.metadata["file"]}
    network = str(getattr(task, "network", ""))
    folder = network.removeprefix(_PRESET)
    if network.startswith(_PRESET) and folder.startswith((".", "/", "~")):
        paths["network"] = folder
    return {name: file for name, file in paths.items() if file and "://" not in file}


def _refuse_folder(folder: Path, args: argparse.Namespace) -> None:
    """Check that a folder can be written, by creating it and removing it again."""
    from dlkit.model_folder import holds_model, lock_for_writing, refuse_to_replace

    if args.resume is True and not holds_model(folder):
        return  # said when the options of the run are read
    with lock_for_writing(folder):
        if not args.resume and not args.overwrite:
            refuse_to_replace(folder)
