"""Answers to a whole folder of files, written as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit.answering import BATCH
from dlkit.data.read import read
from dlkit.data.reading import lines_of
from dlkit.data.table import Table
from dlkit.errors import DataError, DlkitError

if TYPE_CHECKING:
    from dlkit.task import Task


def answer_folder(task: Task, folder: Path, output: Path) -> None:
    """Writes what a task answers to every file of a folder, with a bar of progress on a terminal's stderr.

    Files that cannot be read are left out, and named at the end.

    Args:
        output: a new file or folder; which of them, and its form, the task says.

    Raises:
        DlkitError: the output exists or cannot be written, the folder cannot be read, or none of its files.
    """
    if len(task.inputs) != 1:
        raise DlkitError(f"a folder of files fits tasks of one input. {task.task_name()} has {len(task.inputs)}.")
    if output.exists():
        raise DlkitError(f"{output} exists already. Remove it, or give --output another name.")
    table = read(str(folder), task.inputs)
    for remark in table.remarks:
        print(f"{table.source}: {remark}", file=sys.stderr)
    broken: list[str] = []
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        task.answer_writer(_answers(task, table, broken), folder, output)
    except OSError as error:
        raise DlkitError(f"cannot write {output}: {error.strerror or error}. Choose another place.") from error
    if len(broken) == len(table):
        raise DataError(f"none of the {len(table)} files of {folder} could be answered. The first: {broken[0]}")
    if broken:
        print(lines_of(broken, len(table), "files"), file=sys.stderr)
    print(f"{len(table) - len(broken)} answers: {output}")


def _answers(task: Task, table: Table, broken: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each file with its answer, in order; what is broken goes to the list."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    starts = range(0, len(table), BATCH)
    for start in track(starts, "answering", console=console, disable=not console.is_terminal, transient=True):
        rows = list(range(start, min(start + BATCH, len(table))))
        try:
            yield from _named(task, table, rows)
        except DataError:  # which ones it was shows only one by one
            for row in rows:
                try:
                    yield from _named(task, table, [row])
                except DataError as error:
                    broken.append(str(error))


def _named(task: Task, table: Table, rows: list[int]) -> list[tuple[str, dict[str, Any]]]:
    answers = task.present_all(task.answers(table.take(rows)))
    return [(table.where(row), answer) for row, answer in zip(rows, answers, strict=True)]
