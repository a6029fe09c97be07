"""Raw rows through the preprocessing graph, once, before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Column, tensor_specs, to_batch
from dlkit.data.table import Table
from dlkit.errors import DataError, UnreadableError
from dlkit.graph_predictor import graph_error_message
from dlkit.lazy import tf
from dlkit.progress import progress
from dlkit.rows import ERROR, LENGTH, ROW
from dlkit.training.store import Store

if TYPE_CHECKING:
    from dlkit.training.trainable import Trainable

BATCH_ROWS = 64  # rows encoded together: enough to occupy the cores, small beside the store


def encode_table(
    task: Trainable, table: Table, windows_per_row: int = 1, graph: Callable[..., Any] | None = None
) -> tuple[Store, list[str]]:
    """Encodes all rows of a table.

    Rows whose file cannot be read or decoded are left out.

    Args:
        task: whose `encode` it is.
        table: raw rows.
        windows_per_row: how many encoded rows each makes, at most.
        graph: the task's `encoding_graph`, where several tables share it.

    Returns:
        The encoded rows, (tensors, targets) each, and what was left out: where it stands and why.

    Raises:
        DataError: a value is of the wrong kind, or no row could be encoded.
    """
    store, skipped = Store(len(table) * windows_per_row, task.cache_mb), []
    columns = {**task.inputs, **task.target}
    encode = graph or trace_encoding(task)
    with progress("encoding", len(table)) as done:
        for start in range(0, len(table), BATCH_ROWS):
            rows = []
            for index in range(start, min(start + BATCH_ROWS, len(table))):
                try:
                    rows.append((index, table.raw(index, columns)))
                except UnreadableError as error:
                    skipped.append(str(error))
            for kept, (tensors, targets, *weights) in _encode_chunk(encode, columns, table, rows, skipped):
                told, lengths, errors = (tensors.pop(name, None) for name in (ROW, LENGTH, ERROR))
                origins = np.repeat(np.arange(len(kept)), windows_per_row) if told is None else told.numpy()
                rest = (tensors, targets), weights[0] if weights else None, lengths
                if errors is not None and any(reasons := errors.numpy()):
                    skipped += [f"{table.where(kept[row])}: {why.decode()}" for row, why in enumerate(reasons) if why]
                    read = np.flatnonzero([not reasons[origin] for origin in origins])
                    origins, rest = origins[read], _take_rows(rest, read)
                if len(origins):
                    encoded, weight, length = rest
                    store.append(encoded, [kept[origin] for origin in origins], weights=weight, lengths=length)
            done(min(start + BATCH_ROWS, len(table)))
    if not store.rows:
        raise DataError(f"{table.source}: none of its {len(table)} rows can be read. The first: {skipped[0]}")
    return store, skipped


def _take_rows(nest: Any, rows: np.ndarray) -> Any:
    """The rows of these numbers of all tensors of a nest."""
    return tf.nest.map_structure(lambda value: None if value is None else tf.gather(value, rows), nest)


def trace_encoding(task: Trainable) -> Callable[..., Any]:
    """A task's `encode` as a graph, from raw rows by column."""

    def encode(raw: dict[str, tf.Tensor]) -> Any:
        return task.encode({name: raw[name] for name in task.inputs}, {name: raw[name] for name in task.target})

    return tf.function(encode, autograph=False).get_concrete_function(tensor_specs({**task.inputs, **task.target}))


def _encode_chunk(
    encode: Any, columns: dict[str, Column], table: Table, rows: list[tuple[int, dict]], skipped: list[str]
) -> Iterator[tuple[list[int], Any]]:
    if not rows:
        return
    try:
        yield [index for index, _ in rows], encode(to_batch([raw for _, raw in rows], columns))
    except tf.errors.InvalidArgumentError as error:
        if len(rows) == 1:
            skipped.append(f"{table.where(rows[0][0])}: {graph_error_message(error)}")
            return
        for row in rows:  # which ones it was shows only one by one
            yield from _encode_chunk(encode, columns, table, [row], skipped)
