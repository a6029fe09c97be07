"""How many steps a run can make in the minutes that it is given: its parts are timed, after compilation, on a trial."""

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
from dlkit.training.baseline import MAX_ROWS, rows_to_compare
from dlkit.training.checkpoints import ASSUMED_WRITE_SPEED, MAX_TIME_SHARE
from dlkit.training.compile_network import compile_network
from dlkit.training.show_metrics import MAX_ROWS as SHOWN
from dlkit.training.show_metrics import looks_every
from dlkit.training.trainer import Trainer
from dlkit.training.workers import from_chief

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.store import Store
    from dlkit.training.strategies import Distribution
    from dlkit.training.trainable import Trainable

TRIAL = 0.05  # of the budget, for timing
SHORTEST, LONGEST = 1.0, 20.0  # seconds for timing
FEW = 2  # steps that compile, and steps that tell how many more to time
EPOCHS = 50  # of a trial at most
FSYNC = 0.02  # seconds of the smallest checkpoint


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a run take.

    Attributes:
        start: compilation, once.
        step: a training step.
        epoch: what comes with an epoch beside its steps: validation, a checkpoint.
        end: the comparison with the baseline, and saving, once.
        look: the score that is shown every few epochs; 0 for none.
    """

    start: float
    step: float
    epoch: float
    end: float
    look: float = 0.0

    def steps(self, seconds: float, steps_per_epoch: int) -> int:
        """Return how many steps fit; the last epoch may be a part of one. At most 0 where none does."""
        left = seconds - self.start - self.end
        steps = self._without_looks(left, steps_per_epoch)
        if self.look and steps > 0:
            epochs = -(-steps // steps_per_epoch)
            looks = (epochs - 1) // looks_every(epochs)
            steps = self._without_looks(left - looks * self.look, steps_per_epoch)
        return steps

    def _without_looks(self, left: float, steps_per_epoch: int) -> int:
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
        watched: the batches to validate on.
        validation_steps: how many they are; 0 without validation.
        scored: seconds of scoring a number of rows, which `seconds_of_scoring` gives.
        is_shown: whether scores are shown every few epochs.
        is_saved: whether model and checkpoints are written.
    """

    batches: Callable[[int], Any]
    steps_per_epoch: int
    watched: Any
    validation_steps: int
    scored: Callable[[int], float]
    is_shown: bool
    is_saved: bool


def steps_within(task: Trainable, trial: Trial, minutes: float, begun: float, distribution: Distribution) -> int:
    """Decide how many steps a run makes.

    The chief decides for all workers. Nothing of the trial is left: the run that follows is, to the byte, the one that
    is given these steps.

    Args:
        task: with its stages as the run begins.
        trial: what to time.
        minutes: the budget, which began at `begun`.
        begun: by `time.perf_counter`.
        distribution: where the run trains.

    Raises:
        HparamError: the minutes do not suffice for a step; says how many would.
    """
    seconds = minutes * 60.0
    costs = _measure(task, trial, seconds, distribution)
    spent = time.perf_counter() - begun
    own = costs.steps(seconds - spent, trial.steps_per_epoch)
    needed = spent + costs.start + costs.end + costs.epoch + costs.step
    steps, needed = from_chief(distribution, [own, needed])
    if steps < 1:
        least = math.ceil(needed / 6) / 10
        raise HparamError(
            f"{option('minutes')} must be at least {least:g} for this data and network: a single step, with reading, "
            f"compilation, validation and saving, takes that long. Received: {minutes:g}."
        )
    return int(steps)


