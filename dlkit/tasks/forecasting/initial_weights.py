"""Initial weights of a forecasting network: the best naive forecasts of the training windows, and their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.tasks.forecasting.naive_forecasts import NaiveForecasts, TrendForecasts, get_naive_indices
from dlkit.tasks.forecasting.networks import NetworkSpec, get_trend_options

# How fast a naive forecast loses weight by its error relative to that of the best one, without and with smoothing.
ERROR_SENSITIVITY, ERROR_SENSITIVITY_SMOOTHING = 1.0, 3.0
RECENT_SENSITIVITY = 8.0  # power of its recent error by which it loses weight
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
    values, observed_mask = tensors["values"], tensors["observed_mask"]
    trends, trends_valid = TrendForecasts(*get_trend_options(spec))(values, observed_mask)
    naive = NaiveForecasts(indices)
    forecasts = np.concatenate([naive(values), trends], -1)
    valid = np.concatenate([naive(observed_mask), trends_valid], -1) > 0
    truth = truth.numpy()[..., None]
    counted = np.isfinite(truth) & valid.all(-1, keepdims=True)
    if not counted.any():
        return True
    errors = np.where(counted, np.abs(forecasts - truth), 0.0).sum((0, 1)) / counted.sum()
    return bool(errors[indices.shape[1] :].min() < MAX_TREND_ERROR * errors[: indices.shape[1]].min())


def initialize_from_naive(
    network: keras.Model, tensors: Mapping[str, tf.Tensor], truth: tf.Tensor, quantile_levels: Sequence[float]
) -> float:
    """Set the initial biases of a network of `mixture_forecaster` from training windows.

    A small data set makes few training steps: a network that began with equal weights for all naive forecasts would
    spend them on finding out which ones are of use, and on the widths of its intervals. Networks without naive
    forecasts are left as they are.

    Args:
        network: Network, as `dlkit.tasks.forecasting.networks.mixture_forecaster` builds it.
        tensors: Its inputs, at least, for a number of training windows.
        truth: (windows, horizon) float32, the scaled future values, NaN where a value is unknown.
        quantile_levels: List of floats between 0 and 1, ascending.

    Returns:
        The error of the initial mixture on the windows, relative to that of a mixture without smoothing; 1 for a
        network without it.
    """
    names = {layer.name for layer in network.layers}
    if "forecasts" not in names or not len(truth):
        return 1.0
    full = _find_full_windows(tensors["observed_mask"].numpy())
    tensors, truth = (
        {name: tf.boolean_mask(tensors[name], full) for name in network.input},
        tf.boolean_mask(truth, full),
    )
    smooths, future = "autoregression" in names, truth.numpy()
    if smooths:
        held_out = _fit_autoregression(network, tensors, future)
    listed = ["forecasts", "forecasts_valid", *(["recent_errors"] if "recent_errors" in names else [])]
    outputs = keras.Model(network.input, [network.get_layer(name).output for name in listed])(dict(tensors))
    forecasts, valid, *recent = (part.numpy() for part in outputs)
    if smooths:
        forecasts[..., -1] = held_out  # the autoregression comes last; elsewhere it has seen the windows
    counted = np.isfinite(future)[..., None] & (valid > 0)
    counted[..., 0] |= np.isfinite(future)  # there always is a last value, if only a filled one
    if not counted.any():
        return 1.0
    sensitivity = ERROR_SENSITIVITY_SMOOTHING if smooths else ERROR_SENSITIVITY
    known = np.isfinite(future)
    logits, mixture = _mix(forecasts, counted, future, sensitivity, recent[0] if recent else None)
    spread = np.diff(np.quantile((future - mixture)[known], quantile_levels))
    widths = np.log(np.expm1(np.maximum(spread, MIN_QUANTILE_WIDTH)))
    for layer in network.layers:
        for name, bias in (("mixture_", logits), ("widths_", widths)):
            if layer.name.startswith(name):
                layer.bias.assign(_reshape_like(bias, layer.bias))
        if layer.name.startswith("sensitivity_"):
            layer.scale.assign(RECENT_SENSITIVITY)
    if not smooths:
        return 1.0
    smoothed = sum(network.get_layer(name).output[0].shape[-1] for name in ("smoothed", "logs") if name in names)
    others = forecasts.shape[-1] - smoothed - 1
    _, without = _mix(forecasts[..., :others], counted[..., :others], future, ERROR_SENSITIVITY, None)
    return float(np.abs(mixture - future)[known].mean() / max(np.abs(without - future)[known].mean(), 1e-9))


MIN_FULL_WINDOWS = 32


def _find_full_windows(observed_mask: np.ndarray) -> np.ndarray:
    """Return which windows count, (windows,) bool: those with at least half the values of the longest, if they suffice.

    The scale of a window of few values is a poor one: its errors, divided by it, would outweigh all others.
    """
    lengths = observed_mask.astype(bool).sum(1)
    full: np.ndarray = lengths >= 0.5 * lengths.max()
    return full if full.sum() >= MIN_FULL_WINDOWS else np.ones(len(full), bool)


def _mix(
    forecasts: np.ndarray, counted: np.ndarray, truth: np.ndarray, sensitivity: float, recent_errors: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Weight forecasts by their errors on all windows, and by their recent errors if these are given.

    Args:
        forecasts, counted: (windows, horizon, forecasts), the forecasts and whether they count.
        truth: (windows, horizon), NaN where a value is unknown.
        sensitivity: How fast a forecast loses weight by its error relative to that of the best one.
        recent_errors: (windows, forecasts) or None; see `RecentErrors`.

    Returns:
        logits: (forecasts,), by the errors on all windows.
        mixture: (windows, horizon).
    """
    absolute_errors = np.where(counted, np.abs(forecasts - truth[..., None]), 0.0)
    errors = absolute_errors.sum((0, 1)) / np.maximum(counted.sum((0, 1)), 1)
    errors = np.where(counted.any((0, 1)), errors, errors.max())
    relative = errors / max(errors.min(), MIN_QUANTILE_WIDTH) - 1.0
    logits = -np.minimum(sensitivity * relative, MAX_LOGIT)
    scores = np.broadcast_to(logits, counted.shape)
    if recent_errors is not None:
        scores = scores - RECENT_SENSITIVITY * recent_errors[:, None]
    weights = np.where(counted, np.exp(scores - scores.max(-1, keepdims=True)), 0.0)
    return logits, (weights * forecasts).sum(-1) / np.maximum(weights.sum(-1), 1e-9)


