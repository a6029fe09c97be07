"""From a table of raw rows to a built task and its encoded rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras

from dlkit.data.read_options import list_skipped
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.examples import readable_inputs, to_requests
from dlkit.log import logger
from dlkit.options import option, rename_parameters
from dlkit.plain import name_of, without_folders
from dlkit.report import Report
from dlkit.training.encode import encode_table, trace_encoding
from dlkit.training.store import Store

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.trainable import Trainable


def split_rows(task: Trainable, train: Rows, validation: Rows | None, replicas: int) -> tuple[Rows, Rows | None]:
    """Split rows into training and validation rows; the latter are None if there are none."""
    if replicas > 1 and task.batch_size < 2 * replicas:
        raise HparamError(
            f"{option('batch_size')} must be at least {2 * replicas}, two rows for each of the {replicas} "
            "replicas. Received: "
            f"{task.batch_size}."
        )
    train, held_out = train.hold_out(0.0 if validation is not None else task.validation_split)
    validation = held_out if validation is None else validation
    if validation is not None and len(validation) < replicas:
        raise DataError(
            f"{validation.table.source}: {len(validation)} validation rows are fewer than the {replicas} replicas. "
            "Add some, or train on fewer devices."
        )
    return train, validation


def check_row_count(task: Trainable, store: Store, source: str, replicas: int, *, quiet: bool) -> None:
    """Warn if there are fewer rows than a batch, in which case each step uses all of them.

    Raises:
        DataError: there are fewer than two rows for each replica.
    """
    if replicas > 1 and store.rows < 2 * replicas:
        raise DataError(
            f"{source}: {store.rows} training rows are fewer than {2 * replicas}, two for each of the {replicas} "
            "replicas. Add some, or train on fewer devices."
        )
    if store.rows < task.batch_size:
        few = (
            f"{store.rows} training rows are fewer than the batch size of {task.batch_size}: each step uses all of them"
        )
        add_remarks(task, source, [few], quiet=quiet)


def build_task(task: Trainable, train: Rows, *, keep_examples: bool = True) -> None:
    """Build a task's stages from its training rows, a few of which it keeps unless `keep_examples` is false.

    Raises:
        DlkitError: no network can be built from these hyperparameters and rows.
    """
    with use_precision(task.precision):
        try:
            task.stages_ = task.build(train.table)
        except DlkitError:
            raise
        except (ValueError, OSError) as error:  # how builders, tokenizers and Keras refuse their parameters
            raise DlkitError(f"the network cannot be built: {rename_parameters(str(error), task.hparams)}") from error
    task.examples_ = to_requests(task, readable_inputs(task, train.requests())) if keep_examples else []


@contextlib.contextmanager
def use_precision(policy: str) -> Iterator[None]:
    """Set Keras's dtype policy for the layers that are made in this context."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def inspect_data(train: Rows, validation: Rows | None) -> Report:
    """Return the report on the training and validation rows of a run."""
    report = Report(train.table.source)
    train.inspect(report, validation)
    return report


def encode_rows(
    task: Trainable, train: Rows, validation: Rows | None, *, quiet: bool = False
) -> tuple[Store, Store | None]:
    """Encode training and validation rows; rows that cannot be read are skipped and reported."""
    both = [rows for rows in (train, validation) if rows is not None]
    for rows in both:
        rows.check()
    graph = trace_encoding(task)
    store = _encode_rows(task, train, graph, quiet)
    task.fingerprint_ = {"sha256": store.fingerprint(), "rows": store.rows, "source": name_of(train.table.source)}
    held_out = None if validation is None else _encode_rows(task, validation, graph, quiet)
    task.fingerprint_["validation"] = held_out.fingerprint() if held_out else None
    return store, held_out


def _encode_rows(task: Trainable, rows: Rows, graph: Callable[..., Any], quiet: bool) -> Store:
    table, source = rows.to_encode(), rows.table.source
    store, skipped = encode_table(task, table, rows.windows_per_row, graph, rows.regroup)
    remarks = list(rows.remarks(store))
    if skipped:
        remarks.insert(0, list_skipped(skipped, len(rows), "rows"))
    add_remarks(task, source, remarks, quiet=quiet)
    return store


def add_remarks(task: Trainable, source: str, remarks: Sequence[str], *, quiet: bool) -> None:
    """Add remarks to the task's report, and log them unless `quiet`."""
    known = task.report_.setdefault("remarks", [])  # a resumed run has those of its start already
    kept = without_folders(list(remarks), source)
    known.extend(remark for remark in kept if remark not in known)
    for remark in [] if quiet else remarks:
        logger.warning(f"{source}: {remark}")
