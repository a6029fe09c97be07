"""The serving graph in Python: raw rows in, answers out, in batches."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Column, batch_of
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.lazy import tf
from dlkit.rows import ERROR
from dlkit.vision.png import as_json

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature

BATCH = 32
_AROUND = ("Graph execution error", "Detected at node", "Detected unsupported", "Stack trace", 'File "', "[[")


class Answering:
    """A signature of a fitted task, in the graph that `export` writes.

    Calling it costs little more than the graph itself; `keras.Model.predict` on one row costs about sixty times it.
    """

    def __init__(self, signature: Signature, inputs: Mapping[str, Column]):
        """`inputs` are the kinds of the signature's inputs."""
        self.inputs = inputs
        self._graph = signature.graph

    def __call__(self, table: Table) -> dict[str, list]:
        """The answers to a table's rows, by answer column.

        Raises:
            DataError: names the row that cannot be answered, and says why.
        """
        collected: dict[str, list] = {name: [] for name in self._graph.structured_outputs}
        for start in range(0, len(table), BATCH):
            stop = min(start + BATCH, len(table))
            rows = [table.raw(index, self.inputs) for index in range(start, stop)]
            answers = self._batch(rows, table, start)
            for offset, reason in enumerate(answers.get(ERROR, ())):
                if reason:
                    raise DataError(f"{table.where(start + offset)}: {reason.decode()}")
            for name, values in answers.items():
                collected[name].extend(values)
        return collected

    def _batch(self, rows: list[dict[str, Any]], table: Table, start: int) -> dict[str, np.ndarray]:
        batch = batch_of(rows, self.inputs)
        try:
            return {name: tensor.numpy() for name, tensor in self._graph(**batch).items()}
        except tf.errors.InvalidArgumentError as error:
            if len(rows) == 1:
                raise DataError(f"{table.where(start)}: {graph_message(error)}") from error
            for offset, row in enumerate(rows):  # which one it was
                self._batch([row], table, start + offset)
            raise


def graph_message(error: Exception) -> str:
    """What a graph says of a batch of one row, without the stack and the node names around it."""
    lines = [line.strip() for line in getattr(error, "message", str(error)).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(_AROUND)]
    text = (told or lines or [type(error).__name__])[0].split(" [[", 1)[0]
    return re.sub(r"{{.*?}} *", "", text).removeprefix("assertion failed: ").replace("row 0: ", "").strip("[] ")


def is_source(data: Any, inputs: Mapping[str, Column], target: Mapping[str, Column]) -> bool:
    """Whether data are a source of rows, as `fit` reads it, rather than inputs, as `predict` takes them.

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


def rows_of(values: Any, inputs: Mapping[str, Column]) -> tuple[Table, bool]:
    """What `predict` was given, as a table, and whether it was one row rather than a list."""
    names = list(inputs)
    needed = [name for name, column in inputs.items() if not column.optional]
    wanted = needed or f"any of {names}"
    if len(names) == 1 and not isinstance(values, Mapping):
        single = not next(iter(inputs.values())).many(values)
    else:
        single = isinstance(values, Mapping)
    if not single and not hasattr(values, "__iter__"):
        raise DataError(f"expected a dict with {wanted}, or a list of such. Received: {type(values).__name__}.")
    rows = [values] if single else list(values)
    if len(names) == 1 and not (rows and isinstance(rows[0], Mapping)):
        rows = [{names[0]: value} for value in rows]
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or any(name not in row for name in needed) or not set(names) & set(row):
            lacks = [name for name in needed if name not in row] if isinstance(row, Mapping) else []
            received = (
                f"one without {lacks}" if lacks else f"{row!r:.60}" if isinstance(row, Mapping) else type(row).__name__
            )
            raise DataError(f"input {number} must be a dict with {wanted}. Received: {received}.")
    columns = {name: [row.get(name, column.default) for row in rows] for name, column in inputs.items()}
    return Table("input", columns, _namer(columns[names[0]])), single


def _namer(values: Sequence[Any]) -> Callable[[int], str]:
    def where(index: int) -> str:
        value = values[index]
        short = isinstance(value, (str, Path)) and len(str(value)) < 200
        return repr(str(value)) if short else f"input {index}"

    return where


def write_json_lines(task: Any, answers: Iterable[tuple[str, dict[str, Any]]], folder: Path, output: Path) -> None:
    """Writes the answers to a folder's files, each with its file's path, as JSON lines."""
    del task, folder
    with output.open("w", encoding="utf-8") as file:
        for path, answer in answers:
            file.write(json.dumps({"file": path, **answer}, ensure_ascii=False, default=as_json) + "\n")
