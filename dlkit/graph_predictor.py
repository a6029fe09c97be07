"""Prediction with the serving graph in Python, in batches of raw rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Column, to_batch
from dlkit.data.table import Table
from dlkit.errors import DataError, DlkitError
from dlkit.lazy import tf
from dlkit.rows import ERROR, Rows
from dlkit.version import install_hint

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature

BATCH_SIZE = 32
_TRACE_PREFIXES = ("Graph execution error", "Detected at node", "Detected unsupported", "Stack trace", 'File "', "[[")


class GraphPredictor:
    """Runs a signature of a fitted task, with the graph that `export` writes.

    Calling it costs little more than the graph itself; `keras.Model.predict` on one row costs about sixty times it.
    """

    def __init__(self, signature: Signature, inputs: Mapping[str, Column]):
        """Create a predictor; `inputs` are the columns of the inputs of the signature."""
        self.inputs = inputs
        self._graph = signature.graph

    def __call__(self, table: Table) -> dict[str, list]:
        """Predict for the rows of a table; returns the predictions by output column.

        Raises:
            DataError: a row is invalid; the message names it and says why.
        """
        collected: dict[str, list] = {name: [] for name in self._graph.structured_outputs}
        for start in range(0, len(table), BATCH_SIZE):
            stop = min(start + BATCH_SIZE, len(table))
            rows = [table.raw(index, self.inputs) for index in range(start, stop)]
            answers = self._batch(rows, table, start)
            for offset, reason in enumerate(answers.get(ERROR, ())):
                if reason:
                    raise DataError(f"{table.where(start + offset)}: {reason.decode()}")
            for name, values in answers.items():
                collected[name].extend(values)
        return collected

    def predict_batch(self, rows: list[dict[str, Any]]) -> tuple[dict[str, Sequence[Any]], dict[int, str]]:
        """Predict for the raw rows of a batch.

        Returns:
            The predictions for the valid rows, by output column, and the reasons for the others, by position.
        """
        try:
            answers = {name: tensor.numpy() for name, tensor in self._graph(**to_batch(rows, self.inputs)).items()}
        except tf.errors.InvalidArgumentError as error:
            if len(rows) == 1:
                return {name: [] for name in self._graph.structured_outputs}, {0: graph_error_message(error)}
            single = [self.predict_batch([row]) for row in rows]
            reasons = {position: bad[0] for position, (_, bad) in enumerate(single) if bad}
            return {name: [value for records, _ in single for value in records[name]] for name in single[0][0]}, reasons
        reasons = {position: message.decode() for position, message in enumerate(answers.get(ERROR, ())) if message}
        if reasons:
            valid = [position for position in range(len(rows)) if position not in reasons]
            answers = {name: values[valid] for name, values in answers.items()}
        return answers, reasons

    def predict_valid(self, table: Table, reasons: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number and the prediction by column of each valid row; reasons for the others are appended to
        `reasons`.
        """
        for start in range(0, len(table), BATCH_SIZE):
            raw: dict[int, dict[str, Any]] = {}
            for row in range(start, min(start + BATCH_SIZE, len(table))):
                try:
                    raw[row] = table.raw(row, self.inputs)
                except DataError as error:
                    reasons.append(str(error))
            answers, bad = self.predict_batch([*raw.values()]) if raw else ({}, {})
            reasons += [f"{table.where(row)}: {bad[position]}" for position, row in enumerate(raw) if position in bad]
            valid = [row for position, row in enumerate(raw) if position not in bad]
            for position, row in enumerate(valid):
                yield row, {name: values[position] for name, values in answers.items()}

    def _batch(self, rows: list[dict[str, Any]], table: Table, start: int) -> dict[str, np.ndarray]:
        batch = to_batch(rows, self.inputs)
        try:
            return {name: tensor.numpy() for name, tensor in self._graph(**batch).items()}
        except tf.errors.InvalidArgumentError as error:
            if len(rows) == 1:
                raise DataError(f"{table.where(start)}: {graph_error_message(error)}") from error
            for offset, row in enumerate(rows):  # which one it was
                self._batch([row], table, start + offset)
            raise


