"""What a forecasting network begins with: the naive forecasts that were best in training, and how far they were off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.tasks.forecasting.naive_forecasts import NaiveForecasts, TrendForecasts, naive_places
from dlkit.tasks.forecasting.networks import Shape, trend_options

SHARP = 1.0  # how fast a naive forecast loses weight by its error over that of the best
BETTER = 0.9  # of the error of the best forecast without a trend
LEAST = 1e-3  # of a width between quantiles, in deviations of the window


def trends_help(shape: Shape, tensors: Mapping[str, tf.Tensor], truth: tf.Tensor) -> bool:
    """Whether a forecast by trend is clearly better on training windows than those without, or is the only other one.

    Where none is, they are noise among the inputs of the network. Args as of `begin_with_naive`.
    """
    places = naive_places(shape.window, shape.horizon, shape.seasons)
    if places.shape[1] == 1:
        return True
    values, there = tensors["values"], tensors["there"]
    made, known = TrendForecasts(*trend_options(shape))(values, there)
    naive = NaiveForecasts(places)
    forecasts = np.concatenate([naive(values), made], -1)
    counted = np.concatenate([naive(there), known], -1) > 0
    truth = truth.numpy()[..., None]
    counted = np.isfinite(truth) & counted.all(-1, keepdims=True)
    if not counted.any():
        return True
    errors = np.where(counted, np.abs(forecasts - truth), 0.0).sum((0, 1)) / counted.sum()
    return bool(errors[places.shape[1] :].min() < BETTER * errors[: places.shape[1]].min())


def begin_with_naive(
    network: keras.Model, tensors: Mapping[str, tf.Tensor], truth: tf.Tensor, levels: Sequence[float]
) -> None:
    """Sets the first biases of a `forecaster` network by training windows.

    Few windows make few steps: a network that begins with all naive forecasts alike spends them on finding out which
    ones are of use, and on the width of its intervals. Networks without naive forecasts are left as they are.

    Args:
        network: as `dlkit.tasks.forecasting.networks.forecaster` builds it.
        tensors: its inputs, of windows.
        truth: (windows, horizon) float32, scaled as they are, NaN where a value is not known.
        levels: list of float, of the quantiles.
    """
    names = {layer.name for layer in network.layers}
    if "forecasts" not in names or not len(truth):
        return
    outputs = [network.get_layer(name).output for name in ("forecasts", "forecasts_there")]
    made, there = (part.numpy() for part in keras.Model(network.input, outputs)(dict(tensors)))
    truth = truth.numpy()[..., None]
    counted = np.isfinite(truth) & (there > 0)
    counted[..., 0] |= np.isfinite(truth[..., 0])  # the last value is always there, if only a filled one
    if not counted.any():
        return
    off = np.where(counted, np.abs(made - truth), 0.0)
    errors = off.sum((0, 1)) / np.maximum(counted.sum((0, 1)), 1)
    errors = np.where(counted.any((0, 1)), errors, errors.max())
    logits = -np.minimum(SHARP * (errors / max(errors.min(), LEAST) - 1.0), 10.0)
    weights = np.where(counted, np.exp(logits), 0.0)
    mixed = (weights * made).sum(-1) / np.maximum(weights.sum(-1), 1e-9)
    known = np.isfinite(truth[..., 0])
    spread = np.diff(np.quantile((truth[..., 0] - mixed)[known], levels))
    widths = np.log(np.expm1(np.maximum(spread, LEAST)))
    for layer in network.layers:
        for name, bias in (("mixture_", logits), ("widths_", widths)):
            if layer.name.startswith(name):
                layer.bias.assign(_like(bias, layer.bias))


def _like(values: np.ndarray, variable: Any) -> np.ndarray:
    return values.reshape(variable.shape).astype("float32")
