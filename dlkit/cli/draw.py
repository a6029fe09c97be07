"""Plots of predictions, one image file per input."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlkit.data.read import read
from dlkit.data.read_options import list_skipped
from dlkit.errors import DataError, DlkitError, write_error
from dlkit.plots import save_figure
from dlkit.task import Task


def folder_inputs(task: Task, folder: Path) -> list[Path]:
    """Return the image files of a folder. Raises DlkitError if the task takes no files, DataError if there are none."""
    if len(task.inputs) != 1:
        raise DlkitError(f"a folder is only read for tasks with one input. {task.task_name()} has {len(task.inputs)}.")
    (files,) = read(str(folder), task.inputs).columns.values()
    if not all(isinstance(file, Path) for file in files):
        raise DlkitError(f"--draw needs images for a folder. The files in {folder} are not images.")
    return files


def check_drawing(task: Task, folder: Path) -> None:
    """Raise DlkitError if the task has no plot, or if the folder is not empty or cannot be written."""
    if type(task).picture is Task.picture:
        raise DlkitError(f"the task {task.task_name()} has no plot of predictions. Leave out --draw to print them.")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise DlkitError(
            f"{folder} is not empty, and --draw overwrites no files. Empty it, or give --draw another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def draw_predictions(task: Task, inputs: Sequence[Any], folder: Path) -> None:
    """Write a plot of each prediction: NAME.png for NAME.jpg, otherwise 1.png, 2.png, ...

    Invalid inputs are skipped and named.

    Args:
        task: a task with a plot.
        inputs: as `predict` takes them.
        folder: an empty folder; see `check_drawing`.

    Raises:
        DataError: all inputs are invalid.
    """
    failures: list[str] = []
    names: set[str] = set()
    for number, value in enumerate(inputs, start=1):
        try:
            figure = task.plot(value)
        except DataError as error:
            failures.append(str(error))
            continue
        save_figure(figure, folder / f"{_name(value, number, names)}.png")
    if len(failures) == len(inputs):
        raise DataError(f"there is no prediction for any of the {len(inputs)} inputs. The first: {failures[0]}")
    if failures:
        print(list_skipped(failures, len(inputs), "inputs"), file=sys.stderr)
    count = len(inputs) - len(failures)
    print(f"{count} {'plot' if count == 1 else 'plots'}: {folder}")


def _name(value: Any, number: int, names_taken: set[str]) -> str:
    """Return a file name for a plot that is not in `names_taken`, and add it there."""
    stem = Path(value).stem if isinstance(value, (str, Path)) else ""
    name = stem if stem and len(stem) < 200 and not re.search(r'[\x00-\x1f<>:"/\\|?*]', stem) else str(number)
    name = name if name not in names_taken else f"{name}-{number}"
    names_taken.add(name)
    return name
