"""The model that Keras trains: its step gives the same loss and the same gradient on any number of replicas."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


class Trainer(keras.Model):
    """A functional model whose training step does not depend on how a batch is split over replicas.

    Keras takes the mean of the replicas' mean losses, which weighs a row by the size of its replica's part, and clips
    each replica's gradient before they are added up. Here each replica's gradient counts by its rows, all are added
    up, and then loss scaling, clipping and the update see the gradient of the whole batch. On one replica this is
    Keras's own step.

    Args:
        rows: rows of a usual batch of all replicas. Any number gives the same gradient; near the real one, 16 bits
            neither overflow nor vanish on the way.
        parts: number of parts of a batch whose losses and gradients are computed side by side, on one replica. They
            depend on nothing of each other, so that cores compute them at once, where a single small operation is not
            worth sharing. Each counts by its rows, as a replica does.
        ema: decay of the averages of the weights; 0 for none.

    Attributes:
        averages: what `averaged` puts in the place of the weights and of the statistics of normalization layers, in
            the order of `averaged_variables`; empty without `ema`.
        requests: (2,) float32, what this process requests of all: to write a checkpoint, to stop.
        total_requests: (2,) float32, the sum of the requests of all processes in the last step: the same everywhere.
        first_bad: int64, the first step, from 0, whose loss was not finite; -1 for none.
    """

    def __init__(self, *args: Any, rows: int = 1, parts: int = 1, ema: float = 0.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._parts = parts
        self.replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._usual_rows = rows / self.replicas
        self._first_batch = 0  # of the epoch that `fit` begins with
        self.requests = tf.Variable([0.0, 0.0], trainable=False, name="requests")
        self.total_requests = tf.Variable([0.0, 0.0], trainable=False, name="total_requests")
        self.first_bad = tf.Variable(tf.constant(-1, tf.int64), trainable=False, name="first_bad")
        self._ema = ema
        self._is_averaged = False  # whether the averages are in the place of the weights
        averaged = self.averaged_variables if ema else []
        self.averages = [tf.Variable(variable.numpy(), trainable=False) for variable in averaged]

    def compile(self, optimizer: keras.optimizers.Optimizer, **kwargs: Any) -> None:
        """Compile as Keras does; `train_step`, not the optimizer, then sums over the replicas.

        On one replica too, where Keras's sum is an identity with a custom gradient: TensorFlow registers that for good,
        and with it the graph of every run's step, which took 10 MB a run.
        """
        super().compile(optimizer, **kwargs)
        for part in (self.optimizer, self.updater):
            part._all_reduce_sum_gradients = list  # type: ignore[union-attr]

    @property
    def updater(self) -> keras.optimizers.Optimizer:
        """The optimizer that updates weights, inside of one that scales losses."""
        return getattr(self.optimizer, "inner_optimizer", self.optimizer)

    def begin_at(self, epoch: int, batch: int) -> None:
        """Make `fit` begin with this batch of this epoch, both counted from 0. The data passed to `fit` must begin
        there too.

        The epoch goes where Keras's own `BackupAndRestore` writes it: as an argument, `initial_epoch` would make a
        resumed run another one to those who look at the arguments of `fit`.
        """
        self._initial_epoch, self._first_batch = epoch, batch

    @property
    def averaged_variables(self) -> list[keras.Variable]:
        """The variables that have averages: all weights, frozen ones too, and the statistics of normalization layers.

        The statistics are averages already, but of the activations of the weights that are trained: averaged by the
        same decay, they belong to the weights that they are used with, without another pass over the data.
        """
        return [variable for variable in self.variables if tf.as_dtype(variable.dtype).is_floating]

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the averages are in the place of the weights that are trained. Changes nothing without `ema`."""
        if self._is_averaged or not self.averages:
            yield
            return
        variables = self.averaged_variables
        trained = [variable.numpy() for variable in variables]
        self._is_averaged = True
        self._assign(self.averages)
        try:
            yield
        finally:
            self._is_averaged = False
            self._assign(trained)

    def keep_averages(self) -> None:
        """Puts the averages in the place of the weights for good, at the end of a run."""
        if self.averages and not self._is_averaged:
            self._assign(self.averages)
            self._is_averaged = True

    def _assign(self, values: list[Any]) -> None:
        for variable, value in zip(self.averaged_variables, values, strict=True):
            variable.value.assign(value.numpy() if hasattr(value, "numpy") else value)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As Keras's, of the averaged weights."""
        with self.averaged():
            return super().evaluate(*args, **kwargs)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Build as Keras does. `fit` calls it before the first epoch, whose first batches are then skipped.

        Keras itself can begin at an epoch, and inside of none.
        """
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
        first, self._first_batch = self._first_batch, 0
        if first:
            _skip_batches(iterator, first)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Run one step on a replica's part of a batch."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        rows = tf.shape(tf.nest.flatten(x)[0])[0]
        share = tf.cast(rows, tf.float32) / self._usual_rows
        with tf.GradientTape() as tape:
            answers, loss = self._answer_in_parts(x, y, weight) if self._parts > 1 else self._answer(x, y, weight)
            if self.replicas > 1:
                loss *= self.replicas  # Keras has divided by it
            objective = self.optimizer.scale_loss(loss if self.replicas == 1 else loss * share)
        weights = self.trainable_weights
        gradients = tape.gradient(objective, weights)
        for gradient, weight in zip(gradients, weights, strict=True):
            if _is_dense(gradient):
                gradient.set_shape(weight.shape)  # a sum over axes that are known at run time only has lost it
        total_loss = loss
        if self.replicas > 1:
            gradients, total_loss = self._sum_over_replicas(gradients, loss, share)
        bad = tf.logical_and(self.first_bad < 0, tf.logical_not(tf.math.is_finite(total_loss)))
        self.first_bad.assign(tf.where(bad, tf.cast(self.optimizer.iterations, tf.int64), self.first_bad))
        step = tf.cast(self.optimizer.iterations, tf.float32) if self.averages else None
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        self._loss_tracker.update_state(loss, sample_weight=rows)
        if step is not None:
            self._update_averages(step)
        return self.compute_metrics(x, y, answers, weight)

    def _answer(self, x: Any, y: Any, weight: Any = None) -> tuple[Any, tf.Tensor]:
        """Return the answers to a batch and their loss."""
        answers = self(x, training=True)
        return answers, self.compute_loss(x, y, answers, weight, training=True)

    def _answer_in_parts(self, x: Any, y: Any, weight: Any) -> tuple[Any, tf.Tensor]:
        """Return what `_answer` does, computed in parts that depend on nothing of each other."""
        batch = (x, y) if weight is None else (x, y, weight)
        rows = tf.shape(tf.nest.flatten(x)[0])[0]
        answers, losses = [], []
        for part in range(self._parts):
            start, stop = rows * part // self._parts, rows * (part + 1) // self._parts
            start = tf.minimum(start, rows - 1)
            end = tf.maximum(stop, start + 1)  # a part of no rows gets one that does not count: its mean is a number
            own = tf.nest.map_structure(lambda tensor, a=start, b=end: tensor[a:b], batch)
            answer, loss = self._answer(*own)
            answers.append(tf.nest.map_structure(lambda tensor, count=stop - start: tensor[:count], answer))
            losses.append(loss * tf.cast(stop - start, loss.dtype) / tf.cast(rows, loss.dtype))
        return tf.nest.map_structure(lambda *tensors: tf.concat(tensors, 0), *answers), tf.add_n(losses)

    def compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool = True) -> tf.Tensor:
        """Compute Keras's loss. The losses of single outputs count by rows in the history, as the whole loss does.

        Keras weighs them by the static size of the batch: where that is unknown, each part of a batch counts the same.
        """
        rows = tf.shape(next(values for values in tf.nest.flatten(x) if values is not None))[0]
        with _weigh_means(self._compile_loss.metrics, rows):
            return super().compute_loss(x, y, y_pred, sample_weight, training=training)

    def _update_averages(self, step: tf.Tensor) -> None:
        """Moves the averages towards the weights; fast in the first steps, which would else be remembered for long.

        Args:
            step: float32, the number of the step, from 0.
        """
        decay = tf.minimum(self._ema, (1.0 + step) / (10.0 + step))
        for average, variable in zip(self.averages, self.averaged_variables, strict=True):
            value = tf.convert_to_tensor(variable.value)
            average.assign(average - (1.0 - tf.cast(decay, average.dtype)) * (average - value))

    def _sum_over_replicas(self, gradients: list, loss: tf.Tensor, share: tf.Tensor) -> tuple[list, tf.Tensor]:
        """Sum the gradients and the loss of the parts to those of the whole batch."""
        facts = tf.concat([[share, loss * share], self.requests], axis=0)
        # All dense ones travel as one vector: workers pay for each exchange, whatever its size.
        dense = [g for g in gradients if _is_dense(g)]
        others = [g for g in gradients if g is not None and not _is_dense(g)]
        vector = tf.concat([facts, *(tf.reshape(gradient, [-1]) for gradient in dense)], axis=0)
        vector, *others = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, [vector, *others])
        facts, *parts = tf.split(vector, [4, *(gradient.shape.num_elements() for gradient in dense)])
        self.total_requests.assign(facts[2:])
        own = iter([tf.reshape(part, gradient.shape) for part, gradient in zip(parts, dense, strict=True)])
        rest = iter(others)
        sums = [None if g is None else next(own if _is_dense(g) else rest) for g in gradients]
        means = [None if total is None else _divide(total, facts[0]) for total in sums]
        return means, facts[1] / facts[0]


@contextlib.contextmanager
def _weigh_means(means: list[keras.metrics.Mean], rows: tf.Tensor) -> Iterator[None]:
    """Inside, values that are added to means count by rows, whatever weight comes with them."""
    for mean in means:
        mean.update_state = functools.partial(_update_by_rows, mean, rows)
    try:
        yield
    finally:
        for mean in means:
            vars(mean).pop("update_state", None)  # that of the class is in its place again; a mean can be listed twice


def _update_by_rows(mean: keras.metrics.Mean, rows: tf.Tensor, value: Any, sample_weight: Any = None) -> Any:
    return type(mean).update_state(mean, value, sample_weight=rows)


def _skip_batches(iterator: Any, first: int) -> None:
    """Make the next epoch of a Keras iterator begin at this batch. Skipped batches are not read."""
    whole = iterator._enumerate_iterator

    def rest() -> Iterator[tuple[int, int, Any]]:
        iterator._enumerate_iterator = whole
        for batch in whole():
            if batch[0] >= first:
                yield batch
            else:
                iterator._steps_seen -= 1  # else it would take the data to end too early

    iterator._enumerate_iterator = rest


def _is_dense(gradient: Any) -> bool:
    return isinstance(gradient, tf.Tensor) and gradient.dtype == tf.float32


def _divide(gradient: Any, number: tf.Tensor) -> Any:
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(_divide(gradient.values, number), gradient.indices, gradient.dense_shape)
    return gradient / tf.cast(number, gradient.dtype)
