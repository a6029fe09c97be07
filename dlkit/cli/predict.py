"""Implementation of `dlkit predict`: predictions on the terminal or in a file."""

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


def predict_to_file(task: Task, inputs: list[Any], as_text: bool, args: argparse.Namespace) -> None:
    """Write predictions for a source to a file, and print their number.

    Args:
        task: fitted.
        inputs: the arguments, or the lines of standard input; none for the rows that the task holds itself.
        as_text: whether they are values as they stand.
        args: the flags.

    Raises:
        DlkitError: as of `Task.predict_to`; or `--explain` and `--json` were given, which print.
    """
    if args.explain or args.json:
        raise DlkitError("--explain and --json apply to printed predictions: leave out either them or --output.")
    kept = [name.strip() for name in args.keep_columns.split(",") if name.strip()]
    data = inputs if as_text or len(inputs) > 1 else inputs[0] if inputs else None
    if as_text:
        data = [value if isinstance(value, dict) else {next(iter(task.inputs)): value} for value in inputs]
    elif isinstance(data, str) and classify_text(data, task.inputs) == VALUE:
        raise DlkitError(f"--output needs data: a table, a folder or several files. Received the text {data[:60]!r}.")
    summary = task.predict_to(data, args.output, keep_columns=kept, overwrite=args.overwrite, **read_options(args))
    if summary["bad"]:
        kind_of_input = "files" if isinstance(data, str) and Path(data).expanduser().is_dir() else "rows"
        print(_bad_rows_text(summary["reasons"], summary["bad"], summary["rows"], kind_of_input), file=sys.stderr)
        if summary["bad_output"]:
            print(f"all of them: {summary['bad_output']}", file=sys.stderr)
    print(f"{summary['predicted']} predictions: {summary['output']}")


def predict_inputs(
    task: Task, inputs: Sequence[Any], as_text: bool, explain: Callable[[Any], dict] | None, options: dict[str, Any]
) -> Iterator[tuple[Any, dict[str, Any], list[dict[str, Any]]]]:
    """Yield the name of each input, its prediction, and the rows of the prediction as a table.

    All inputs are read before the first prediction.

    Args:
        task: fitted.
        inputs: the arguments, or the lines of standard input; none for the rows that the task holds itself.
        as_text: whether they are values as they stand.
        explain: gives an answer with its reasons in place of the answer.
        options: how data are read.
    """
    if as_text:
        tables = [prediction_inputs(task, list(inputs), ReadOptions()).table] if inputs else []
        names = [list(inputs)]
    else:
        tables, names = [], []
        for text in inputs or [None]:
            args = prediction_inputs(task, text, ReadOptions(options["columns"], **_without_columns(options)))
            if args.bad:
                print(list_skipped(args.bad, len(args.table) + len(args.bad), "files"), file=sys.stderr)
            for remark in args.table.remarks:
                print(remark, file=sys.stderr)
            if text and classify_text(text, task.inputs) == FILE and Path(text).suffix == "" and "/" not in text:
                print(
                    f"{text} is a file: its content is the input. Use --text to predict for the text itself.",
                    file=sys.stderr,
                )
            tables.append(args.table)
            names.append([text] if args.single else [_name(args.table, row) for row in range(len(args.table))])
    for table, input_names in zip(tables, names, strict=True):
        if explain is not None:
            values = [table.raw(row, task.inputs) for row in range(len(table))]
            answers = [explain(next(iter(value.values())).decode()) for value in values]
        else:
            answers = task.present_rows(task.predict_table(table))
        rows = task.rows(task, table)
        for row, (name, answer) in enumerate(zip(input_names, answers, strict=True)):
            yield name, answer, rows.answer_rows(row, answer)


def _without_columns(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "columns"}


def _name(table: Table, row: int) -> Any:
    """Return the name of a row of data: its value if that is a text or a file, otherwise its location."""
    values = [values[row] for values in table.columns.values()]
    if len(values) == 1 and isinstance(values[0], (str, Path)):
        return str(values[0])
    return table.where(row)


def _bad_rows_text(reasons: Sequence[str], bad: int, rows: int, kind: str) -> str:
    """Describe the rows without a prediction."""
    more = f"\n  and {bad - len(reasons)} more" if bad > len(reasons) else ""
    state = "skipped" if kind == "files" else "have no prediction"
    return f"{bad} of {rows} {kind} {state}:\n  " + "\n  ".join(reasons) + more
