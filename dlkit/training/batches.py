"""The training batches of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dlkit.lazy import tf
from dlkit.padding import row_lengths, trim
from dlkit.training.order import ENDLESS, Order, make_training_batches
from dlkit.training.store import Store

if TYPE_CHECKING:
    from dlkit.training.trainable import Trainable


def make_order(task: Trainable, store: Store, strategy: tf.distribute.Strategy) -> Order:
    """Return the order in which a task's training steps take the rows, under a strategy."""
    if isinstance(strategy, tf.distribute.TPUStrategy):  # needs static shapes
        multiple = strategy.num_replicas_in_sync
        return Order(store.rows, task.batch_size, task.seed, multiple=multiple)
    return Order(store.rows, task.batch_size, task.seed, row_lengths(store, task.padding))


def make_batches(task: Trainable, store: Store, order: Order, steps: int = ENDLESS) -> Callable[[int], tf.data.Dataset]:
    """Return a function from a step to the training batches from this step on: encoded, augmented and weighted.

    They end after `steps` of the run.
    """
    weights = store.weights

    def finish(row: Any, rows: tf.Tensor, step: tf.Tensor) -> tuple:
        tensors, target = row
        if not order.fixed_size:
            tensors = trim(tensors, task.padding)
        tensors, target = task.augment(tensors, target, step)
        return (tensors, target) if weights is None else (tensors, target, tf.gather(weights, rows))

    def last_of(step: int) -> int:  # an interrupted epoch is ended, though the run should have before
        return max(steps, -(-step // order.steps) * order.steps)

    return lambda step: make_training_batches(store, order, steps=last_of(step), first_step=step, finish=finish)
