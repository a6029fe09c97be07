"""Naive forecasts (last value, seasonal naive, drift and trends), and a learned mixture of them."""

from __future__ import annotations

import math
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


SMOOTHING_DECAYS = (0.4, 0.7, 0.9)  # of the weight of a step, per step back
SEASON_DECAY = 0.7  # of the weight of a season, per season back
TREND_DAMPING = 0.96  # of the slope, per step ahead


@keras.saving.register_keras_serializable("dlkit")
class SmoothedForecasts(keras.layers.Layer):
    """Exponential smoothing with fixed coefficients: levels and damped trends, without and with additive seasons.

    The seasonal component of a phase is the mean, weighted by `SEASON_DECAY`, of the differences of its values from the
    line through their seasons. For each of `SMOOTHING_DECAYS`, the exponentially weighted mean of the values and the
    exponentially weighted line through them are extrapolated, the latter with a damped slope.

    Args:
        horizon: Positive integer, in time steps.
        season_length: Positive integer, in time steps; 1 for none. The window must hold two seasons.

    Call arguments:
        values: (batch, steps) float32.
        observed_mask: (batch, steps), 1 where a value was observed.

    Returns:
        Tuple of the forecasts, (batch, horizon, 6 or 12) float32, and a mask of the same shape that is 1 where enough
        values were observed for the forecast.

    Examples:
        >>> import tensorflow as tf
        >>> forecasts, valid = SmoothedForecasts(6, 12)(tf.zeros([2, 24]), tf.ones([2, 24]))
        >>> forecasts.shape
        TensorShape([2, 6, 12])
    """

    def __init__(self, horizon: int, season_length: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.horizon, self.season_length = horizon, season_length

    def call(self, values: tf.Tensor, observed_mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values, observed_mask = ops.cast(values, "float32"), ops.cast(observed_mask, "float32")
        forecasts = self._extrapolate(values, observed_mask)
        enough = ops.cast(ops.sum(observed_mask, 1, keepdims=True) >= MIN_VALUES_FOR_LINE, "float32")
        valid = [enough * ops.ones([1, self.horizon])] * len(forecasts)
        if self.season_length > 1:
            profile, known = self._profile(values, observed_mask)
            phases = np.arange(-values.shape[1], self.horizon) % self.season_length
            seasonal = ops.take(profile, phases, axis=1)
            past, ahead = seasonal[:, : values.shape[1]], seasonal[:, values.shape[1] :]
            forecasts += [forecast + ahead for forecast in self._extrapolate(values - past, observed_mask)]
            valid += [known * ops.ones([1, self.horizon])] * len(valid)
        return ops.stack(forecasts, -1), ops.stack(valid, -1)

    def _extrapolate(self, values: tf.Tensor, observed_mask: tf.Tensor) -> list[tf.Tensor]:
        ago = np.arange(values.shape[1] - 1, -1, -1, dtype=np.float32)[None]
        damped = np.cumsum(TREND_DAMPING ** np.arange(1, self.horizon + 1)).astype(np.float32)[None]
        forecasts = []
        for decay in SMOOTHING_DECAYS:
            weights = observed_mask * np.exp(np.maximum(ago * np.log(decay), -40.0)).astype(np.float32)
            total = ops.maximum(ops.sum(weights, 1, keepdims=True), 1e-12)
            mean = ops.sum(weights * values, 1, keepdims=True) / total
            lag = ops.sum(weights * ago, 1, keepdims=True) / total
            variance = ops.sum(weights * ops.square(ago - lag), 1, keepdims=True) / total
            covariance = ops.sum(weights * (lag - ago) * (values - mean), 1, keepdims=True) / total
            slope = covariance / ops.maximum(variance, 0.1)
            forecasts += [mean * ops.ones_like(damped), mean + slope * (lag + damped)]
        return forecasts

    def _profile(self, values: tf.Tensor, observed_mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the seasonal component, (batch, season_length), the last phase last, and whether it is known."""
        season, steps = self.season_length, values.shape[1]
        seasons = steps // season
        start = steps - seasons * season
        blocks, observed = (ops.reshape(part[:, start:], [-1, seasons, season]) for part in (values, observed_mask))
        counts = ops.sum(observed, 2, keepdims=True)
        means = ops.sum(observed * blocks, 2, keepdims=True) / ops.maximum(counts, 1.0)
        full = ops.cast(counts >= 0.75 * season, "float32")
        phases = np.arange(season, dtype=np.float32)[None, None] - (season - 1) / 2
        # The slope within a season is that from the season before to the one after, as far as these are known.
        pairs = full[:, 1:] * full[:, :-1]
        changes = pairs * (means[:, 1:] - means[:, :-1])
        none = ops.zeros_like(means[:, :1])
        both = ops.concatenate([pairs, none], 1) + ops.concatenate([none, pairs], 1)
        slopes = ops.concatenate([changes, none], 1) + ops.concatenate([none, changes], 1)
        slopes = slopes / ops.maximum(both, 1.0) / season
        back = np.arange(seasons - 1, -1, -1, dtype=np.float32)[None, :, None]
        weights = observed * full * (SEASON_DECAY**back).astype(np.float32)
        differences = blocks - means - slopes * phases
        profile = ops.sum(weights * differences, 1) / ops.maximum(ops.sum(weights, 1), 1e-6)
        return profile, ops.cast(ops.sum(full, 1) >= 2, "float32")

    def compute_output_shape(self, values_shape: tuple[Any, ...], observed_mask_shape: tuple[Any, ...]) -> Any:
        count = 2 * len(SMOOTHING_DECAYS) * (2 if self.season_length > 1 else 1)
        shape = (values_shape[0], self.horizon, count)
        return shape, shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon, "season_length": self.season_length}


@keras.saving.register_keras_serializable("dlkit")
class LogForecasts(keras.layers.Layer):
    """Trends and exponential smoothing of the logarithms of a window: growth by a rate, and seasons in proportion.

    The forecasts are those of `TrendForecasts` and `SmoothedForecasts` on logarithms, only the seasonal ones if there
    is a season. They go beyond the window's own range of logarithms by at most this range.

    Args:
        horizon, trend_length, season_length: See `TrendForecasts` and `SmoothedForecasts`; 1 for no season.

    Call arguments:
        values: (batch, steps) float32.
        observed_mask: (batch, steps), 1 where a value was observed.
        zero: (batch,) float32, what a value of 0 is scaled to.

    Returns:
        Tuple of the forecasts, (batch, horizon, 8) float32, and a mask of the same shape that is 1 where the forecast
        is valid: where enough values were observed, and all of them are above 0.

    Examples:
        >>> import tensorflow as tf
        >>> values = tf.constant([[1.0, 2.0, 4.0, 8.0]])
        >>> forecasts, valid = LogForecasts(1, 4, 1)(values, tf.ones([1, 4]), tf.zeros([1]))
        >>> float(tf.round(forecasts[0, 0, 0]))
        16.0
    """

    def __init__(self, horizon: int, trend_length: int, season_length: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.horizon, self.trend_length, self.season_length = horizon, trend_length, season_length
        seasons = [season_length] if season_length > 1 else []
        self.trends = TrendForecasts(horizon, trend_length, seasons, name="trends")
        self.smoothed = SmoothedForecasts(horizon, season_length, name="smoothed")

    def build(self, *shapes: tuple[Any, ...]) -> None:
        """Build nothing: the layers inside have no weights."""

    def call(self, values: tf.Tensor, observed_mask: tf.Tensor, zero: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values, observed = ops.cast(values, "float32"), ops.cast(observed_mask, "float32")
        above = values - zero[:, None]
        lowest = ops.min(ops.where(observed > 0, above, MAX_LOG_ARGUMENT), 1, keepdims=True)
        logs = ops.log(ops.clip(above, MIN_LOG_ARGUMENT, MAX_LOG_ARGUMENT))
        low = ops.min(ops.where(observed > 0, logs, math.log(MAX_LOG_ARGUMENT)), 1)[:, None, None]
        high = ops.max(ops.where(observed > 0, logs, math.log(MIN_LOG_ARGUMENT)), 1)[:, None, None]
        parts = [self.trends(logs, observed_mask), self.smoothed(logs, observed_mask)]
        if self.season_length > 1:
            parts = [(part[..., part.shape[-1] // 2 :], known[..., part.shape[-1] // 2 :]) for part, known in parts]
        forecasts, valid = (ops.concatenate(each, -1) for each in zip(*parts, strict=True))
        span = ops.maximum(high - low, 0.0)
        forecasts = ops.exp(ops.clip(forecasts, low - span, high + span)) + zero[:, None, None]
        positive = ops.cast(lowest > MIN_ABOVE, "float32")[..., None]
        return ops.where(positive > 0, forecasts, values[:, -1:, None]), valid * positive

    def compute_output_shape(
        self, values_shape: tuple[Any, ...], observed_mask_shape: tuple[Any, ...], zero_shape: tuple[Any, ...]
    ) -> Any:
        shape = (values_shape[0], self.horizon, 2 + 2 * len(SMOOTHING_DECAYS))
        return shape, shape

    def get_config(self) -> dict[str, Any]:
        own = {"horizon": self.horizon, "trend_length": self.trend_length, "season_length": self.season_length}
        return {**super().get_config(), **own}


MIN_LOG_ARGUMENT, MAX_LOG_ARGUMENT = 1e-6, 1e9  # in standard deviations of the window
MIN_ABOVE = 1e-3  # in standard deviations, how far all values are above 0


@keras.saving.register_keras_serializable("dlkit")
class RecentErrors(keras.layers.Layer):
    """Logarithms of the mean absolute errors that forecasts had at earlier cutoffs, within the window.

    Args:
        horizon: Positive integer, in time steps.

    Call arguments:
        values, observed_mask: (batch, steps).
        forecasts, valid: lists of (batch, horizon, forecasts), one for each earlier cutoff: one horizon before the end
            of the window, two horizons, and so on.

    Returns:
        (batch, forecasts) float32: the logarithms, less their mean over the forecasts. A forecast that could be made
        for less than half of the values gets the error of the worst one.

    Examples:
        >>> import tensorflow as tf
        >>> values = tf.constant([[0.0, 1.0, 2.0, 3.0]])
        >>> made = tf.constant([[[2.0, 1.0], [3.0, 1.0]]])  # at the cutoff after the second value
        >>> errors = RecentErrors(2)(values, tf.ones([1, 4]), [made], [tf.ones([1, 2, 2])])
        >>> bool(errors[0, 0] < errors[0, 1])
        True
    """

    def __init__(self, horizon: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.horizon = horizon

    def call(self, values: tf.Tensor, observed_mask: tf.Tensor, forecasts: list, valid: list) -> tf.Tensor:
        values, observed_mask = ops.cast(values, "float32"), ops.cast(observed_mask, "float32")
        total, count = 0.0, 0.0
        for number, (made, known) in enumerate(zip(forecasts, valid, strict=True)):
            start = values.shape[1] - (number + 1) * self.horizon
            truth = values[:, start : start + self.horizon, None]
            counted = observed_mask[:, start : start + self.horizon, None] * ops.cast(known > 0, "float32")
            total += ops.sum(counted * ops.abs(made - truth), 1)
            count += ops.sum(counted, 1)
        known = count >= 0.5 * ops.max(count, 1, keepdims=True) + 0.5
        logs = ops.log(total / ops.maximum(count, 1.0) + MIN_ERROR)
        worst = ops.max(ops.where(known, logs, -1e9), 1, keepdims=True)
        worst = ops.where(worst < -1e8, 0.0, worst)
        logs = ops.where(known, logs, worst)
        return logs - ops.mean(logs, 1, keepdims=True)

    def compute_output_shape(
        self, values_shape: Any, observed_mask_shape: Any, forecasts_shape: Any, valid_shape: Any
    ) -> Any:
        return (values_shape[0], forecasts_shape[0][-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon}


MIN_ERROR = 0.02  # in standard deviations of the window


@keras.saving.register_keras_serializable("dlkit")
class SharedScale(keras.layers.Layer):
    """Multiplies by one trainable number.

    Call arguments:
        values: float32, of any shape.

    Returns:
        float32, of the same shape.

    Examples:
        >>> import tensorflow as tf
        >>> SharedScale()(tf.constant([[1.0, 2.0]])).numpy().tolist()
        [[1.0, 2.0]]
    """

    def build(self, shape: tuple[Any, ...]) -> None:
        self.scale = self.add_weight((), initializer="ones", name="scale")

    def call(self, values: tf.Tensor) -> tf.Tensor:
        return values * self.scale

    def compute_output_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return shape


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
