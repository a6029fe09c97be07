"""Implementation of `dlkit generate`: generated files, such as images, by seed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit.errors import DlkitError, HparamError, write_error
from dlkit.options import option

if TYPE_CHECKING:
    from dlkit.task import Task

SEED, LABEL = "seed", "label"  # inputs of tasks that generate


def add_generate_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("model", metavar="MODEL", help="Folder of a saved model.")
    parser.add_argument("--output", metavar="DIR", required=True, help="New or empty folder for the generated files.")
    parser.add_argument("--label", default="", help="A label of the training data; without it, of any kind.")
    parser.add_argument("--count", type=int, default=1, help="Number of files (default: 1).")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the first file; the others follow (default: 0).")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="Another input of all requests, such as steps=50. Can be repeated.",
    )


def generate_files(task: Task, folder: Path, count: int, seed: int, inputs: dict[str, Any]) -> list[Path]:
    """Write an answer for each of `count` seeds into a folder: `<seed>.png`.

    Args:
        task: fitted; its inputs have a seed and its answer is an encoded file.
        folder: new or empty.
        count: number of files.
        seed: the first one.
        inputs: other inputs of all requests, by name.

    Returns:
        The files.

    Raises:
        DlkitError: the task does not generate files, has no such input, or the folder cannot be written.
        DataError: an input is invalid.
    """
    from dlkit.columns import EncodedFile
    from dlkit.data.table import Table

    names = [name for name, column in task.answer.items() if isinstance(column, EncodedFile)]
    if SEED not in task.inputs or len(names) != 1:
        raise DlkitError(f"the task {task.task_name()} does not generate files from seeds. Use `dlkit predict`.")
    if count < 1:
        raise HparamError(f"{option('count')} must be at least 1. Received: {count}.")
    unknown = [name for name in inputs if name not in task.inputs]
    if unknown:
        raise DlkitError(f"the model has no input {unknown[0]!r}. It has: {', '.join(task.inputs)}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DlkitError(f"{folder} exists and is not an empty folder. Choose another one for {option('output')}.")
    seeds = range(seed, seed + count)
    columns = {SEED: [*seeds], **{name: [value] * count for name, value in inputs.items()}}
    answers = task.predict_table(Table("the requests", columns, lambda row: f"seed {seeds[row]}"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{number}.png" for number in seeds]
        for file, encoded in zip(files, answers[names[0]], strict=True):
            file.write_bytes(encoded)
    except OSError as error:
        raise write_error(folder, error) from error
    return files
