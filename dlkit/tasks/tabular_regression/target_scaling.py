"""The transformation of targets, and its inverse in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.lazy import keras, ops, tf


@keras.saving.register_keras_serializable("dlkit")
class TargetScaling(keras.layers.Layer):
    """Converts scaled numbers back to the units of the targets; `transform` is its inverse.

    Call with (batch, targets, ...) float32, scaled. Returns the same shape.

    Args:
        targets: number of targets.
        logarithm: whether log(1 + y) is scaled, and not y.

    Examples:
        >>> import numpy as np
        >>> scaling = TargetScaling(1)
        >>> scaling.adapt(np.array([[10.0], [30.0]]))
        >>> scaling(np.array([[0.5]], np.float32)).numpy().tolist()
        [[25.0]]
    """

    def __init__(self, targets: int, logarithm: bool = False, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.targets, self.logarithm = targets, logarithm
        for name, value in (("mean", "zeros"), ("deviation", "ones")):
            setattr(self, name, self.add_weight((targets,), value, trainable=False, name=name))

    def adapt(self, values: np.ndarray) -> None:
        """Learn mean and standard deviation of (rows, targets) values, NaN where unknown."""
        values = np.log1p(values) if self.logarithm else values
        deviation = np.nanstd(values, axis=0)
        self.mean.assign(np.nanmean(values, axis=0))
        self.deviation.assign(np.where(deviation > 0, deviation, 1.0))

    def transform(self, values: tf.Tensor) -> tf.Tensor:
        """Scale (batch, targets) values; NaN stays."""
        values = tf.cast(values, tf.float32)
        return ((tf.math.log1p(values) if self.logarithm else values) - self.mean) / self.deviation

    def call(self, scaled: tf.Tensor) -> tf.Tensor:
        more = (1,) * (len(scaled.shape) - 2)
        mean, deviation = (ops.reshape(weight, (-1, *more)) for weight in (self.mean, self.deviation))
        values = ops.cast(scaled, "float32") * deviation + mean
        return ops.expm1(values) if self.logarithm else values

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "targets": self.targets, "logarithm": self.logarithm}


@keras.saving.register_keras_serializable("dlkit")
class EnsembleSquaredError(keras.losses.Loss):
    """Computes the squared error of each member of an ensemble, and returns their mean over the known targets.

    Call with `y_true`: (batch, targets), NaN where unknown; `y_pred`: (batch, members, targets).
    """

    def __init__(self, name: str = "squared_error", **kwargs: Any):
        super().__init__(name=name, **{"dtype": "float32", **kwargs})

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        known = ops.logical_not(ops.isnan(y_true))
        error = ops.expand_dims(ops.where(known, y_true, 0.0), 1) - ops.cast(y_pred, "float32")
        weights = ops.cast(known, "float32")
        total = ops.sum(ops.mean(ops.square(error), axis=1) * weights, axis=-1)
        return total / ops.maximum(ops.sum(weights, axis=-1), 1.0)
