"""Answers drawn, a picture for each input."""

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
    """The files of a folder that a task answers. Raises DlkitError where it answers no files, DataError for none."""
    if len(task.inputs) != 1:
        raise DlkitError(f"a folder of files fits tasks of one input. {task.task_name()} has {len(task.inputs)}.")
    (files,) = read(str(folder), task.inputs).columns.values()
    if not all(isinstance(file, Path) for file in files):
        raise DlkitError(f"the files of {folder} are not images, which --draw needs.")
    return files


def check_drawing(task: Task, folder: Path) -> None:
    """Raises DlkitError where a task draws no answers, or the folder for them holds anything or cannot be written."""
    if type(task).picture is Task.picture:
        raise DlkitError(f"the task {task.task_name()} has no plot of predictions. Leave out --draw to print them.")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise DlkitError(
            f"{folder} is not empty, and --draw overwrites nothing. Empty it, or give --draw another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


def draw_predictions(task: Task, inputs: Sequence[Any], folder: Path) -> None:
    """Writes a picture of each input with its answer: NAME.png for NAME.jpg, else 1.png, 2.png, ...

    Inputs that cannot be answered are left out and named.

    Args:
        task: which draws answers.
        inputs: as `predict` takes them.
        folder: that `check_drawing` has seen.

    Raises:
        DataError: none of the inputs could be answered.
    """
    broken: list[str] = []
    names: set[str] = set()
    for number, value in enumerate(inputs, start=1):
        try:
            figure = task.plot(value)
        except DataError as error:
            broken.append(str(error))
            continue
        save_figure(figure, folder / f"{_name(value, number, names)}.png")
    if len(broken) == len(inputs):
        raise DataError(f"there is no prediction for any of the {len(inputs)} inputs. The first: {broken[0]}")
    if broken:
        print(list_skipped(broken, len(inputs), "inputs"), file=sys.stderr)
    drawn = len(inputs) - len(broken)
    print(f"{drawn} {'picture' if drawn == 1 else 'pictures'}: {folder}")


def _name(value: Any, number: int, taken: set[str]) -> str:
    """What a picture is called, as no other of `taken`, to which it is added."""
    stem = Path(value).stem if isinstance(value, (str, Path)) else ""
    name = stem if stem and len(stem) < 200 and not re.search(r'[\x00-\x1f<>:"/\\|?*]', stem) else str(number)
    name = name if name not in taken else f"{name}-{number}"
    taken.add(name)
    return name
