"""Quantiles that cannot cross, and the loss that makes them quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, ops, tf


@keras.saving.register_keras_serializable("dlkit")
class OrderedQuantiles(keras.layers.Layer):
    """A median and widths to quantiles in ascending order.

    Call with `median`: (...,), and `widths`: (..., quantiles - 1), any numbers: by their softplus each quantile is away
    from its neighbour on the median's side, those below the median first. Returns (..., quantiles) float32.

    Args:
        below: how many quantiles are below the median.
    """

    def __init__(self, below: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.below = below

    def call(self, median: tf.Tensor, widths: tf.Tensor) -> tf.Tensor:
        widths = ops.softplus(widths)
        median = ops.expand_dims(median, -1)
        lower = ops.flip(ops.cumsum(ops.flip(widths[..., : self.below], -1), -1), -1)
        return ops.concatenate([median - lower, median, median + ops.cumsum(widths[..., self.below :], -1)], -1)

    def compute_output_shape(
        self, median_shape: tuple[int | None, ...], widths_shape: tuple[Any, ...]
    ) -> tuple[int | None, ...]:
        return (*median_shape, widths_shape[-1] + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "below": self.below}


@keras.saving.register_keras_serializable("dlkit")
class Pinball(keras.losses.Loss):
    """The mean pinball loss of quantiles, over members, known steps and levels (Koenker and Bassett, 1978).

    Call with targets (batch, horizon) float32, NaN where a value is not known, and quantiles (batch, members, horizon,
    levels). A row counts by its known steps; one without any counts nothing.

    Args:
        levels: list of float, between 0 and 1.
    """

    def __init__(self, levels: Sequence[float], name: str = "pinball", **kwargs: Any):
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.levels = list(levels)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        known = ops.logical_not(ops.isnan(y_true))
        truth = ops.where(known, y_true, 0.0)[:, None, :, None]
        weight = ops.cast(known, "float32")[:, None, :, None]
        error = truth - ops.cast(y_pred, "float32")
        levels = ops.convert_to_tensor(self.levels, "float32")
        loss = ops.maximum(levels * error, (levels - 1.0) * error) * weight
        shape = ops.shape(y_pred)
        rows = ops.maximum(ops.sum(weight, axis=(1, 2, 3)), 1.0)
        return ops.sum(loss, axis=(1, 2, 3)) / (rows * float(len(self.levels)) * ops.cast(shape[1], "float32"))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}