def graph_error_message(error: Exception) -> str:
    """Extract the message of a graph error, without stack traces and node names."""
    lines = [line.strip() for line in getattr(error, "message", str(error)).splitlines() if line.strip()]
    messages = [line for line in lines if not line.startswith(_TRACE_PREFIXES)]
    text = (messages or lines or [type(error).__name__])[0].split(" [[", 1)[0]
    return re.sub(r"{{.*?}} *", "", text).removeprefix("assertion failed: ").replace("row 0: ", "").strip("[] ")


def is_source(data: Any, inputs: Mapping[str, Column], target: Mapping[str, Column]) -> bool:
    """Return whether data is a labeled source, as for `fit`, rather than inputs, as for `predict`.

    A file is an input where the task's only input is held by files of such a name, and a dict where it has no column
    of the target.
    """
    if isinstance(data, Mapping):
        return any(name in data for name in target if name not in inputs)
    if isinstance(data, (str, Path)):
        path, column = Path(data), next(iter(inputs.values()))
        if str(data).startswith("tfds:") or path.is_dir():
            return True
        return path.is_file() and not (len(inputs) == 1 and path.suffix.lower() in column.suffixes)
    if isinstance(data, tuple):
        return not all(isinstance(part, (str, Path)) for part in data)  # (x, y)
    return any(hasattr(data, name) for name in ("columns", "column_names", "element_spec"))


def inputs_to_table(values: Any, inputs: Mapping[str, Column]) -> tuple[Table, bool]:
    """Convert the inputs of `predict` to a table; also return whether it was a single input rather than a list."""
    names = list(inputs)
    needed = [name for name, column in inputs.items() if not column.optional]
    wanted = needed or f"any of {names}"
    if len(names) == 1 and not isinstance(values, Mapping):
        single = not next(iter(inputs.values())).is_list(values)
    else:
        single = isinstance(values, Mapping)
    if not single and not hasattr(values, "__iter__"):
        raise DataError(f"expected a dict with {wanted}, or a list of such. Received: {type(values).__name__}.")
    rows = [_with_own_names(row, inputs) for row in ([values] if single else values)]
    if len(names) == 1 and not (rows and isinstance(rows[0], Mapping)):
        rows = [{names[0]: value} for value in rows]
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or any(name not in row for name in needed) or not set(names) & set(row):
            missing = [name for name in needed if name not in row] if isinstance(row, Mapping) else []
            received = (
                f"one without {missing}"
                if missing
                else f"{row!r:.60}"
                if isinstance(row, Mapping)
                else type(row).__name__
            )
            raise DataError(f"input {number} must be a dict with {wanted}. Received: {received}.")
    columns = {name: [row.get(name, column.default) for row in rows] for name, column in inputs.items()}
    return Table("input", columns, _input_locations(columns[names[0]])), single


def _with_own_names(row: Any, inputs: Mapping[str, Column]) -> Any:
    """Return a row whose columns have their names here, where it has them under another name that they go by."""
    own = {alias: name for name, column in inputs.items() for alias in column.aliases}
    if not own or not isinstance(row, Mapping):
        return row
    return {own.get(name, name) if own.get(name) not in row else name: value for name, value in row.items()}


def import_pandas(what: str, otherwise: str = "") -> Any:
    """Import pandas. Raises DlkitError if it is not installed, with `otherwise` appended to the message."""
    try:
        import pandas
    except ImportError as error:
        raise DlkitError(f"{what} needs pandas: {install_hint('tables')}.{otherwise}") from error
    return pandas


def to_dataframe(pandas: Any, rows: Rows, answers: Sequence[dict[str, Any]], index: Any = None) -> Any:
    """Convert predictions to a DataFrame.

    Args:
        pandas: the package.
        rows: the rows of the predictions.
        answers: to each row, as `Task.present` gives it.
        index: of the rows, used where each answer is one row of the table.
    """
    records = [record for row, answer in enumerate(answers) for record in rows.answer_rows(row, answer)]
    one_row_each = index is not None and len(records) == len(index)
    return pandas.DataFrame(records, index=index if one_row_each else None)


def _input_locations(values: Sequence[Any]) -> Callable[[int], str]:
    def where(index: int) -> str:
        value = values[index]
        is_short = isinstance(value, (str, Path)) and 0 < len(str(value).strip()) < 200
        return repr(str(value)) if is_short else f"input {index}"

    return where
