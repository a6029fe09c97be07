"""Number of training steps that fit into a time budget, from the time of a short trial after compilation."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

from dlkit import model_folder
from dlkit.errors import DataError, HparamError
from dlkit.options import option
from dlkit.training.baseline import rows_to_compare
from dlkit.training.checkpoints import MAX_TIME_SHARE, estimate_write_time, saved_variables
from dlkit.training.compile_network import compile_network
from dlkit.training.score_epochs import ScoredEpochs, rows_to_score
from dlkit.training.trainer import Trainer
from dlkit.training.workers import from_chief

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.store import Store
    from dlkit.training.strategies import Distribution
    from dlkit.training.trainable import Trainable

TRIAL_SHARE = 0.05  # of the budget, for timing
MIN_TRIAL_SECONDS, MAX_TRIAL_SECONDS = 1.0, 20.0  # seconds for timing
MIN_TRIAL_STEPS = 2  # steps that compile, and steps that tell how many more to time
MAX_TRIAL_EPOCHS = 50  # of a trial at most
FSYNC_SECONDS = 0.02  # seconds of the smallest checkpoint


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a run take.

    Attributes:
        start: compilation, once.
        step: a training step.
        epoch: what comes with an epoch beside its steps: validation, a checkpoint.
        end: the comparison with the baseline, and saving, once.
        score: the scores of served answers every few epochs; 0 for none.
        scored: in which epochs they are made; None for none.
    """

    start: float
    step: float
    epoch: float
    end: float
    score: float = 0.0
    scored: ScoredEpochs | None = None

    def steps(self, seconds: float, steps_per_epoch: int) -> int:
        """Return how many steps fit; the last epoch may be a part of one. At most 0 where none does."""
        left = seconds - self.start - self.end
        steps = self._steps_without_scores(left, steps_per_epoch)
        if self.scored and steps > 0:
            scores = self.scored.count(-(-steps // steps_per_epoch))
            steps = self._steps_without_scores(left - scores * self.score, steps_per_epoch)
        return steps

    def _steps_without_scores(self, left: float, steps_per_epoch: int) -> int:
        whole = self.step * steps_per_epoch + self.epoch
        epochs = max(int(left // whole), 0)
        rest = left - epochs * whole - self.epoch
        return epochs * steps_per_epoch + min(max(int(rest // self.step), 0), steps_per_epoch)


@dataclass(frozen=True)
class Trial:
    """What a run would do, to be timed.

    Attributes:
        batches: the training batches from a step on, split over replicas.
        steps_per_epoch: of a pass over the training data.
        validation_batches: the batches to validate on.
        validation_steps: how many they are; 0 without validation.
        comparison_seconds: seconds of the comparison with the baseline, once, as `measure_scoring` gives it.
        score_seconds: seconds of a score; 0 for none.
        scored: in which epochs served answers are scored; None for none.
        saves: whether model and checkpoints are written.
    """

    training_batches: Callable[[int], Any]
    steps_per_epoch: int
    validation_batches: Any
    validation_steps: int
    comparison_seconds: float
    score_seconds: float
    scored: ScoredEpochs | None
    saves: bool


def find_steps_within(
    task: Trainable, trial: Trial, minutes: float, started_at: float, distribution: Distribution, *, share: float = 1.0
) -> int:
    """Decide how many steps a run makes.

    The chief decides for all workers. Nothing of the trial is left: the run that follows is, to the byte, the one that
    is given these steps.

    Args:
        task: with its stages as the run begins.
        trial: what to time.
        minutes: the budget, which began at `started_at`.
        started_at: by `time.perf_counter`.
        distribution: where the run trains.
        share: of the budget that this run may take.

    Raises:
        HparamError: the minutes do not suffice for a step; says how many would.
    """
    seconds = share * minutes * 60.0
    costs = _measure(task, trial, seconds, distribution)
    spent = time.perf_counter() - started_at
    own = costs.steps(seconds - spent, trial.steps_per_epoch)
    needed = spent + costs.start + costs.end + costs.epoch + costs.step
    steps, needed = from_chief(distribution, [own, needed])
    if steps < 1:
        least = math.ceil(needed / share / 6) / 10
        raise HparamError(
            f"{option('minutes')} must be at least {least:g} for this data and network: a single step, with reading, "
            f"compilation, validation and saving, takes that long. Received: {minutes:g}."
        )
    return int(steps)


def measure_scoring(
    task: Trainable, validation: Rows | None, store: Store | None, scored: ScoredEpochs | None
) -> tuple[float, float]:
    """Time the answers to a few validation rows.

    Returns:
        Tuple of the seconds of the comparison with the baseline and of the score of an epoch; 0 for none.
    """
    if validation is None or store is None:
        return 0.0, 0.0
    try:
        compared = rows_to_compare(validation, store)
        seconds_of = _time_answers(task, compared)
        comparison = seconds_of(len(compared))
        if scored is None:
            return comparison, 0.0
        rows = rows_to_score(validation, store, scored.rows)
        if compared.to_score() is not compared.table:  # they are answered in another way
            seconds_of = _time_answers(task, rows)
        return comparison, seconds_of(len(rows))
    except DataError:  # as in the comparison with the baseline, which then is none
        return 0.0, 0.0


def _time_answers(task: Trainable, every: Rows) -> Callable[[int], float]:
    """Time a few of the rows. Returns the seconds that a number of them takes. Raises DataError."""
    sizes, seconds = [], []
    for size in (8, 8, 32):  # the first call traces the graph, which the run then has
        rows, started_at = every.with_table(every.table.take(range(min(size, len(every))))), time.perf_counter()
        task.evaluate_rows(rows)
        sizes.append(len(rows))
        seconds.append(time.perf_counter() - started_at)
    rate = max(seconds[2] - seconds[1], 0.0) / max(sizes[2] - sizes[1], 1)
    return lambda count: seconds[1] + rate * (count - sizes[1])


def _measure(task: Trainable, trial: Trial, seconds: float, distribution: Distribution) -> Costs:
    started_at = time.perf_counter()
    trainer, frozen = compile_network(task, 1, distribution)
    compiled = time.perf_counter() - started_at
    before = [variable.numpy() for variable in trainer.variables] if trainer.replicas == 1 else []
    first = _time_fit(trainer, trial, 1, MIN_TRIAL_STEPS, 1)
    again = _time_fit(trainer, trial, 1, MIN_TRIAL_STEPS, 1)
    share = min(max(TRIAL_SHARE * seconds, MIN_TRIAL_SECONDS), MAX_TRIAL_SECONDS)
    epochs, steps, validation_steps = from_chief(distribution, _choose_trial_size(again, trial, share))
    timed = _time_fit(trainer, trial, int(epochs), int(steps), int(validation_steps))
    for variable, value in zip(trainer.variables, before, strict=False):  # copies of a strategy are gone with it
        variable.assign(value)
    for layer in frozen:  # to be frozen again by the run
        layer.trainable = True
    saving = _measure_saving(task) if trial.saves and distribution.is_chief else 0.0
    step, epoch = timed.training / (epochs * steps), timed.validation / epochs
    if validation_steps:
        epoch *= trial.validation_steps / validation_steps
    if trial.saves:
        checkpoint = FSYNC_SECONDS + estimate_write_time([*saved_variables(trainer), *trainer.averages])
        epoch += min(checkpoint, MAX_TIME_SHARE * (trial.steps_per_epoch * step + epoch))
    return Costs(
        start=compiled + max(first.whole - again.whole, 0.0),
        step=step,
        epoch=epoch,
        end=trial.comparison_seconds + 2 * saving,
        score=trial.score_seconds,
        scored=trial.scored,
    )


def _choose_trial_size(rough: _Stopwatch, trial: Trial, seconds: float) -> list[int]:
    """The epochs, the steps of each and the validation steps of each that take so many seconds."""
    step, validation_step = rough.training / MIN_TRIAL_STEPS, rough.validation if trial.validation_steps else 0.0
    whole = step * trial.steps_per_epoch + validation_step * trial.validation_steps
    if whole <= seconds:
        return [min(int(seconds // whole), MAX_TRIAL_EPOCHS), trial.steps_per_epoch, trial.validation_steps]
    steps = min(max(int(0.7 * seconds / step), MIN_TRIAL_STEPS), trial.steps_per_epoch)
    validation_steps = (
        min(max(int(0.3 * seconds / validation_step), 1), trial.validation_steps) if validation_step else 0
    )
    return [1, steps, validation_steps]


class _Stopwatch(keras.callbacks.Callback):
    """Keeps apart the seconds of training and those of validation."""

    def __init__(self) -> None:
        super().__init__()
        self.training = self.validation = self.whole = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._since, self._validates = time.perf_counter(), False

    def on_test_begin(self, logs: dict | None = None) -> None:
        self.training += self._lap()
        self._validates = True

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self._validates:
            self.model.get_weights()  # as the best epoch's are kept
            self.validation += self._lap()
        else:
            self.training += self._lap()

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self._since = now - self._since, now
        return lap


def _time_fit(trainer: Trainer, trial: Trial, epochs: int, steps: int, validation_steps: int) -> _Stopwatch:
    watch, started_at = _Stopwatch(), time.perf_counter()
    TensorFlowTrainer.fit(  # not that of `keras.Model`, which trackers patch: a trial is no run
        trainer,
        trial.training_batches(0),
        epochs=epochs,
        steps_per_epoch=min(steps, trial.steps_per_epoch),
        shuffle=False,
        callbacks=[watch],
        verbose=0,
        validation_data=trial.validation_batches if trial.validation_steps else None,
        validation_steps=validation_steps if trial.validation_steps else None,
    )
    watch.whole = time.perf_counter() - started_at
    return watch


def _measure_saving(task: Trainable) -> float:
    started_at = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model_folder.write_model(task, Path(folder))
    return time.perf_counter() - started_at
