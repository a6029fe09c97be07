"""The learning-rate range test: Smith, 2015, arXiv:1506.01186, section 3.3, with rates that grow exponentially."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from dlkit.errors import DlkitError
from dlkit.padding import lengths_of
from dlkit.plots import plot_learning_rates
from dlkit.training.batches import batches_of
from dlkit.training.compile_network import compile_network
from dlkit.training.order import Order, steps_per_epoch
from dlkit.training.prepare import check_batch, encode, start

if TYPE_CHECKING:
    from dlkit.rows import Rows
    from dlkit.training.trainable import Trainable

LOWEST, HIGHEST = 1e-6, 10.0
SMOOTHING = 0.9  # of the losses' moving average
HOPELESS = 4.0  # times the best loss: beyond it the rate is too high


class RangeTest(keras.callbacks.Callback):
    """Raises the learning rate from step to step and keeps the losses, until they explode."""

    def __init__(self, steps: int):
        super().__init__()
        self.all_rates = np.geomspace(LOWEST, HIGHEST, steps)
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._mean = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        self.model.optimizer.learning_rate.assign(self.all_rates[len(self.rates)])

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        # Keras logs the epoch's mean so far: resetting it leaves the loss of this batch alone.
        loss = (logs or {})["loss"]
        self.model.reset_metrics()
        self.rates.append(float(self.all_rates[len(self.rates)]))
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self.losses.append(self._mean / (1 - SMOOTHING ** len(self.rates)))
        if not math.isfinite(loss) or self.losses[-1] > HOPELESS * min(self.losses):
            self.model.stop_training = True


def find_learning_rate(task: Trainable, train: Rows, steps: int, plot: Path | None) -> float:
    """A peak learning rate for a task's knobs and data; see `Task.find_learning_rate`."""
    keras.utils.set_random_seed(task.seed)
    start(task, train)
    store, _ = encode(task, train, None)
    check_batch(task, store, train.table.source, 1, quiet=False)
    task.epochs = max(task.epochs, -(-steps // steps_per_epoch(store.rows, task.batch_size)))
    schedule, task.schedule, task.warmup = task.schedule, "constant", 0.0  # a schedule would not let go of the rate
    trainer, _ = compile_network(task, steps)
    order = Order(store.rows, task.batch_size, task.seed, lengths_of(store, task.padding))
    task.schedule = schedule
    test = RangeTest(steps)
    batches = batches_of(task, store, order)(0)
    trainer.fit(batches, steps_per_epoch=steps, callbacks=[test], shuffle=False, verbose=0)
    chosen = _steepest(test.rates, test.losses)
    if plot:
        plot_learning_rates(test.rates, test.losses, chosen, plot)
    return chosen


def _steepest(rates: list[float], losses: list[float]) -> float:
    """The rate at which the smoothed loss falls fastest per decade, before its lowest point."""
    finite = int(np.isfinite(losses).sum())
    lowest = int(np.argmin(losses[:finite])) if finite else 0
    if lowest < 10:
        raise DlkitError("the loss never fell in the range test. Try more `steps`, or look at the data.")
    slopes = np.gradient(losses[: lowest + 1], np.log(rates[: lowest + 1]))
    return rates[int(np.argmin(slopes[5:])) + 5]
