"""From scaled quantiles to a forecast in the units of the series, with its timestamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.forecasting.frequency import DAY, Frequency
from dlkit.tasks.forecasting.timestamps import add_steps, format_timestamps


@keras.saving.register_keras_serializable("dlkit")
class ForecastDecoding(keras.layers.Layer):
    """Averages the quantiles of an ensemble, converts them to the units of the series, and adds the timestamps.

    The mean of ascending quantiles is ascending, and averaging quantiles does not widen the tails as a mixture of the
    distributions would (Lichtendahl et al., 2013).

    Args:
        frequency: Frequency of the timestamps, as `Frequency.as_list` returns it.
        quantile_levels: List of floats, ascending, including 0.5.
        untrained_weight: Float from 0 to 1, the weight of the last member, the forecast that is not trained; None if
            there is none.

    Call arguments:
        quantiles: (batch, ensemble_size, horizon, quantiles) float32, scaled and ascending.
        center, scale: (batch,) float64, as `SeriesPreprocessing` returns them.
        cutoff: (batch,) int64, the last timestamp of the history.
        anchor_day: (batch,) int64, day of the month; for frequencies of months only.
        lower_bound: (batch,) float64, smallest value of a quantile; None for no bound.

    Returns:
        Dict of

        - `ds`: (batch, horizon) string, timestamps; dates if the time step is a day or longer and starts at midnight;
        - `forecast`: (batch, horizon), the median, of the dtype of `center`;
        - `quantiles`: (batch, horizon, quantiles), of the dtype of `center`;
        - `quantile_levels`: (batch, quantiles) float32.

    Examples:
        >>> import tensorflow as tf
        >>> layer = ForecastDecoding([1, 0, 0, 0, 0, 1], [0.1, 0.5, 0.9])
        >>> cutoff = tf.constant([0], tf.int64)  # January 1970
        >>> answer = layer(tf.zeros([1, 1, 2, 3]), center=tf.constant([7.0]), scale=tf.constant([2.0]), cutoff=cutoff)
        >>> answer["ds"].numpy()[0].tolist(), answer["forecast"].numpy()[0].tolist()
        ([b'1970-02-01', b'1970-03-01'], [7.0, 7.0])
    """

    def __init__(
        self,
        frequency: Sequence[int],
        quantile_levels: Sequence[float],
        untrained_weight: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.autocast = False  # small changes of large values need float64
        self.frequency, self.quantile_levels = list(frequency), list(quantile_levels)
        self.untrained_weight = untrained_weight

    def call(
        self,
        quantiles: tf.Tensor,
        center: tf.Tensor,
        scale: tf.Tensor,
        cutoff: tf.Tensor,
        anchor_day: tf.Tensor | None = None,
        lower_bound: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        mean = tf.cast(self._average(tf.cast(quantiles, tf.float32)), center.dtype)
        mean = mean * scale[:, tf.newaxis, tf.newaxis] + center[:, tf.newaxis, tf.newaxis]
        if lower_bound is not None:
            mean = tf.maximum(mean, lower_bound[:, tf.newaxis, tf.newaxis])
        levels = tf.broadcast_to(tf.constant(self.quantile_levels), [tf.shape(mean)[0], len(self.quantile_levels)])
        forecast = mean[..., self.quantile_levels.index(0.5)]
        return {
            "ds": self._make_timestamps(cutoff, anchor_day, quantiles.shape[2]),
            "forecast": forecast,
            "quantiles": mean,
            "quantile_levels": levels,
        }

    def _average(self, quantiles: tf.Tensor) -> tf.Tensor:
        if self.untrained_weight is None:
            return tf.reduce_mean(quantiles, 1)
        trained = (1.0 - self.untrained_weight) * tf.reduce_mean(quantiles[:, :-1], 1)
        return trained + self.untrained_weight * quantiles[:, -1]

    def select(
        self, answer: Mapping[str, tf.Tensor], horizon: tf.Tensor, quantile_levels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Select the first steps of a forecast, and interpolate other quantile levels.

        Args:
            answer: What `call` returned.
            horizon: (batch,) int32, number of time steps, from 1 to the trained horizon.
            quantile_levels: (batch, any) float32, between the lowest and the highest trained level. Quantiles between
                the trained levels are interpolated linearly.

        Returns:
            Dict of `ds`, `forecast` and `quantiles`, padded by "" and 0 beyond the horizon, and of `num_steps`,
            (batch,) int32, the number of steps that are not padding.
        """
        longest, trained = answer["forecast"].shape[1], self.quantile_levels
        message = [f"`horizon` must be between 1 and {longest}, the trained horizon. Received:", horizon]
        tf.debugging.Assert(tf.reduce_all((horizon >= 1) & (horizon <= longest)), message, summarize=8)
        bounds = f"`quantile_levels` must be between {trained[0]:g} and {trained[-1]:g}, as in training. Received:"
        inside = (quantile_levels >= trained[0] - 1e-6) & (quantile_levels <= trained[-1] + 1e-6)
        tf.debugging.Assert(tf.reduce_all(inside), [bounds, quantile_levels], summarize=8)
        lower, upper = tf.constant(trained[:-1]), tf.constant(trained[1:])
        fractions = tf.clip_by_value((quantile_levels[..., tf.newaxis] - lower) / (upper - lower), 0.0, 1.0)
        position = tf.reduce_sum(fractions, -1)
        distance = tf.abs(position[..., tf.newaxis] - tf.range(len(trained), dtype=tf.float32))
        weights = tf.cast(tf.nn.relu(1.0 - distance), answer["quantiles"].dtype)
        quantiles = tf.matmul(answer["quantiles"], weights, transpose_b=True)
        selected = tf.range(longest) < horizon[:, tf.newaxis]
        zero = tf.constant(0.0, quantiles.dtype)
        return {
            "num_steps": horizon,
            "ds": tf.where(selected, answer["ds"], ""),
            "forecast": tf.where(selected, answer["forecast"], zero),
            "quantiles": tf.where(selected[..., tf.newaxis], quantiles, zero),
        }

    def _make_timestamps(self, cutoff: tf.Tensor, anchor_day: tf.Tensor | None, horizon: int) -> tf.Tensor:
        frequency = Frequency(*self.frequency)
        steps = tf.range(1, horizon + 1, dtype=tf.int64)
        anchor_day = None if anchor_day is None else anchor_day[:, tf.newaxis]
        timestamps = add_steps(cutoff[:, tf.newaxis], steps, self.frequency, anchor_day)
        if frequency.integer:
            return tf.strings.as_string(timestamps)
        day = DAY * frequency.ticks_per_second
        dates_only = tf.reduce_all(tf.math.floormod(timestamps, day) == 0, 1, keepdims=True)
        if frequency.seconds % day:
            dates_only = tf.zeros_like(dates_only)
        dates = format_timestamps(timestamps, time=False, ticks_per_second=frequency.ticks_per_second)
        return tf.where(dates_only, dates, format_timestamps(timestamps, ticks_per_second=frequency.ticks_per_second))

    def compute_output_spec(
        self,
        quantiles: keras.KerasTensor,
        center: keras.KerasTensor,
        scale: keras.KerasTensor,
        cutoff: keras.KerasTensor,
        anchor_day: keras.KerasTensor | None = None,
        lower_bound: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        rows, _, horizon, levels = quantiles.shape
        return {
            "ds": keras.KerasTensor((rows, horizon), "string"),
            "forecast": keras.KerasTensor((rows, horizon), center.dtype),
            "quantiles": keras.KerasTensor((rows, horizon, levels), center.dtype),
            "quantile_levels": keras.KerasTensor((rows, levels), "float32"),
        }

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("frequency", "quantile_levels", "untrained_weight")}
        return {**super().get_config(), **own}
