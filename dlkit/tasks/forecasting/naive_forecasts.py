"""Naive forecasts (last value, seasonal naive, drift and trends), and a learned mixture of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, ops, tf

MAX_SEASONS_BACK = 4


def get_naive_indices(context_length: int, horizon: int, season_lengths: Sequence[int]) -> np.ndarray:
    """Return the positions in a context window of the naive forecasts of each step of the horizon.

    Args:
        context_length, horizon: Positive integers, in time steps.
        season_lengths: List of integers, in time steps.

    Returns:
        (horizon, forecasts) int32: the last value first, then for each season the same phase one to four seasons back,
        as far as the window reaches for all steps of the horizon.

    Examples:
        >>> get_naive_indices(10, 3, [4]).tolist()
        [[9, 6, 2], [9, 7, 3], [9, 8, 4]]
    """
    ahead = np.arange(1, horizon + 1)
    columns = [np.full(horizon, context_length - 1)]
    for season_length in season_lengths:
        for back in range(MAX_SEASONS_BACK):
            indices = context_length - 1 + ahead - season_length * (-(-ahead // season_length) + back)
            if indices.min() >= 0 and not any((indices == column).all() for column in columns):
                columns.append(indices)
    return np.stack(columns, 1).astype(np.int32)


@keras.saving.register_keras_serializable("dlkit")
class NaiveForecasts(keras.layers.Layer):
    """Gathers the values of a window that are the naive forecasts of each step of the horizon.

    Args:
        indices: (horizon, forecasts) integers, as `get_naive_indices` returns them.

    Call arguments:
        values: (batch, steps) or (batch, steps, features).

    Returns:
        (batch, horizon, forecasts) or (batch, horizon, forecasts * features) float32.

    Examples:
        >>> import tensorflow as tf
        >>> NaiveForecasts(get_naive_indices(24, 6, [12]))(tf.zeros([2, 24])).shape
        TensorShape([2, 6, 3])
    """

    def __init__(self, indices: np.ndarray | Sequence[Sequence[int]], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.indices = np.asarray(indices, np.int32)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        gathered = ops.take(ops.cast(values, "float32"), ops.reshape(ops.convert_to_tensor(self.indices), [-1]), axis=1)
        horizon, forecasts = self.indices.shape
        features = 1 if len(values.shape) == 2 else values.shape[2]
        return ops.reshape(gathered, [-1, horizon, forecasts * features])

    def compute_output_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        horizon, forecasts = self.indices.shape
        return (shape[0], horizon, forecasts * (1 if len(shape) == 2 else shape[2]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "indices": self.indices.tolist()}


@keras.saving.register_keras_serializable("dlkit")
class TrendForecasts(keras.layers.Layer):
    """Extrapolates trends of a window.

    The forecasts are: the last value plus the slope of the window (drift); the line through the last `trend_length`
    steps; and for each season the last season plus its change from the season before, and plus the change that the
    slope of the window makes over a season. Lines are fitted by least squares to the observed values.

    Args:
        horizon: Positive integer, in time steps.
        trend_length: Positive integer, time steps at the end of the window that the second line is fitted to.
        season_lengths: List of integers, in time steps; the window must hold two seasons of each length.

    Call arguments:
        values: (batch, steps) float32.
        observed_mask: (batch, steps), 1 where a value was observed.

    Returns:
        Tuple of the forecasts, (batch, horizon, 2 + 2 * seasons) float32, and a mask of the same shape that is 1 where
        enough values were observed for the forecast.

    Examples:
        >>> import tensorflow as tf
        >>> forecasts, valid = TrendForecasts(6, 12, [12])(tf.zeros([2, 24]), tf.ones([2, 24]))
        >>> forecasts.shape
        TensorShape([2, 6, 4])
    """

    def __init__(self, horizon: int, trend_length: int, season_lengths: Sequence[int], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.horizon, self.trend_length, self.season_lengths = horizon, trend_length, list(season_lengths)

    def call(self, values: tf.Tensor, observed_mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values, observed_mask = ops.cast(values, "float32"), ops.cast(observed_mask, "float32")
        ahead = ops.arange(1, self.horizon + 1, dtype="float32")[None]
        _, slope, enough = _fit_line(values, observed_mask)
        level, end_slope, end_enough = _fit_line(
            values[:, -self.trend_length :], observed_mask[:, -self.trend_length :]
        )
        forecasts = [values[:, -1:] + slope * ahead, level + end_slope * ahead]
        valid = [enough * ops.ones_like(ahead), end_enough * ops.ones_like(ahead)]
        for season_length in self.season_lengths:
            indices = values.shape[1] - season_length + np.arange(self.horizon) % season_length
            last = observed_mask[:, -season_length:]
            before = observed_mask[:, -2 * season_length : -season_length]
            change = _masked_mean(values[:, -season_length:], last) - _masked_mean(
                values[:, -2 * season_length : -season_length], before
            )
            seasons_ahead = ops.cast(np.arange(self.horizon) // season_length + 1.0, "float32")[None]
            same_phase, observed = ops.take(values, indices, axis=1), ops.take(observed_mask, indices, axis=1)
            forecasts += [
                same_phase + change * seasons_ahead,
                same_phase + slope * season_length * seasons_ahead,
            ]
            both = (ops.mean(last, 1, keepdims=True) >= 0.5) & (ops.mean(before, 1, keepdims=True) >= 0.5)
            valid += [observed * ops.cast(both, "float32"), observed * enough]
        return ops.stack(forecasts, -1), ops.stack(valid, -1)

    def compute_output_shape(self, values_shape: tuple[Any, ...], observed_mask_shape: tuple[Any, ...]) -> Any:
        shape = (values_shape[0], self.horizon, 2 + 2 * len(self.season_lengths))
        return shape, shape

    def get_config(self) -> dict[str, Any]:
        own = {"horizon": self.horizon, "trend_length": self.trend_length, "season_lengths": self.season_lengths}
        return {**super().get_config(), **own}


MIN_VALUES_FOR_LINE = 3  # through two of them there always is one


def _fit_line(values: tf.Tensor, observed_mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Fit a line to the observed values: its value at the last step, its slope per step, and whether there are enough
    values; (batch, 1) each, all 0 where there are not."""
    steps = ops.arange(1 - values.shape[1], 1, dtype="float32")[None]
    count = ops.sum(observed_mask, 1, keepdims=True)
    mean_step = _masked_mean(steps * ops.ones_like(values), observed_mask)
    mean = _masked_mean(values, observed_mask)
    centered = observed_mask * (steps - mean_step)
    slope = ops.sum(centered * (values - mean), 1, keepdims=True) / ops.maximum(
        ops.sum(ops.square(centered), 1, keepdims=True), 1.0
    )
    enough = ops.cast(count >= MIN_VALUES_FOR_LINE, "float32")
    return enough * (mean - slope * mean_step), enough * slope, enough


