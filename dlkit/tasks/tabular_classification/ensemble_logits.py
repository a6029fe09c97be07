"""Logits of an ensemble: its loss, its accuracy and its mean."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, ops, tf


@keras.saving.register_keras_serializable("dlkit")
class EnsembleCrossentropy(keras.losses.Loss):
    """Computes the cross-entropy of each member of an ensemble, and returns their mean.

    Args:
        label_smoothing: fraction of the target probability that is spread evenly over all labels.

    Call with `y_true`: (batch, labels) of zeros and ones; `y_pred`: (batch, members, labels) logits.
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "crossentropy", **kwargs: Any):
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.label_smoothing = label_smoothing

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        truth = ops.cast(y_true, "float32")
        truth = truth * (1 - self.label_smoothing) + self.label_smoothing / truth.shape[-1]
        scores = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        return -ops.mean(ops.sum(ops.expand_dims(truth, 1) * scores, axis=-1), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


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
    """Return the logarithms of the summed probabilities of the members, whose softmax is their mean."""
    return ops.logsumexp(ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=1)


def make_metrics() -> list[Any]:
    """Return the metrics of training: the accuracy of the ensemble."""

    def accuracy(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return ops.cast(ops.argmax(y_true, -1) == ops.argmax(average_logits(y_pred), -1), "float32")

    return [keras.metrics.MeanMetricWrapper(accuracy, name="accuracy")]
