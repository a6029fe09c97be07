"""The order of the rows: a stateless function of the seed and the epoch, so that training can start at any step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlkit.lazy import tf
from dlkit.training.store import Store

ENDLESS = 2**62  # steps
POOL_BATCHES = 16  # batches per pool, whose rows are sorted by length together


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Return the number of batches of an epoch. Batches differ by at most one row; there is no small last one."""
    return -(-rows // batch_size)


class Order:
    """The rows of each training step.

    The rows of step s are part of a permutation of all rows keyed by (seed, epoch), so step s holds the same rows in a
    run that was resumed as in one that never stopped.

    Args:
        rows: number of rows.
        batch_size: maximum number of rows of a batch.
        seed: the seed of the permutations.
        lengths: (rows,) int, to put rows of similar length into a batch: rows are sorted within pools of 16 batches,
            and the batches are shuffled.
        multiple: if not 0, every batch has the same number of rows, a multiple of this; incomplete batches are filled
            with the following rows. Compilers that need static shapes use it.
    """

    def __init__(self, rows: int, batch_size: int, seed: int, lengths: np.ndarray | None = None, multiple: int = 0):
        self.steps = steps_per_epoch(rows, batch_size)
        self._rows, self._seed, self._lengths = rows, seed, lengths
        self._size = -(-rows // self.steps // multiple) * multiple if multiple else 0

    @property
    def fixed_size(self) -> bool:
        """Whether every batch has the same number of rows."""
        return self._size > 0

    def rows(self, step: tf.Tensor) -> tf.Tensor:
        """Return the row numbers of a step, (batch,) int64; steps count from 0 over all epochs."""
        epoch, position = step // self.steps, step % self.steps
        key = tf.stack([tf.constant(self._seed, tf.int64), epoch])
        if self._size:
            places = self._start(position) + tf.range(self._size, dtype=tf.int64)
            return _shuffle(places % self._rows, key, self._rows)
        if self._lengths is None:
            return _shuffle(tf.range(self._start(position), self._start(position + 1)), key, self._rows)
        position = _shuffle(position, key, self.steps)
        first = position // POOL_BATCHES * POOL_BATCHES  # batch of the pool
        begin = self._start(first)
        pool = _shuffle(tf.range(begin, self._start(tf.minimum(first + POOL_BATCHES, self.steps))), key, self._rows)
        pool = tf.gather(pool, tf.argsort(tf.gather(self._lengths, pool), stable=True))
        return pool[self._start(position) - begin : self._start(position + 1) - begin]

    def _start(self, position: tf.Tensor) -> tf.Tensor:
        return position * self._rows // self.steps


def _shuffle(places: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    return tf.random.experimental.index_shuffle(places, key, tf.constant(count - 1, tf.int64))


def make_training_batches(
    store: Store,
    order: Order,
    *,
    steps: int = ENDLESS,
    first_step: int = 0,
    finish: Callable[[Any, tf.Tensor, tf.Tensor], Any],
) -> tf.data.Dataset:
    """Make a dataset of all training batches, epoch after epoch, from `first_step` on.

    One dataset spans all epochs, so that no epoch waits for a pipeline to fill.

    Args:
        store: the encoded rows.
        order: the rows of each step.
        steps: number of steps of the whole run.
        first_step: the step to begin with, 0 for a new run.
        finish: function of the batch, its row numbers and the step (int64 scalar) that returns what the network is
            trained on; random changes must be drawn from the step.
    """
    numbers = tf.data.Dataset.range(first_step, steps)

    def batch(step: tf.Tensor) -> Any:
        rows = order.rows(step)
        return finish(store.take(rows), rows, step)

    return _map_steps(numbers, batch)


def make_ordered_batches(
    store: Store, batch_size: int, trim: Callable[[Any], Any] = lambda tensors: tensors
) -> tf.data.Dataset:
    """Make a dataset of all rows in their order, in batches that differ by at most one row; `trim` may cut their
    padding."""
    steps = steps_per_epoch(store.rows, batch_size)

    def batch(step: tf.Tensor) -> tuple[Any, Any]:
        tensors, target = store.take(tf.range(step * store.rows // steps, (step + 1) * store.rows // steps))
        return trim(tensors), target

    return _map_steps(tf.data.Dataset.range(steps), batch)


def _map_steps(steps: tf.data.Dataset, batch: Callable) -> tf.data.Dataset:
    batch = tf.autograph.experimental.do_not_convert(batch)  # nothing needs conversion, which takes a second
    dataset = steps.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)
    return dataset.with_options(make_pipeline_options())


def make_pipeline_options() -> tf.data.Options:
    """Return the options of every pipeline: autotuning is off, since it took up to a fifth of the time of short
    epochs."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options
