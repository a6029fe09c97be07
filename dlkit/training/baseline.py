"""Comparison of the trained model with a baseline that needs no network, at the end of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlkit.data.split import evenly_spaced
from dlkit.errors import DataError
from dlkit.log import logger
from dlkit.options import option, python_or_cli

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.store import Store
    from dlkit.training.trainable import Trainable

MAX_ROWS = 256  # validation rows that are compared: little work compared with an epoch


def compare_with_baseline(task: Trainable, validation: Rows, store: Store, *, quiet: bool) -> None:
    """Evaluate up to 256 validation rows and warn if the model is no better than the baseline.

    The primary metric, its baseline and the number of rows are added to `task.best_epoch_`.

    Args:
        task: a trained task.
        validation: the validation rows. If they cannot be evaluated, such as series that are too short for a backtest,
            only the comparison is skipped.
        store: the same rows, encoded, without those that cannot be read.
        quiet: whether to log nothing.
    """
    try:
        rows = rows_to_compare(validation, store)
        found = task.evaluate_rows(rows)
    except DataError as error:
        _warn(f"the model was not compared with the baseline: {error}", quiet)
        return
    name, base = task.primary_metric, f"baseline_{task.primary_metric}"
    if name not in found or base not in found:
        return  # the task has no primary metric, or no baseline of it
    task.best_epoch_ |= {name: found[name], base: found[base], "rows": len(rows)}
    if not found[name] > found[base]:  # NaN is no better either
        _warn(
            f"{validation.table.source}: the model is no better than the baseline: {name} {found[name]:.4f}, {base} "
            f"{found[base]:.4f}, on {len(rows)} validation rows. Check the data, search for a learning rate "
            f"({python_or_cli('`find_learning_rate`', 'dlkit find-lr')}), or train for more {option('epochs')}.",
            quiet,
        )


def rows_to_compare(validation: Rows, store: Store, max_rows: int = MAX_ROWS) -> Rows:
    """Return at most `max_rows` rows to evaluate, spread over those that could be encoded. Raise DataError if there are
    none."""
    table = validation.to_evaluate()
    # Those of a task that makes others to measure on cannot be told apart: none of them was left out.
    rows = np.unique(store.source_rows) if table is validation.table else np.arange(len(table))
    return validation.with_table(table.take(rows[evenly_spaced(len(rows), max_rows)].tolist()))


def _warn(text: str, quiet: bool) -> None:
    if not quiet:
        logger.warning(text)
