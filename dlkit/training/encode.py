"""Raw rows through the preprocessing graph, once, before training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dlkit.answering import graph_message
from dlkit.columns import Column, batch_of, tensor_specs
from dlkit.data.table import Table
from dlkit.errors import DataError, UnreadableError
from dlkit.lazy import tf
from dlkit.training.store import Store

if TYPE_CHECKING:
    from dlkit.task import Task

CHUNK = 64  # rows encoded together: enough to occupy the cores, small beside the store


def encode_table(task: Task, table: Table) -> tuple[Store, list[str]]:
    """Encodes all rows of a table.

    Rows whose file cannot be read or decoded are left out.

    Returns:
        The encoded rows, (tensors, targets) each, and what was left out: where it stands and why.

    Raises:
        DataError: a value is of the wrong kind, or no row could be encoded.
    """
    store, skipped = Store(len(table) * task.pieces(), task.cache_mb), []
    columns = {**task.inputs, **task.target}
    encode = tf.function(_encoder(task)).get_concrete_function(tensor_specs(columns))
    for start in range(0, len(table), CHUNK):
        rows = []
        for index in range(start, min(start + CHUNK, len(table))):
            try:
                rows.append((index, table.raw(index, columns)))
            except UnreadableError as error:
                skipped.append(str(error))
        for kept, batch in _encode_chunk(encode, columns, table, rows, skipped):
            tensors, targets, *told = batch
            origins = told[0].numpy() if told else range(len(kept) * task.pieces())
            each = 1 if told else task.pieces()
            store.append((tensors, targets), [kept[origin // each] for origin in origins])
    if not store.rows:
        raise DataError(f"{table.source}: none of its {len(table)} rows can be read. The first: {skipped[0]}")
    return store, skipped


def _encoder(task: Task):
    def encode(raw: dict[str, tf.Tensor]) -> Any:
        return task.encode({name: raw[name] for name in task.inputs}, {name: raw[name] for name in task.target})

    return encode


def _encode_chunk(
    encode: Any, columns: dict[str, Column], table: Table, rows: list[tuple[int, dict]], skipped: list[str]
) -> Iterator[tuple[list[int], Any]]:
    if not rows:
        return
    try:
        yield [index for index, _ in rows], encode(batch_of([raw for _, raw in rows], columns))
    except tf.errors.InvalidArgumentError as error:
        if len(rows) == 1:
            skipped.append(f"{table.where(rows[0][0])}: {graph_message(error)}")
            return
        for row in rows:  # which ones it was shows only one by one
            yield from _encode_chunk(encode, columns, table, [row], skipped)
