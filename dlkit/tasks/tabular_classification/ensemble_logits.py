"""Logits of an ensemble for one or several targets: their loss, their metrics and their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, ops, tf


@keras.saving.register_keras_serializable("dlkit")
class EnsembleCrossentropy(keras.losses.Loss):
    """Computes the cross-entropy of each member of an ensemble, and returns their mean over members and targets.

    Args:
        sizes: number of labels of each target.
        label_smoothing: fraction of the target probability that is spread evenly over all labels of a target.

    Call with `y_true`: (batch, labels of all targets) of zeros and ones, all zeros for a target whose label is not
    known; `y_pred`: (batch, members, labels of all targets) logits.
    """

    def __init__(self, sizes: Sequence[int], label_smoothing: float = 0.0, name: str = "crossentropy", **kwargs: Any):
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.sizes, self.label_smoothing = list(sizes), label_smoothing

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        losses = []
        for truth, logits in zip(split_targets(y_true, self.sizes), split_targets(y_pred, self.sizes), strict=True):
            known = ops.sum(truth, axis=-1, keepdims=True)
            smooth = truth * (1 - self.label_smoothing) + known * self.label_smoothing / truth.shape[-1]
            scores = ops.log_softmax(logits, axis=-1)
            losses.append(-ops.mean(ops.sum(ops.expand_dims(smooth, 1) * scores, axis=-1), axis=-1))
        return sum(losses) / len(losses)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sizes": self.sizes, "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("dlkit")
class AverageLogits(keras.layers.Layer):
    """Averages the probabilities of the members: (batch, members, labels) logits to (batch, labels) logarithms."""

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        return average_logits(logits)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (shape[0], shape[2])


def average_logits(logits: tf.Tensor) -> tf.Tensor:
    """Return the logarithms of the mean probabilities of the members."""
    total = ops.logsumexp(ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=1)
    return total - float(np.log(logits.shape[1]))


def split_targets(values: tf.Tensor, sizes: Sequence[int]) -> list[tf.Tensor]:
    """Split the labels of all targets, the last axis, by target; float32."""
    values, ends = ops.cast(values, "float32"), np.cumsum(sizes).tolist()
    return [values[..., end - size : end] for size, end in zip(sizes, ends, strict=True)]


def make_metrics(sizes: Sequence[int], weights: Sequence[float]) -> list[Any]:
    """Return the metrics of training, of the mean of the members and of the targets.

    Args:
        sizes: number of labels of each target.
        weights: weight of each label in the loss; empty for 1.

    Returns:
        `accuracy` and `log_loss`, weighted as the loss. Unlike the loss, it is that of the whole ensemble.
    """

    def mean(measure: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        parts = zip(split_targets(y_true, sizes), split_targets(y_pred, sizes), strict=True)
        return sum(measure(truth, average_logits(logits)) for truth, logits in parts) / len(sizes)

    def accuracy(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        def hit(truth: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
            return ops.cast(ops.argmax(truth, -1) == ops.argmax(scores, -1), "float32")

        return mean(hit, y_true, y_pred)

    def log_loss(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        weight = np.array(weights or 1.0, np.float32)
        return mean(lambda truth, scores: -ops.sum(truth * weight * scores, axis=-1), y_true, y_pred)

    return [keras.metrics.MeanMetricWrapper(measure, name=measure.__name__) for measure in (accuracy, log_loss)]
