"""Initial weights of a forecasting network: the best naive forecasts of the training windows, and their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.tasks.forecasting.autoregression import Autoregression, choose_share, fit_autoregression
from dlkit.tasks.forecasting.naive_forecasts import NaiveForecasts, TrendForecasts, get_naive_indices
from dlkit.tasks.forecasting.networks import NetworkSpec, get_trend_options

ERROR_SENSITIVITY = 1.0  # how fast a naive forecast loses weight by its error relative to that of the best one
MAX_LOGIT = 10.0
MAX_TREND_ERROR = 0.9  # relative to the error of the best naive forecast without a trend
MIN_QUANTILE_WIDTH = 1e-3  # between neighboring quantiles, in standard deviations of the window


def should_use_trends(spec: NetworkSpec, tensors: Mapping[str, tf.Tensor], truth: tf.Tensor) -> bool:
    """Return whether a trend forecast is clearly better on training windows than the naive forecasts without a trend.

    Where none is, trends would be noise among the inputs of the network. They are always used where the last value is
    the only other naive forecast.

    Args:
        spec: The shapes of the network; see `NetworkSpec`.
        tensors, truth: See `initialize_from_naive`.
    """
    indices = get_naive_indices(spec.context_length, spec.horizon, spec.season_lengths)
    if indices.shape[1] == 1:
        return True
    forecasts, valid = _forecast_naively(spec, tensors["values"], tensors["observed_mask"], use_trends=True)
    truth = truth.numpy()[..., None]
    counted = np.isfinite(truth) & (valid > 0).all(-1, keepdims=True)
    if not counted.any():
        return True
    errors = np.where(counted, np.abs(forecasts - truth), 0.0).sum((0, 1)) / counted.sum()
    return bool(errors[indices.shape[1] :].min() < MAX_TREND_ERROR * errors[: indices.shape[1]].min())


def should_use_smoothing(spec: NetworkSpec, tensors: Mapping[str, tf.Tensor], truth: tf.Tensor) -> bool:
    """Return whether exponential smoothing is better on training windows than the mixture of the naive forecasts.

    Args:
        spec: The shapes of the network; see `NetworkSpec`.
        tensors, truth: See `initialize_from_naive`.
    """
    full = _find_full_windows(tensors["observed_mask"].numpy())
    future = truth.numpy()[full]
    known = np.isfinite(future)
    if not spec.use_smoothing or not known.any():
        return spec.use_smoothing
    values, observed_mask = (tensors[name].numpy()[full] for name in ("values", "observed_mask"))
    mixture = _mix_naively(spec, values, observed_mask, future)
    smoothed = tensors["smoothed"].numpy()[full]
    return bool(np.abs(smoothed - future)[known].mean() < np.abs(mixture - future)[known].mean())


def find_autoregression(spec: NetworkSpec, tensors: Mapping[str, tf.Tensor], truth: tf.Tensor) -> Autoregression | None:
    """Fit an autoregression to training windows, and compare it with the forecast that it would be averaged with: that
    by exponential smoothing, or the mixture of the naive forecasts where there is none.

    Args:
        spec: The shapes of the network; see `NetworkSpec`.
        tensors, truth: See `initialize_from_naive`.

    Returns:
        The regression; None if it is not more accurate on windows that it has not seen.
    """
    full = _find_full_windows(tensors["observed_mask"].numpy())
    names = ["values", "observed_mask", "cutoff", *(["smoothed"] if spec.use_smoothing else [])]
    windows, future = {name: tf.boolean_mask(tensors[name], full) for name in names}, truth.numpy()[full]
    found = fit_autoregression(windows, future) if np.isfinite(future).any() else None
    if found is None:
        return None
    if spec.use_smoothing:
        other = windows["smoothed"].numpy()
    else:
        other = _mix_naively(spec, windows["values"], windows["observed_mask"], future)
    share = choose_share(found.held_out, other, future)
    return replace(found, share=share) if share else None


def _mix_naively(spec: NetworkSpec, values: Any, observed_mask: Any, future: np.ndarray) -> np.ndarray:
    """Return the initial mixture of the naive forecasts of windows, (windows, horizon)."""
    forecasts, valid = _forecast_naively(spec, values, observed_mask, spec.use_trends)
    return _mix(forecasts, _count(valid, np.isfinite(future)), future)[1]


def _forecast_naively(
    spec: NetworkSpec, values: Any, observed_mask: Any, use_trends: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the naive forecasts of windows, (windows, horizon, forecasts), trends last, and their mask."""
    naive = NaiveForecasts(get_naive_indices(spec.context_length, spec.horizon, spec.season_lengths))
    forecasts, valid = [naive(values)], [naive(observed_mask)]
    if use_trends:
        trends, trends_valid = TrendForecasts(*get_trend_options(spec))(values, observed_mask)
        forecasts, valid = [*forecasts, trends], [*valid, trends_valid]
    return np.concatenate(forecasts, -1), np.concatenate(valid, -1)


