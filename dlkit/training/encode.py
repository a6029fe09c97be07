"""Preprocessing of raw rows, once, before training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Column, tensor_specs, to_batch
from dlkit.data.table import Table
from dlkit.errors import DataError, UnreadableError
from dlkit.graph_predictor import graph_error_message
from dlkit.lazy import tf
from dlkit.progress import progress
from dlkit.rows import ERROR, LENGTH, ROW, Encoded
from dlkit.training.store import Store

if TYPE_CHECKING:
    from dlkit.training.trainable import Trainable

BATCH_ROWS = 64  # rows encoded together: enough to use all cores, and small compared with the store


def encode_table(
    task: Trainable,
    table: Table,
    windows_per_row: int = 1,
    graph: Callable[..., Any] | None = None,
    regroup: Callable[[Iterator[Encoded]], Iterable[Encoded]] | None = None,
) -> tuple[Store, list[str]]:
    """Encode all rows of a table.

    Rows whose file cannot be read or decoded are skipped.

    Args:
        task: the task whose `encode` is used.
        table: raw rows.
        windows_per_row: maximum number of encoded rows per row.
        graph: the task's `trace_encoding`, where several tables share it.
        regroup: `Rows.regroup`, which makes other rows of the encoded ones; None leaves them as they are.

    Returns:
        Tuple of the encoded rows, (tensors, targets) each, and the skipped rows: where they stand and why.

    Raises:
        DataError: a value has the wrong type, or no row can be encoded.
    """
    store, skipped = Store(len(table) * windows_per_row, task.cache_mb), list[str]()
    chunks = _encode_chunks(task, table, windows_per_row, graph or trace_encoding(task), skipped)
    for chunk in chunks if regroup is None else regroup(chunks):
        store.append(chunk.rows, chunk.source_rows, weights=chunk.weights, lengths=chunk.lengths)
    if not store.rows:
        raise DataError(f"{table.source}: none of its {len(table)} rows can be read. The first: {skipped[0]}")
    return store, skipped


def _encode_chunks(
    task: Trainable, table: Table, windows_per_row: int, encode: Callable[..., Any], skipped: list[str]
) -> Iterator[Encoded]:
    """Encode the rows of a table in chunks; adds to `skipped` where rows that cannot be read stand, and why."""
    columns = {**task.inputs, **task.target}
    with progress("encoding", len(table)) as done:
        for start in range(0, len(table), BATCH_ROWS):
            rows = []
            for index in range(start, min(start + BATCH_ROWS, len(table))):
                try:
                    rows.append((index, table.raw(index, columns)))
                except UnreadableError as error:
                    skipped.append(str(error))
            for kept, (tensors, targets, *weights) in _encode_chunk(encode, columns, table, rows, skipped):
                rows_of_windows, lengths, errors = (tensors.pop(name, None) for name in (ROW, LENGTH, ERROR))
                origins = (
                    np.repeat(np.arange(len(kept)), windows_per_row)
                    if rows_of_windows is None
                    else rows_of_windows.numpy()
                )
                rest = (tensors, targets), weights[0] if weights else None, lengths
                if errors is not None and any(reasons := errors.numpy()):
                    skipped += [f"{table.where(kept[row])}: {why.decode()}" for row, why in enumerate(reasons) if why]
                    read = np.flatnonzero([not reasons[origin] for origin in origins])
                    origins, rest = origins[read], _take_rows(rest, read)
                if len(origins):
                    encoded, weight, length = rest
                    yield Encoded(encoded, [kept[origin] for origin in origins], weight, length)
            done(min(start + BATCH_ROWS, len(table)))


def _take_rows(nest: Any, rows: np.ndarray) -> Any:
    """Gather rows by number from all tensors of a nest."""
    return tf.nest.map_structure(lambda value: None if value is None else tf.gather(value, rows), nest)


def trace_encoding(task: Trainable) -> Callable[..., Any]:
    """Trace a task's `encode` into a graph that takes raw rows by column."""

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
        for row in rows:  # which rows failed shows only one by one
            yield from _encode_chunk(encode, columns, table, [row], skipped)
