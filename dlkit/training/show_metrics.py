"""Metrics of the served answers during training, beyond those of the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras

from dlkit.errors import DataError
from dlkit.log import logger
from dlkit.training.baseline import rows_to_compare

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.store import Store
    from dlkit.training.trainable import Trainable

MAX_REPORTS, MAX_ROWS = 10, 64  # reports per run, and validation rows that each evaluates


def display_interval(epochs: int) -> int:
    """Return the number of epochs between two displays of the score."""
    return max(-(-epochs // MAX_REPORTS), 2)


class ShowMetrics(keras.callbacks.Callback):
    """Logs a task's `shown_metrics` on at most 64 validation rows every few epochs, at most ten times per run.

    It does not affect training. It stops if the rows cannot be evaluated.

    Args:
        task: the task whose stages are evaluated.
        rows: the validation rows.
        store: the same rows, encoded, without those that cannot be read.
        copy_weights_back: copies the trained weights to the stages, where a strategy trains copies.
        epochs: number of epochs of the run.
    """

    def __init__(self, task: Trainable, rows: Rows, store: Store, copy_weights_back: Callable[[], None], epochs: int):
        super().__init__()
        self._task, self._copy_weights_back, self._epochs = task, copy_weights_back, epochs
        self._every = display_interval(epochs)
        self._rows = rows_to_compare(rows, store, MAX_ROWS)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        last = epoch + 1 == self._epochs  # the end has a score of its own
        if last or not self._every or (epoch + 1) % self._every:
            return
        with self.model.averaged():
            self._copy_weights_back()
            try:
                found = self._task.evaluate_rows(self._rows)
            except DataError:
                self._every = 0
                return
        listed = ", ".join(f"{name} {found[name]:.4f}" for name in self._task.shown_metrics if name in found)
        logger.info(f"epoch {epoch + 1}: {listed} on {len(self._rows)} validation rows")