def seconds_of_scoring(task: Trainable, validation: Rows | None, store: Store | None) -> Callable[[int], float]:
    """Time the answers to a few validation rows. Returns the seconds that a number of rows takes."""
    if validation is None or store is None:
        return lambda rows: 0.0
    try:
        every = rows_to_compare(validation, store)
        sizes, seconds = [], []
        for size in (4, 4, 32):  # the first call traces the graph, which the run then has
            table = every.to_evaluate().take(range(min(size, len(every))))
            rows, begun = every.with_table(table), time.perf_counter()
            task.evaluate_rows(rows)
            sizes.append(len(rows))
            seconds.append(time.perf_counter() - begun)
    except DataError:  # as in the comparison with the baseline, which then is none
        return lambda rows: 0.0
    rate = max(seconds[2] - seconds[1], 0.0) / max(sizes[2] - sizes[1], 1)
    return lambda rows: seconds[1] + rate * (min(rows, len(every)) - sizes[1])


def _measure(task: Trainable, trial: Trial, seconds: float, distribution: Distribution) -> Costs:
    begun = time.perf_counter()
    trainer, frozen = compile_network(task, 1, distribution.strategy)
    compiled = time.perf_counter() - begun
    before = [variable.numpy() for variable in trainer.variables] if trainer.replicas == 1 else []
    first = _timed(trainer, trial, 1, FEW, 1)
    again = _timed(trainer, trial, 1, FEW, 1)
    share = min(max(TRIAL * seconds, SHORTEST), LONGEST)
    epochs, steps, looks = from_chief(distribution, _size(again, trial, share))
    timed = _timed(trainer, trial, int(epochs), int(steps), int(looks))
    for variable, value in zip(trainer.variables, before, strict=False):  # copies of a strategy are gone with it
        variable.assign(value)
    for layer in frozen:  # to be frozen again by the run
        layer.trainable = True
    saving = _seconds_of_saving(task) if trial.is_saved and distribution.is_chief else 0.0
    step, epoch = timed.training / (epochs * steps), timed.validation / epochs
    if looks:
        epoch *= trial.validation_steps / looks
    if trial.is_saved:
        checkpoint = FSYNC + sum(v.dtype.size * v.shape.num_elements() for v in _values(trainer)) / ASSUMED_WRITE_SPEED
        epoch += min(checkpoint, MAX_TIME_SHARE * (trial.steps_per_epoch * step + epoch))
    return Costs(
        start=compiled + max(first.whole - again.whole, 0.0),
        step=step,
        epoch=epoch,
        end=trial.scored(MAX_ROWS) + 2 * saving,
        look=trial.scored(SHOWN) if trial.is_shown else 0.0,
    )


def _size(rough: _Stopwatch, trial: Trial, seconds: float) -> list[int]:
    """The epochs, the steps of each and the validation steps of each that take so many seconds."""
    step, look = rough.training / FEW, rough.validation if trial.validation_steps else 0.0
    whole = step * trial.steps_per_epoch + look * trial.validation_steps
    if whole <= seconds:
        return [min(int(seconds // whole), EPOCHS), trial.steps_per_epoch, trial.validation_steps]
    steps = min(max(int(0.7 * seconds / step), FEW), trial.steps_per_epoch)
    looks = min(max(int(0.3 * seconds / look), 1), trial.validation_steps) if look else 0
    return [1, steps, looks]


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


def _timed(trainer: Trainer, trial: Trial, epochs: int, steps: int, looks: int) -> _Stopwatch:
    watch, begun = _Stopwatch(), time.perf_counter()
    TensorFlowTrainer.fit(  # not that of `keras.Model`, which trackers patch: a trial is no run
        trainer,
        trial.batches(0),
        epochs=epochs,
        steps_per_epoch=min(steps, trial.steps_per_epoch),
        shuffle=False,
        callbacks=[watch],
        verbose=0,
        validation_data=trial.watched if trial.validation_steps else None,
        validation_steps=looks if trial.validation_steps else None,
    )
    watch.whole = time.perf_counter() - begun
    return watch


def _seconds_of_saving(task: Trainable) -> float:
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model_folder.write_model(task, Path(folder))
    return time.perf_counter() - begun


def _values(trainer: Trainer) -> list[Any]:
    return [variable.value for variable in (*trainer.variables, *trainer.optimizer.variables)] + [*trainer.averages]