RIDGE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # per window
NUM_FOLDS = 4


def _fit_autoregression(network: keras.Model, tensors: Mapping[str, tf.Tensor], truth: np.ndarray) -> np.ndarray:
    """Set the weights of the autoregression by ridge regression, with a penalty chosen by cross-validation.

    The folds are blocks of time; windows that overlap a block are not among its training windows.

    Args:
        network, tensors: See `initialize_from_naive`.
        truth: (windows, horizon) float32, NaN where a value is unknown.

    Returns:
        (windows, horizon) float32, forecasts of each window by a regression that has not seen it.
    """
    layer = network.get_layer("autoregression")
    lags, horizon = layer.kernel.shape
    values = tensors["values"].numpy()[:, -lags:]
    last = values[:, -1:]
    known = np.isfinite(truth).all(1)
    if known.sum() < 2:
        return np.repeat(last, horizon, 1)
    x = np.concatenate([values - last, np.ones_like(last)], 1).astype(np.float64)
    y = np.where(known[:, None], truth - last, 0.0)
    cutoffs = tensors["cutoff"].numpy()
    gap = horizon * np.median(np.diff(np.unique(cutoffs))) if len(np.unique(cutoffs)) > 1 else 0
    blocks = np.array_split(np.unique(cutoffs), NUM_FOLDS)
    forecasts = {}
    for penalty in RIDGE_PENALTIES:
        made = np.zeros_like(y)
        for block in blocks:
            if not len(block):
                continue
            fold = (cutoffs >= block[0]) & (cutoffs <= block[-1])
            train = known & ((cutoffs < block[0] - gap) | (cutoffs > block[-1] + gap))
            if train.any():
                made[fold] = x[fold] @ _fit_ridge(x[train], y[train], penalty)
        forecasts[penalty] = made
    penalty = min(forecasts, key=lambda penalty: float(np.abs(forecasts[penalty] - y)[known].mean()))
    weights = _fit_ridge(x[known], y[known], penalty)
    layer.kernel.assign(weights[:-1].astype("float32"))
    layer.bias.assign(weights[-1].astype("float32"))
    return (forecasts[penalty] + last).astype(np.float32)


def _fit_ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Return the weights, (features, targets), of a ridge regression."""
    squares = x.T @ x
    return np.linalg.solve(squares + penalty * len(x) * np.eye(len(squares)), x.T @ y)


def _reshape_like(values: np.ndarray, variable: Any) -> np.ndarray:
    return values.reshape(variable.shape).astype("float32")
