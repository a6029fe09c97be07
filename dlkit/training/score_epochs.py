"""Metrics of the served answers during training, beyond those of the loss: to be shown, or to select the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from dlkit.durable import write_atomic
from dlkit.errors import DataError, write_error
from dlkit.log import logger
from dlkit.options import option
from dlkit.training.baseline import rows_to_compare
from dlkit.training.tracking import log_file
from dlkit.training.workers import from_chief

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.store import Store
    from dlkit.training.strategies import Distribution
    from dlkit.training.trainable import Trainable

MAX_REPORTS, MAX_ROWS = 10, 64  # reports per run, and validation rows that each evaluates
MAX_SHARE = 0.05  # of the time of training, for scores that select the best epoch
PICTURES = "samples"  # the folder of the pictures of a run


@dataclass(frozen=True)
class ScoredEpochs:
    """In which epochs validation rows are answered and scored.

    Attributes:
        rows: number of validation rows, at most.
        every: number of epochs between two scores; 0 for a tenth of the run, at least 2.
        monitored: whether the score selects the best epoch. Then the last epoch is scored too, if an earlier one is.
    """

    rows: int = MAX_ROWS
    every: int = 0
    monitored: bool = False

    def interval(self, epochs: int) -> int:
        """Return the number of epochs between two scores of a run of so many epochs."""
        return self.every or max(-(-epochs // MAX_REPORTS), 2)

    def has(self, epoch: int, epochs: int) -> bool:
        """Return whether an epoch, from 1, is scored."""
        if epoch == epochs:
            return self.monitored and self.interval(epochs) <= epochs
        return not epoch % self.interval(epochs)

    def count(self, epochs: int) -> int:
        """Return how many epochs of a run are scored."""
        return (epochs - 1) // self.interval(epochs) + self.has(epochs, epochs)


def is_scored(task: Trainable) -> bool:
    """Return whether the metric that selects the best epoch is one of served answers: the primary one, of which higher
    values are better, if the task shows it."""
    return task.monitor == task.primary_metric and task.monitor in task.shown_metrics


def rows_to_score(validation: Rows, store: Store, count: int) -> Rows:
    """Return at most `count` of the validation rows to answer and score. Raise DataError if there are none."""
    rows = rows_to_compare(validation, store, count)
    return rows.with_table(rows.to_score())


def choose_scored_epochs(task: Trainable, training_rows: int, validation_rows: int, shows: bool) -> ScoredEpochs | None:
    """Decide in which epochs a run is scored; None for none.

    Scores that select the best epoch take at most 5 % of the time of training, by `Task.answer_cost`: nothing is
    measured, so that a resumed run has the same epochs.

    Args:
        task: the task.
        training_rows: number of training rows.
        validation_rows: number of validation rows; 0 for none.
        shows: whether scores are shown.
    """
    if not validation_rows or not task.shown_metrics:
        return None
    if is_scored(task):
        rows = min(task.monitored_rows, validation_rows)
        every = math.ceil(rows * task.answer_cost / (MAX_SHARE * training_rows))
        return ScoredEpochs(rows, max(every, 1), monitored=True)
    return ScoredEpochs() if shows else None


class ScoreEpochs(keras.callbacks.Callback):
    """Evaluates a task's `shown_metrics` on some validation rows every few epochs.

    It does not affect training. It stops if the rows cannot be evaluated.

    Args:
        task: the task whose stages are evaluated.
        rows: the validation rows.
        store: the same rows, encoded, without those that cannot be read.
        scored: in which epochs. If they are monitored, the metrics are added to those of the epoch, with the prefix
            `val_`, in every process; otherwise only the chief may have this callback.
        copy_weights_back: copies the trained weights to the stages, where these have others.
        epochs: number of epochs of the run.
        distribution: the workers of the run; None for a single one.
        shows: whether the metrics are logged.
        folder: of the model, for pictures; None for none.
    """

    def __init__(
        self,
        task: Trainable,
        rows: Rows,
        store: Store,
        scored: ScoredEpochs,
        copy_weights_back: Callable[[], None],
        epochs: int,
        *,
        distribution: Distribution | None = None,
        shows: bool = True,
        folder: Path | None = None,
    ):
        super().__init__()
        self._task, self._scored, self._copy_weights_back, self._epochs = task, scored, copy_weights_back, epochs
        self._distribution, self._shows, self._folder = distribution, shows, folder
        self._is_chief = distribution is None or distribution.is_chief
        self._rows = rows_to_score(rows, store, scored.rows)
        self._failed = False
        if scored.monitored and shows and not scored.has(epochs, epochs):
            logger.info(
                f"{option('monitor', task.monitor)} is measured every {scored.every} epochs: the weights of the last "
                "epoch are kept"
            )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self._failed or not self._scored.has(epoch + 1, self._epochs):
            return
        names = self._task.shown_metrics
        found = self._score(epoch + 1) if self._is_chief else {}
        if self._scored.monitored:
            values = [found.get(name, math.nan) for name in names]
            values = values if self._distribution is None else from_chief(self._distribution, values)
            found = {name: value for name, value in zip(names, values, strict=True) if not math.isnan(value)}
            if logs is not None:
                logs.update({f"val_{name}": value for name, value in found.items()})
        if not found:
            self._failed = True
        elif self._shows and self._is_chief and not self._scored.monitored:  # else Keras shows them
            listed = ", ".join(f"{name} {found[name]:.4f}" for name in names if name in found)
            logger.info(f"epoch {epoch + 1}: {listed} on {len(self._rows)} validation rows")

    def _score(self, epoch: int) -> dict[str, float]:
        with self.model.averaged():
            self._copy_weights_back()
            try:
                found, picture = self._task.score_epoch(self._rows)
            except DataError as error:
                if self._scored.monitored:
                    kept = "the weights of the last epoch are kept"
                    logger.warning(f"{option('monitor', self._task.monitor)} cannot be measured, {kept}: {error}")
                return {}
        if picture and self._folder:
            _write_picture(self._folder / PICTURES / f"epoch-{epoch:04d}.png", picture)
        return {name: float(found[name]) for name in self._task.shown_metrics if name in found}


def remove_pictures(folder: Path) -> None:
    """Remove the pictures of an earlier run in the folder of a model."""
    for old in (folder / PICTURES).glob("epoch-*.png"):
        old.unlink(missing_ok=True)


def _write_picture(path: Path, picture: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda file: file.write(picture))
    except OSError as error:
        raise write_error(path, error) from error
    log_file(path)
