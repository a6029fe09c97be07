"""Naive forecasts: the last value, those of the same place in earlier seasons, and trends; and a mixture of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, ops, tf

SEASONS_BACK = 4


def naive_places(window: int, horizon: int, seasons: Sequence[int]) -> np.ndarray:
    """Where in a window the naive forecasts of each step lie.

    Args:
        window, horizon: positive integers, in steps.
        seasons: list of integers, lengths of seasons in steps.

    Returns:
        (horizon, forecasts) int32: the last value first, then of each season the same place one to four seasons back,
        as far as the window reaches for all steps.
    """
    ahead = np.arange(1, horizon + 1)
    columns = [np.full(horizon, window - 1)]
    for season in seasons:
        for back in range(SEASONS_BACK):
            places = window - 1 + ahead - season * (-(-ahead // season) + back)
            if places.min() >= 0 and not any((places == column).all() for column in columns):
                columns.append(places)
    return np.stack(columns, 1).astype(np.int32)


@keras.saving.register_keras_serializable("dlkit")
class NaiveForecasts(keras.layers.Layer):
    """What stands at the places of the naive forecasts: from (batch, steps) or (batch, steps, names) to
    (batch, horizon, forecasts) or (batch, horizon, forecasts * names), float32.

    Args:
        places: (horizon, forecasts) integers, as of `naive_places`.
    """

    def __init__(self, places: np.ndarray | Sequence[Sequence[int]], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.places = np.asarray(places, np.int32)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        found = ops.take(ops.cast(values, "float32"), ops.reshape(ops.convert_to_tensor(self.places), [-1]), axis=1)
        horizon, forecasts = self.places.shape
        width = 1 if len(values.shape) == 2 else values.shape[2]
        return ops.reshape(found, [-1, horizon, forecasts * width])

    def compute_output_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        horizon, forecasts = self.places.shape
        return (shape[0], horizon, forecasts * (1 if len(shape) == 2 else shape[2]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "places": self.places.tolist()}


@keras.saving.register_keras_serializable("dlkit")
class TrendForecasts(keras.layers.Layer):
    """Forecasts that go on with a trend: the last value and the slope of the window (drift), the line through the
    newest `recent` steps, and of each season the same place of the last one, with the change from the season before it,
    and with that which the slope of the window makes of a season.

    Call with `values`: (batch, window) float32, and `there`: (batch, window), whether each was given: lines are fitted
    to those by least squares. Returns forecasts, (batch, horizon, 2 + 2 * seasons) float32, and which of them could
    be made, the same.

    Args:
        horizon: positive integer, steps ahead.
        recent: positive integer, in steps.
        seasons: list of integers, lengths of seasons in steps, of which the window holds two.
    """

    def __init__(self, horizon: int, recent: int, seasons: Sequence[int], **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.horizon, self.recent, self.seasons = horizon, recent, list(seasons)

    def call(self, values: tf.Tensor, there: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        values, there = ops.cast(values, "float32"), ops.cast(there, "float32")
        ahead = ops.arange(1, self.horizon + 1, dtype="float32")[None]
        _, slope, enough = _line(values, there)
        level, recent, recently = _line(values[:, -self.recent :], there[:, -self.recent :])
        made = [values[:, -1:] + slope * ahead, level + recent * ahead]
        known = [enough * ops.ones_like(ahead), recently * ops.ones_like(ahead)]
        for season in self.seasons:
            places = values.shape[1] - season + np.arange(self.horizon) % season
            last, before = there[:, -season:], there[:, -2 * season : -season]
            change = _mean(values[:, -season:], last) - _mean(values[:, -2 * season : -season], before)
            times = ops.cast(np.arange(self.horizon) // season + 1.0, "float32")[None]
            same, given = ops.take(values, places, axis=1), ops.take(there, places, axis=1)
            made += [same + change * times, same + slope * season * times]
            both = (ops.mean(last, 1, keepdims=True) >= 0.5) & (ops.mean(before, 1, keepdims=True) >= 0.5)
            known += [given * ops.cast(both, "float32"), given * enough]
        return ops.stack(made, -1), ops.stack(known, -1)

    def compute_output_shape(self, values_shape: tuple[Any, ...], there_shape: tuple[Any, ...]) -> Any:
        shape = (values_shape[0], self.horizon, 2 + 2 * len(self.seasons))
        return shape, shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon, "recent": self.recent, "seasons": self.seasons}


LINE = 3  # values that a line needs: through two of them there is always one


def _line(values: tf.Tensor, there: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The line through what is there: its value at the last step, its slope a step, and whether it has enough values;
    (batch, 1) each, and 0 without."""
    steps = ops.arange(1 - values.shape[1], 1, dtype="float32")[None]
    count = ops.sum(there, 1, keepdims=True)
    middle, mean = _mean(steps * ops.ones_like(values), there), _mean(values, there)
    away = there * (steps - middle)
    slope = ops.sum(away * (values - mean), 1, keepdims=True) / ops.maximum(
        ops.sum(ops.square(away), 1, keepdims=True), 1.0
    )
    enough = ops.cast(count >= LINE, "float32")
    return enough * (mean - slope * middle), enough * slope, enough


def _mean(values: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
    return ops.sum(there * values, 1, keepdims=True) / ops.maximum(ops.sum(there, 1, keepdims=True), 1.0)


@keras.saving.register_keras_serializable("dlkit")
class MixForecasts(keras.layers.Layer):
    """A mean of forecasts, weighted by the softmax of logits over those that are there; the first one always is.

    Call with `logits`, `forecasts` and `there`, each (batch, horizon, forecasts); returns (batch, horizon) float32.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, logits: tf.Tensor, forecasts: tf.Tensor, there: tf.Tensor) -> tf.Tensor:
        first = ops.arange(forecasts.shape[-1]) == 0
        weights = ops.softmax(ops.where(ops.logical_or(there > 0, first), logits, -1e9), -1)
        return ops.sum(weights * forecasts, -1)

    def compute_output_shape(
        self,
        logits_shape: tuple[int | None, ...],
        forecasts_shape: tuple[int | None, ...],
        there_shape: tuple[int | None, ...],
    ) -> tuple[int | None, ...]:
        return logits_shape[:-1]