def initialize_from_naive(
    network: keras.Model,
    spec: NetworkSpec,
    tensors: Mapping[str, tf.Tensor],
    truth: tf.Tensor,
    autoregression: Autoregression | None = None,
) -> None:
    """Set the initial biases of a network of `mixture_forecaster` from training windows.

    A small data set makes few training steps: a network that began with equal weights for all naive forecasts would
    spend them on finding out which ones are of use, and on the widths of its intervals. Networks without naive
    forecasts are left as they are.

    Args:
        network: Network, as `dlkit.tasks.forecasting.networks.mixture_forecaster` builds it.
        spec: What it was built from.
        tensors: Its inputs, at least, for a number of training windows.
        truth: (windows, horizon) float32, the scaled future values, NaN where a value is unknown.
        autoregression: What `find_autoregression` returned for these windows.
    """
    if "forecasts" not in {layer.name for layer in network.layers} or not len(truth):
        return
    full = _find_full_windows(tensors["observed_mask"].numpy())
    inputs = {name: tf.boolean_mask(tensors[name], full) for name in network.input}
    future = truth.numpy()[full]
    outputs = [network.get_layer(name).output for name in ("forecasts", "forecasts_valid")]
    forecasts, valid = (part.numpy() for part in keras.Model(network.input, outputs)(inputs))
    known = np.isfinite(future)
    if not known.any():
        return
    if autoregression:
        network.get_layer("autoregression").set_weights([autoregression.kernel, autoregression.bias])
        forecasts[..., -1] = autoregression.held_out  # it has seen the windows
    logits, mixture = _mix(forecasts, _count(valid, known), future)
    widths = _find_widths((future - mixture)[known], spec.quantile_levels)
    for layer in network.layers:
        for name, bias in (("mixture_", logits), ("widths_", widths)):
            if layer.name.startswith(name):
                layer.bias.assign(_reshape_like(bias, layer.bias))
    if spec.has_untrained_member:
        share = spec.autoregression_share
        median = share * forecasts[..., -1] if share else 0.0
        median = median + (1.0 - share) * inputs["smoothed"].numpy() if spec.use_smoothing else median
        layer = network.get_layer("widths_untrained")
        layer.bias.assign(_reshape_like(_find_widths((future - median)[known], spec.quantile_levels), layer.bias))


def _find_widths(errors: np.ndarray, quantile_levels: Sequence[float]) -> np.ndarray:
    """Return the bias whose softplus is the distances between the quantiles of the errors."""
    spread = np.diff(np.quantile(errors, quantile_levels))
    widths: np.ndarray = np.log(np.expm1(np.maximum(spread, MIN_QUANTILE_WIDTH)))
    return widths


MIN_FULL_WINDOWS = 32


def _find_full_windows(observed_mask: np.ndarray) -> np.ndarray:
    """Return which windows count, (windows,) bool: those with at least half the values of the longest, if they suffice.

    The scale of a window of few values is a poor one: its errors, divided by it, would outweigh all others.
    """
    lengths = observed_mask.astype(bool).sum(1)
    full: np.ndarray = lengths >= 0.5 * lengths.max()
    return full if full.sum() >= MIN_FULL_WINDOWS else np.ones(len(full), bool)


def _count(valid: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which forecasts count, (windows, horizon, forecasts) bool."""
    counted: np.ndarray = known[..., None] & (valid > 0)
    counted[..., 0] |= known  # there always is a last value, if only a filled one
    return counted


def _mix(forecasts: np.ndarray, counted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight forecasts by their errors on all windows.

    Args:
        forecasts, counted: (windows, horizon, forecasts), the forecasts and whether they count.
        truth: (windows, horizon), NaN where a value is unknown.

    Returns:
        logits: (forecasts,).
        mixture: (windows, horizon).
    """
    absolute_errors = np.where(counted, np.abs(forecasts - truth[..., None]), 0.0)
    errors = absolute_errors.sum((0, 1)) / np.maximum(counted.sum((0, 1)), 1)
    errors = np.where(counted.any((0, 1)), errors, errors.max())
    logits = -np.minimum(ERROR_SENSITIVITY * (errors / max(errors.min(), MIN_QUANTILE_WIDTH) - 1.0), MAX_LOGIT)
    weights = np.where(counted, np.exp(logits), 0.0)
    return logits, (weights * forecasts).sum(-1) / np.maximum(weights.sum(-1), 1e-9)


def _reshape_like(values: np.ndarray, variable: Any) -> np.ndarray:
    return values.reshape(variable.shape).astype("float32")
