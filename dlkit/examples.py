"""The inputs that an export shows and is proven by: real rows, those of the built-in sample, or made-up ones."""

from __future__ import annotations

from typing import Any

from dlkit.columns import tensor_specs, to_batch
from dlkit.data.table import Table
from dlkit.errors import DataError, ExportError
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.plain import name_of
from dlkit.rows import ERROR
from dlkit.stages import chain
from dlkit.tracing import trace_function

EXAMPLE_COUNT = 8  # inputs of an export; so many rows are kept with a model
SAVED, SAMPLE, SYNTHETIC = "kept", "sample", "none"  # what an export's examples may be, beside data of one's own


def readable_inputs(task: Any, table: Table, count: int = EXAMPLE_COUNT) -> list[dict[str, Any]]:
    """The raw inputs of the first rows that can be preprocessed.

    Args:
        task: its stages are built.
        table: rows of its inputs, at least.
        count: how many, at most.
    """
    found: list[dict[str, Any]] = []
    preprocess = trace_function(chain(task.stages_.preprocess), tensor_specs(task.inputs))
    for index in range(len(table)):
        if len(found) == count:
            break
        try:
            raw = table.raw(index, task.inputs)
            made = preprocess(to_batch([raw], task.inputs))
        except (DataError, tf.errors.InvalidArgumentError):
            continue  # encoding counts and names it
        if ERROR in made and made[ERROR][0].numpy():
            continue
        found.append(raw)
    return found


def to_requests(task: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raw inputs in the form of REST requests."""
    return [{name: column.to_request(raw[name]) for name, column in task.inputs.items()} for raw in rows]


def load_examples(task: Any, examples: Any) -> tuple[list[dict[str, Any]], str]:
    """Raw inputs for an export, and what they are, in a few words.

    Args:
        task: fitted.
        examples: "kept" for the rows that the model keeps, made-up ones where it keeps none; "none" for made-up ones;
            "sample" for the task's built-in sample; else a source of rows, as `Task.fit` takes it, with or without
            targets.

    Raises:
        ExportError: the task can read none of them.
        DataError: the source cannot be read.
    """
    if isinstance(examples, str) and examples == SAVED and task.examples_:
        rows = [
            {name: column.from_request(row[name]) for name, column in task.inputs.items()} for row in task.examples_
        ]
        return rows, "rows of the training data"
    if isinstance(examples, str) and examples in (SAVED, SYNTHETIC):
        return synthetic_rows(task), "made up"
    sample = isinstance(examples, str) and examples == SAMPLE
    rows = readable_inputs(task, _rows_of(task, task.samples()["test"] if sample else examples))
    told = "the task's built-in sample" if sample else f"rows of {name_of(examples)}"
    if not rows:
        raise ExportError(
            f"The model cannot read any of {told}: they differ from its training data. Give a file with a few rows "
            f'that it can read ({option("examples", "rows.csv")}), or "none" for synthetic inputs.'
        )
    return rows, told


def _rows_of(task: Any, source: Any) -> Table:
    """Rows as requests bring them, of a source with the inputs alone, or with the targets too."""
    from dlkit.data.read import read_table
    from dlkit.data.read_options import ReadOptions

    try:
        return task.read(source).requests()
    except DataError as labeled:
        try:
            return read_table(source, task.inputs, ReadOptions())
        except DataError:
            raise labeled from None


def synthetic_rows(task: Any) -> list[dict[str, Any]]:
    """Raw inputs that are no rows of any data. Raises ExportError where the task can read none of them."""
    made = task.rows.synthetic(task, EXAMPLE_COUNT)
    columns = {name: [row[name] for row in made] for name in task.inputs}
    rows = readable_inputs(task, Table("synthetic inputs", columns, "synthetic input {}".format))
    if not rows:
        raise ExportError(
            "No synthetic inputs could be generated that the model can read. Give a file with a few rows: "
            f"{option('examples', 'rows.csv')}."
        )
    return rows
