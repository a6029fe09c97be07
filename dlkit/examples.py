"""Example inputs of an export: saved training rows, rows of the built-in sample data, or synthetic ones."""

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
SAVED, SAMPLE, SYNTHETIC = "saved", "sample", "synthetic"  # what an export's examples may be, beside data of one's own


def readable_inputs(task: Any, table: Table, count: int = EXAMPLE_COUNT) -> list[dict[str, Any]]:
    """Return the raw inputs of the first rows that can be preprocessed.

    Args:
        task: its stages are built.
        table: rows of its inputs, at least.
        count: how many, at most.
    """
    inputs: list[dict[str, Any]] = []
    preprocess = trace_function(chain(task.stages_.preprocess), tensor_specs(task.inputs))
    for index in range(len(table)):
        if len(inputs) == count:
            break
        try:
            raw = table.raw(index, task.inputs)
            tensors = preprocess(to_batch([raw], task.inputs))
        except (DataError, tf.errors.InvalidArgumentError):
            continue  # encoding counts and names it
        if ERROR in tensors and tensors[ERROR][0].numpy():
            continue
        inputs.append(raw)
    return inputs


def to_requests(task: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Convert raw inputs to REST requests."""
    return [{name: column.to_request(raw[name]) for name, column in task.inputs.items()} for raw in rows]


def load_examples(task: Any, examples: Any) -> tuple[list[dict[str, Any]], str]:
    """Load the example inputs of an export.

    Returns:
        The raw inputs, and a short description of what they are.

    Args:
        task: fitted.
        examples: "saved" for the rows that are saved with the model, or generated ones if there are none; "synthetic"
            for generated rows; "sample" for the built-in sample data; or a source of rows, as `Task.fit` takes it, with
            or without targets.

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
        return synthetic_rows(task), "synthetic inputs"
    sample = isinstance(examples, str) and examples == SAMPLE
    rows = readable_inputs(task, _read_inputs(task, task.samples()["test"] if sample else examples))
    description = "the task's built-in sample" if sample else f"rows of {name_of(examples)}"
    if not rows:
        raise ExportError(
            f"The model cannot read any of {description}: they differ from its training data. Give a file with a "
            f'few rows that it can read ({option("examples", "rows.csv")}), or "synthetic" for generated inputs.'
        )
    return rows, description


def _read_inputs(task: Any, source: Any) -> Table:
    """Read rows as requests bring them, from a source with or without targets."""
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
    """Generate raw inputs that belong to no data. Raises ExportError if the task can read none of them."""
    tensors = task.rows.synthetic(task, EXAMPLE_COUNT)
    columns = {name: [row[name] for row in tensors] for name in task.inputs}
    rows = readable_inputs(task, Table("synthetic inputs", columns, "synthetic input {}".format))
    if not rows:
        raise ExportError(
            "No synthetic inputs could be generated that the model can read. Give a file with a few rows: "
            f"{option('examples', 'rows.csv')}."
        )
    return rows
