"""Naive forecasts: the last value, and those of the same place in earlier seasons; and a mixture of them."""

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
