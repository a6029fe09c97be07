"""Quantile outputs that cannot cross, and the pinball loss that trains them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, ops, tf


@keras.saving.register_keras_serializable("dlkit")
class OrderedQuantiles(keras.layers.Layer):
    """Turns a median and unconstrained widths into quantiles in ascending order.

    The softplus of each width is the distance of a quantile from its neighbor on the median's side, so that quantiles
    never cross.

    Args:
        num_below: Number of quantiles below the median.

    Call arguments:
        median: Tensor of any shape (...,).
        widths: (..., quantiles - 1), unconstrained; those of the quantiles below the median come first.

    Returns:
        (..., quantiles) float32, ascending along the last axis.

    Examples:
        >>> import tensorflow as tf
        >>> layer = OrderedQuantiles(num_below=1)
        >>> layer(tf.zeros([2, 12]), tf.zeros([2, 12, 2])).shape
        TensorShape([2, 12, 3])
    """

    def __init__(self, num_below: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_below = num_below

    def call(self, median: tf.Tensor, widths: tf.Tensor) -> tf.Tensor:
        widths = ops.softplus(widths)
        median = ops.expand_dims(median, -1)
        lower = ops.flip(ops.cumsum(ops.flip(widths[..., : self.num_below], -1), -1), -1)
        return ops.concatenate([median - lower, median, median + ops.cumsum(widths[..., self.num_below :], -1)], -1)

    def compute_output_shape(
        self, median_shape: tuple[int | None, ...], widths_shape: tuple[Any, ...]
    ) -> tuple[int | None, ...]:
        return (*median_shape, widths_shape[-1] + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_below": self.num_below}


@keras.saving.register_keras_serializable("dlkit")
class PinballLoss(keras.losses.Loss):
    """Computes the mean pinball (quantile) loss over ensemble members, observed time steps and quantile levels.

    Time steps whose target is NaN are ignored; a row without any observed step has a loss of 0.
    Source: Koenker and Bassett, 1978.

    Args:
        quantile_levels: List of floats between 0 and 1.

    Call arguments:
        y_true: (batch, horizon) float32, NaN where the value is unknown.
        y_pred: (batch, ensemble_size, horizon, quantiles) float32.

    Examples:
        >>> import tensorflow as tf
        >>> loss = PinballLoss([0.1, 0.5, 0.9])
        >>> float(loss(tf.ones([2, 4]), tf.ones([2, 1, 4, 3])))
        0.0
    """

    def __init__(self, quantile_levels: Sequence[float], name: str = "pinball", **kwargs: Any):
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.quantile_levels = list(quantile_levels)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        observed = ops.logical_not(ops.isnan(y_true))
        truth = ops.where(observed, y_true, 0.0)[:, None, :, None]
        weight = ops.cast(observed, "float32")[:, None, :, None]
        error = truth - ops.cast(y_pred, "float32")
        levels = ops.convert_to_tensor(self.quantile_levels, "float32")
        loss = ops.maximum(levels * error, (levels - 1.0) * error) * weight
        ensemble_size = ops.cast(ops.shape(y_pred)[1], "float32")
        num_observed = ops.maximum(ops.sum(weight, axis=(1, 2, 3)), 1.0)
        return ops.sum(loss, axis=(1, 2, 3)) / (num_observed * float(len(self.quantile_levels)) * ensemble_size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "quantile_levels": self.quantile_levels}
