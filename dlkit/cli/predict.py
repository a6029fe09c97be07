"""What `dlkit predict` is given, answered on the terminal or into a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkit.cli.flags import read_options
from dlkit.data.read_options import ReadOptions, list_skipped
from dlkit.data.table import Table
from dlkit.errors import DlkitError
from dlkit.prediction_inputs import FILE, VALUE, classify_text, prediction_inputs

if TYPE_CHECKING:
    from dlkit.task import Task


def predict_to_file(task: Task, inputs: list[Any], words: bool, given: argparse.Namespace) -> None:
    """Answers a source into a file, and prints how many rows it has.

    Args:
        task: fitted.
        inputs: the arguments, or the lines of standard input; none for the rows that the task holds itself.
        words: whether they are values as they stand.
        given: the flags.

    Raises:
        DlkitError: as of `Task.predict_to`; or `--explain` and `--json` were given, which print.
    """
    if given.explain or given.json:
        raise DlkitError("--explain and --json apply to printed predictions: leave out either them or --output.")
    keep = [name.strip() for name in given.keep.split(",") if name.strip()]
    data = inputs if words or len(inputs) > 1 else inputs[0] if inputs else None
    if words:
        data = [value if isinstance(value, dict) else {next(iter(task.inputs)): value} for value in inputs]
    elif isinstance(data, str) and classify_text(data, task.inputs) == VALUE:
        raise DlkitError(f"--output needs data: a table, a folder or several files. Received the text {data[:60]!r}.")
    told = task.predict_to(data, given.output, keep=keep, overwrite=given.overwrite, **read_options(given))
    if told["bad"]:
        files = "files" if isinstance(data, str) and Path(data).expanduser().is_dir() else "rows"
        print(_lines(told["reasons"], told["bad"], told["rows"], files), file=sys.stderr)
        if told["bad_output"]:
            print(f"all of them: {told['bad_output']}", file=sys.stderr)
    print(f"{told['answered']} predictions: {told['output']}")


def predict_inputs(
    task: Task, inputs: Sequence[Any], words: bool, explain: Callable[[Any], dict] | None, options: dict[str, Any]
) -> Iterator[tuple[Any, dict[str, Any], list[dict[str, Any]]]]:
    """What to call each input, its answer, and the rows that this is in a table; all are read before the first is
    answered.

    Args:
        task: fitted.
        inputs: the arguments, or the lines of standard input; none for the rows that the task holds itself.
        words: whether they are values as they stand.
        explain: gives an answer with its reasons in place of the answer.
        options: how data are read.
    """
    if words:
        tables = [prediction_inputs(task, list(inputs), ReadOptions()).table] if inputs else []
        names = [list(inputs)]
    else:
        tables, names = [], []
        for text in inputs or [None]:
            given = prediction_inputs(task, text, ReadOptions(options["columns"], **_without(options)))
            if given.bad:
                print(list_skipped(given.bad, len(given.table) + len(given.bad), "files"), file=sys.stderr)
            if text and classify_text(text, task.inputs) == FILE and Path(text).suffix == "" and "/" not in text:
                print(
                    f"{text} is a file: its content is the input. Use --text to predict for the text itself.",
                    file=sys.stderr,
                )
            tables.append(given.table)
            names.append([text] if given.single else [_name(given.table, row) for row in range(len(given.table))])
    for table, shown in zip(tables, names, strict=True):
        if explain is not None:
            values = [table.raw(row, task.inputs) for row in range(len(table))]
            answers = [explain(next(iter(value.values())).decode()) for value in values]
        else:
            answers = task.present_rows(task.predict_table(table))
        rows = task.rows(task, table)
        for row, (name, answer) in enumerate(zip(shown, answers, strict=True)):
            yield name, answer, rows.answer_rows(row, answer)


def _without(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "columns"}


def _name(table: Table, row: int) -> Any:
    """What to call a row of data: its value where that is a text or a file, else its place."""
    values = [values[row] for values in table.columns.values()]
    if len(values) == 1 and isinstance(values[0], (str, Path)):
        return str(values[0])
    return table.where(row)


def _lines(reasons: Sequence[str], bad: int, rows: int, kind: str) -> str:
    more = f"\n  and {bad - len(reasons)} more" if bad > len(reasons) else ""
    left = "skipped" if kind == "files" else "have no prediction"
    return f"{bad} of {rows} {kind} {left}:\n  " + "\n  ".join(reasons) + more
