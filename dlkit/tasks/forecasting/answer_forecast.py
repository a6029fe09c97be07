"""From scaled quantiles to a forecast in the series' own units, with its stamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.forecasting.frequency import DAY, Step
from dlkit.tasks.forecasting.stamps import later, write_stamps


@keras.saving.register_keras_serializable("dlkit")
class AnswerForecast(keras.layers.Layer):
    """The mean of members' quantiles in the units of the history, and the stamps of the steps ahead.

    Call with `quantiles`: (batch, members, horizon, levels) float32, ascending; `center` and `scale`: (batch,) float64;
    `origin` and, of steps of months, `anchor`: (batch,) int64; and, if there is such, `lowest`: (batch,) float64, below
    which no quantile goes; all as of `ReadSeries`. The mean of ascending quantiles is ascending, and no mixture's tails
    are widened by it (Lichtendahl et al., 2013). Returns

    - `ds`: (batch, horizon) string, the stamps, as dates where the step is a day or longer and midnight its time;
    - `forecast`: (batch, horizon), the median, of the dtype of `center`;
    - `quantiles`: (batch, horizon, levels), the same;
    - `levels`: (batch, levels) float32.

    Args:
        step: as of `ReadSeries`.
        levels: list of float, ascending, 0.5 among them.
        finite: whether `at` pads by 0, and tells in `steps` how many count; else by NaN, which JSON does not have.
    """

    def __init__(self, step: Sequence[int], levels: Sequence[float], finite: bool = False, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.autocast = False  # what large series vary by is beyond float32
        self.step, self.levels, self.finite = list(step), list(levels), finite

    def call(
        self,
        quantiles: tf.Tensor,
        center: tf.Tensor,
        scale: tf.Tensor,
        origin: tf.Tensor,
        anchor: tf.Tensor | None = None,
        lowest: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        mean = tf.cast(tf.reduce_mean(tf.cast(quantiles, tf.float32), 1), center.dtype)
        mean = mean * scale[:, tf.newaxis, tf.newaxis] + center[:, tf.newaxis, tf.newaxis]
        if lowest is not None:
            mean = tf.maximum(mean, lowest[:, tf.newaxis, tf.newaxis])
        levels = tf.broadcast_to(tf.constant(self.levels), [tf.shape(mean)[0], len(self.levels)])
        forecast = mean[..., self.levels.index(0.5)]
        return {
            "ds": self._stamps(origin, anchor, quantiles.shape[2]),
            "forecast": forecast,
            "quantiles": mean,
            "levels": levels,
        }

    def at(self, answer: Mapping[str, tf.Tensor], horizon: tf.Tensor, levels: tf.Tensor) -> dict[str, tf.Tensor]:
        """The answer for fewer steps and other levels: 0, or NaN unless `finite`, and "" beyond `horizon`.

        Args:
            answer: what `call` returned.
            horizon: (batch,) int32, from 1 to the trained one.
            levels: (batch, any) float32, between the lowest and the highest trained one; quantiles in between are
                interpolated.
        """
        longest, known = answer["forecast"].shape[1], self.levels
        message = [f"`horizon` must be between 1 and {longest}, the trained horizon. Received:", horizon]
        tf.debugging.Assert(tf.reduce_all((horizon >= 1) & (horizon <= longest)), message, summarize=8)
        message = [f"`levels` must be between {known[0]:g} and {known[-1]:g}, as in training. Received:", levels]
        tf.debugging.Assert(
            tf.reduce_all((levels >= known[0] - 1e-6) & (levels <= known[-1] + 1e-6)), message, summarize=8
        )
        lower, upper = tf.constant(known[:-1]), tf.constant(known[1:])
        place = tf.reduce_sum(tf.clip_by_value((levels[..., tf.newaxis] - lower) / (upper - lower), 0.0, 1.0), -1)
        hats = tf.nn.relu(1.0 - tf.abs(place[..., tf.newaxis] - tf.range(len(known), dtype=tf.float32)))
        quantiles = tf.matmul(answer["quantiles"], tf.cast(hats, answer["quantiles"].dtype), transpose_b=True)
        there = tf.range(longest) < horizon[:, tf.newaxis]
        nothing = tf.constant(0.0 if self.finite else float("nan"), quantiles.dtype)
        return {
            **({"steps": horizon} if self.finite else {}),
            "ds": tf.where(there, answer["ds"], ""),
            "forecast": tf.where(there, answer["forecast"], nothing),
            "quantiles": tf.where(there[..., tf.newaxis], quantiles, nothing),
        }

    def _stamps(self, origin: tf.Tensor, anchor: tf.Tensor | None, horizon: int) -> tf.Tensor:
        step = Step(*self.step)
        steps = tf.range(1, horizon + 1, dtype=tf.int64)
        stamps = later(origin[:, tf.newaxis], steps, self.step, None if anchor is None else anchor[:, tf.newaxis])
        if step.whole:
            return tf.strings.as_string(stamps)
        day = DAY * step.per_second
        dates = tf.reduce_all(tf.math.floormod(stamps, day) == 0, 1, keepdims=True)
        if step.seconds % day:
            dates = tf.zeros_like(dates)
        timed = write_stamps(stamps, per_second=step.per_second)
        return tf.where(dates, write_stamps(stamps, time=False, per_second=step.per_second), timed)

    def compute_output_spec(
        self,
        quantiles: keras.KerasTensor,
        center: keras.KerasTensor,
        scale: keras.KerasTensor,
        origin: keras.KerasTensor,
        anchor: keras.KerasTensor | None = None,
        lowest: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        rows, _, horizon, levels = quantiles.shape
        return {
            "ds": keras.KerasTensor((rows, horizon), "string"),
            "forecast": keras.KerasTensor((rows, horizon), center.dtype),
            "quantiles": keras.KerasTensor((rows, horizon, levels), center.dtype),
            "levels": keras.KerasTensor((rows, levels), "float32"),
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "step": self.step, "levels": self.levels, "finite": self.finite}
