"""The learning-rate range test, Smith, 2015, arXiv:1506.01186, section 3.3, with exponentially growing rates, followed
by short trainings with the task's own schedule that refine the suggestion."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from dlkit.errors import DlkitError
from dlkit.lazy import tf
from dlkit.options import python_or_cli
from dlkit.plots import plot_learning_rates
from dlkit.training.batches import make_batches, make_order
from dlkit.training.compile_network import compile_network
from dlkit.training.optimizer import make_schedule
from dlkit.training.prepare import build_task, check_row_count, encode_rows

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.trainable import Trainable

MIN_RATE, MAX_RATE = 1e-6, 10.0
LOSS_DECAY = 0.9  # decay of the moving average of the loss that ends the range test
HALF_WINDOW_DECADES = 0.5  # on each side, for averages and slopes: the loss of one batch is mostly noise
MIN_LOSS_FALL = 1e-6  # relative to the first loss: a smaller fall is float32 rounding
MIN_STEEPNESS = 0.5  # relative to the steepest slope: counts as about as steep
DIVERGENCE_FACTOR = 4.0  # relative to the best loss: above it, the rate is too high
RATE_STEP = math.sqrt(10)  # factor between the rates of two short trainings
PATIENCE = 2  # rates in a row at which short trainings end no lower, before the search stops
COMPARED_SHARE = 0.25  # share of the steps of a short training, at its end, whose mean loss is compared


class RangeTest(keras.callbacks.Callback):
    """Trains each step at its own rate and records the losses, until they diverge."""

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

    def final_loss(self) -> float:
        """Return the mean of the last losses; infinite if the loss diverged."""
        if len(self.losses) < len(self.all_rates):
            return math.inf
        mean = float(np.mean(self.losses[-max(1, round(COMPARED_SHARE * len(self.losses))) :]))
        return mean if math.isfinite(mean) else math.inf


def find_learning_rate(task: Trainable, train: Rows, steps: int, plot: Path | None) -> float:
    """Suggest a peak learning rate for a task's hyperparameters and data; see `Task.find_learning_rate`."""
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
    chosen = _refine(_find_steepest(test.rates, test.losses), lambda rate: trained(rate * curve).final_loss())
    if plot:
        smoothed = _smooth(test.losses, _count_steps(HALF_WINDOW_DECADES, test.rates))
        plot_learning_rates(test.rates[: len(smoothed)], smoothed.tolist(), chosen, plot)
    return chosen


def _relative_schedule(task: Trainable, steps: int) -> np.ndarray:
    """Return the learning rates of a run of `steps` steps by the task's schedule, relative to the peak."""
    schedule = make_schedule(task, steps)
    rates = [float(schedule(step)) if callable(schedule) else schedule for step in range(steps)]
    return np.asarray(rates) / task.learning_rate


def _refine(rate: float, loss_at: Callable[[float], float]) -> float:
    """Search near a suggested rate, by factors of `RATE_STEP`, for the one at which a short training ends with the
    lowest loss.

    The range test raises the rate too fast for warmup to help, so that it diverges below rates that train well. One
    rate that is no better is passed over: the losses of short trainings are noisy.
    """
    chosen, best = rate, loss_at(rate)
    for factor in (RATE_STEP, 1 / RATE_STEP) if math.isfinite(best) else (1 / RATE_STEP,):
        tried, worse = chosen * factor, 0
        while MIN_RATE <= tried <= MAX_RATE and worse < PATIENCE:
            loss = loss_at(tried)
            if loss < best:
                chosen, best, worse = tried, loss, 0
            elif math.isfinite(best):
                worse += 1
            tried *= factor
        if chosen != rate:
            break
    return chosen


def _find_steepest(rates: list[float], losses: list[float]) -> float:
    """Find the highest rate, below the minimum of the smoothed loss, at which the loss falls about as steeply as
    anywhere.

    "About" as steeply: where a loss falls evenly over two decades, noise decides where it falls most steeply.

    Args:
        rates: exponentially growing learning rates.
        losses: losses of the batches; those from the first that is not finite on are ignored.

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
    hint = python_or_cli("Increase `steps`, or check", "Check")
    raise DlkitError(f"the loss never fell in the range test. {hint} the data.")


def _count_steps(decades: float, rates: list[float]) -> int:
    return max(1, round(decades / math.log10(rates[1] / rates[0]))) if len(rates) > 1 else 1


def _smooth(losses: list[float], half: int) -> np.ndarray:
    """Smooth losses by a centered moving average; a trailing one would lag behind the rate."""
    bad = np.flatnonzero(~np.isfinite(losses))
    finite = np.asarray(losses, np.float64)[: bad[0] if len(bad) else None]
    return np.array([finite[max(0, place - half) : place + half + 1].mean() for place in range(len(finite))])