def _masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    return ops.sum(mask * values, 1, keepdims=True) / ops.maximum(ops.sum(mask, 1, keepdims=True), 1.0)


@keras.saving.register_keras_serializable("dlkit")
class ForecastMixture(keras.layers.Layer):
    """Averages forecasts, weighted by the softmax of logits over the valid ones. The first forecast is always valid.

    Call arguments:
        logits, forecasts, valid: (batch, horizon, forecasts) each.

    Returns:
        (batch, horizon) float32.

    Examples:
        >>> import tensorflow as tf
        >>> forecasts = tf.constant([[[1.0, 2.0, 4.0]]])
        >>> float(ForecastMixture()(tf.zeros([1, 1, 3]), forecasts, tf.constant([[[1.0, 0.0, 1.0]]]))[0, 0])
        2.5
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, logits: tf.Tensor, forecasts: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        first = ops.arange(forecasts.shape[-1]) == 0
        weights = ops.softmax(ops.where(ops.logical_or(valid > 0, first), logits, -1e9), -1)
        return ops.sum(weights * forecasts, -1)

    def compute_output_shape(
        self,
        logits_shape: tuple[int | None, ...],
        forecasts_shape: tuple[int | None, ...],
        valid_shape: tuple[int | None, ...],
    ) -> tuple[int | None, ...]:
        return logits_shape[:-1]
