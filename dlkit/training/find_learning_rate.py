"""The learning-rate range test, Smith, 2015, arXiv:1506.01186, section 3.3, with rates that grow exponentially; and
short trainings with the task's own schedule, which settle what it suggests."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from dlkit.errors import DlkitError
from dlkit.lazy import tf
from dlkit.plots import plot_learning_rates
from dlkit.training.batches import make_batches, make_order
from dlkit.training.compile_network import compile_network
from dlkit.training.optimizer import make_schedule
from dlkit.training.prepare import build_task, check_row_count, encode_rows

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.trainable import Trainable

MIN_RATE, MAX_RATE = 1e-6, 10.0
LOSS_DECAY = 0.9  # of the moving average that tells when to end
HALF_WINDOW_DECADES = (
    0.5  # decades on each side over which losses are averaged and slopes are taken: a batch's loss is mostly noise
)
MIN_LOSS_FALL = 1e-6  # times the first loss: what float32 rounds is no fall
MIN_STEEPNESS = 0.5  # of the steepest slope: about as steep
DIVERGENCE_FACTOR = 4.0  # times the best loss: beyond it the rate is too high
RATE_STEP = math.sqrt(10)  # between the rates of two short trainings
COMPARED_SHARE = 0.25  # the share of the steps of a short training whose mean loss is compared


class RangeTest(keras.callbacks.Callback):
    """Trains each step at a rate of its own and keeps the losses, until they explode."""

    def __init__(self, rates: np.ndarray):
        super().__init__()
        self.all_rates = rates
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._mean, self._lowest = 0.0, math.inf

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.model.optimizer.learning_rate.assign(self.all_rates[len(self.rates)])

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Keras logs the epoch's mean so far: resetting it leaves the loss of this batch alone.
        loss = (logs or {})["loss"]
        self.model.reset_metrics()
        self.rates.append(float(self.all_rates[len(self.rates)]))
        self.losses.append(loss)
        self._mean = LOSS_DECAY * self._mean + (1 - LOSS_DECAY) * loss
        mean = self._mean / (1 - LOSS_DECAY ** len(self.rates))
        self._lowest = min(self._lowest, mean)
        if not math.isfinite(loss) or mean > DIVERGENCE_FACTOR * self._lowest:
            self.model.stop_training = True

    def last(self) -> float:
        """The mean of the last losses; infinite where they exploded."""
        if len(self.losses) < len(self.all_rates):
            return math.inf
        mean = float(np.mean(self.losses[-max(1, round(COMPARED_SHARE * len(self.losses))) :]))
        return mean if math.isfinite(mean) else math.inf


def find_learning_rate(task: Trainable, train: Rows, steps: int, plot: Path | None) -> float:
    """A peak learning rate for a task's hparams and data; see `Task.find_learning_rate`."""
    keras.utils.set_random_seed(task.seed)
    build_task(task, train)
    store, _ = encode_rows(task, train, None)
    check_row_count(task, store, train.table.source, 1, quiet=False)
    curve = _relative_schedule(task, steps)
    task.schedule, task.warmup = "constant", 0.0  # a schedule would not let go of the rate
    trainer, _ = compile_network(task, steps)
    order = make_order(task, store, tf.distribute.get_strategy())
    variables = [*trainer.variables, *trainer.optimizer.variables]
    begun = [variable.numpy() for variable in variables]

    def trained(rates: np.ndarray) -> RangeTest:
        for variable, value in zip(variables, begun, strict=True):
            variable.assign(value)
        test = RangeTest(rates)
        batches = make_batches(task, store, order)(0)
        trainer.fit(batches, steps_per_epoch=steps, callbacks=[test], shuffle=False, verbose=0)
        return test

    test = trained(np.geomspace(MIN_RATE, MAX_RATE, steps))
    chosen = _refine(_find_steepest(test.rates, test.losses), lambda rate: trained(rate * curve).last())
    if plot:
        smoothed = _smooth(test.losses, _count_steps(HALF_WINDOW_DECADES, test.rates))
        plot_learning_rates(test.rates[: len(smoothed)], smoothed.tolist(), chosen, plot)
    return chosen


def _relative_schedule(task: Trainable, steps: int) -> np.ndarray:
    """The rates of a run of so many steps by the task's schedule, as shares of the peak."""
    schedule = make_schedule(task, steps)
    rates = [float(schedule(step)) if callable(schedule) else schedule for step in range(steps)]
    return np.asarray(rates) / task.learning_rate


def _refine(rate: float, loss_at: Callable[[float], float]) -> float:
    """The rate near a suggested one at which a short training ends lowest, by steps of `STRIDE` downhill.

    The range test raises the rate too fast for a warm-up to help, and so it explodes below rates that train well.
    """
    chosen, best = rate, loss_at(rate)
    for factor in (RATE_STEP, 1 / RATE_STEP) if math.isfinite(best) else (1 / RATE_STEP,):
        tried = chosen * factor
        while MIN_RATE <= tried <= MAX_RATE and ((loss := loss_at(tried)) < best or math.isinf(best)):
            if loss < best:
                chosen, best = tried, loss
            tried *= factor
        if chosen != rate:
            break
    return chosen


def _find_steepest(rates: list[float], losses: list[float]) -> float:
    """The highest rate at which the smoothed loss falls about as fast per decade as anywhere below its lowest point.

    About as fast: where a loss falls alike over two decades, noise says where it falls fastest.

    Args:
        rates: growing exponentially.
        losses: of the batches; what follows one that is not finite does not count.

    Raises:
        DlkitError: there is no such rate.
    """
    half = _count_steps(HALF_WINDOW_DECADES, rates)
    smoothed = _smooth(losses, half)
    lowest = int(np.argmin(smoothed)) if len(smoothed) else 0
    if lowest > 2 * half:
        # Slopes of the least-squares lines through the points around each one, times the same number for all.
        slopes = np.lib.stride_tricks.sliding_window_view(smoothed[:lowest], 2 * half + 1) @ np.arange(-half, half + 1)
        if slopes.min() < -MIN_LOSS_FALL * np.abs(smoothed[0]):
            return rates[int(np.flatnonzero(slopes <= MIN_STEEPNESS * slopes.min())[-1]) + half]
    raise DlkitError("the loss never fell in the range test. Let it take more steps, or look at the data.")


def _count_steps(decades: float, rates: list[float]) -> int:
    return max(1, round(decades / math.log10(rates[1] / rates[0]))) if len(rates) > 1 else 1


def _smooth(losses: list[float], half: int) -> np.ndarray:
    """The mean of each loss and of those around it: a mean of those before alone would lag behind the rate."""
    bad = np.flatnonzero(~np.isfinite(losses))
    finite = np.asarray(losses, np.float64)[: bad[0] if len(bad) else None]
    return np.array([finite[max(0, place - half) : place + half + 1].mean() for place in range(len(finite))])
