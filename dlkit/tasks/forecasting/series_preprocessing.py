"""From the raw history of a request to a context window on a regular grid, with filled gaps, scaled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.tasks.forecasting.columns import MIN_VALUES_FOR_SCALE
from dlkit.tasks.forecasting.exponential_smoothing import smooth
from dlkit.tasks.forecasting.frequency import DAY, Frequency
from dlkit.tasks.forecasting.timestamps import (
    from_business_ordinals,
    get_day_of_month,
    parse_timestamps,
    to_business_ordinals,
    to_civil_date,
)

MAX_SCALED_VALUE = 1e9  # far more than a window of any length can have
MIN_LOG_ARGUMENT = 1e-30
Statistics = dict[str, float] | list[str]
"""Of a numeric covariate its `mean` and `deviation`; of a categorical one the list of its categories."""


@keras.saving.register_keras_serializable("dlkit")
class SeriesPreprocessing(keras.layers.Layer):
    """Places the history of a series on a regular grid, fills its gaps and scales it by its own mean and deviation.

    The output is the context window, the last `context_length` time steps up to the newest timestamp, with the future
    covariates of the `horizon` steps after it. Scaling is that of RevIN (Kim et al., 2022), without weights. One or
    two values do not tell the scale of a series: their deviation is computed together with one more value, which is
    off by the prior scale, the usual deviation of the training series whose level is nearest.

    Args:
        context_length, horizon: Positive integers, in time steps.
        frequency: As `Frequency.as_list` returns it.
        prior_scales: Pairs of a level, ascending and not negative, and the usual standard deviation at that level.
        fill: How gaps are filled, "last", "linear" or "mean"; see `fill_gaps`.
        historical_covariates, future_covariates: Dicts of the statistics of each covariate: a dict of its `mean` and
            `deviation`, or the list of its categories.
        static_covariates: Dict of the statistics of each static covariate, likewise.
        irregular: "raise" rejects timestamps between the time steps; "floor" moves them to the preceding step.
        duplicates: "mean" or "last" value where several have the same time step, or "raise" to reject them.
        allow_gaps: Whether time steps may be missing between the first and the newest timestamp.
        lower_bound: Float, smallest value of the training series; None for no bound.
        smoothing: Season length of the forecast by exponential smoothing, in time steps, 1 for none; None for no such
            forecast. The window should hold about three seasons.

    Call arguments:
        inputs: Dict of `ds`: (batch, any) string, timestamps in any order, padded by "" at the end; `y`: (batch, any)
            float64, NaN where a value is missing; each historical covariate: the same in float32, or categories,
            string; each future covariate: the same, followed by the values of the `horizon` steps after the newest
            timestamp; each static covariate: (batch,) string.

    Returns:
        Dict of

        - `values`: (batch, context_length) float32, gaps filled, (y - center) / scale; 0 before the first value;
        - `observed_mask`: (batch, context_length) uint8, 1 where a value was observed;
        - `future_covariates`: (batch, context_length + horizon, features) and `historical_covariates`: (batch,
          context_length, features) float32, standardized, 0 where missing; and `static_covariates`: (batch, features)
          float32; each if there are such covariates;
        - `cutoff`: (batch,) int64, the newest timestamp, in seconds since 1970, ticks or as the integer that it is;
        - `anchor_day`: (batch,) int64, day of the month of the timestamps, 31 for the last one; for frequencies of
          months only;
        - `center`, `scale`: (batch,), mean and standard deviation of the observed values, of the dtype of `y`; `scale`
          is 0 where all values are equal;
        - `lower_bound`: (batch,), of the dtype of `y`, the bound of every forecast, or the smallest float32 where the
          window itself is below it; if there is a bound;
        - `smoothed`: (batch, horizon) float32, the forecast by exponential smoothing, scaled as the values are; if
          there is one;
        - `num_observed`: (batch,) int32, number of observed values in the window.

    Raises:
        tf.errors.InvalidArgumentError: An input is not valid; the message says which, and what was expected.

    Examples:
        >>> import tensorflow as tf
        >>> layer = SeriesPreprocessing(4, 2, [0, 86_400, 0, 0, 0, 1], prior_scales=[[1.0, 1.0]])
        >>> ds = tf.constant([["2024-01-01", "2024-01-02", "2024-01-04"]])
        >>> window = layer({"ds": ds, "y": tf.constant([[1.0, 3.0, 5.0]], tf.float64)})
        >>> window["observed_mask"].numpy().tolist(), float(window["center"][0])
        ([[1, 1, 0, 1]], 3.0)
    """

    def __init__(
        self,
        context_length: int,
        horizon: int,
        frequency: Sequence[int],
        prior_scales: Sequence[Sequence[float]],
        fill: Literal["last", "linear", "mean"] = "last",
        historical_covariates: Mapping[str, Statistics] | None = None,
        future_covariates: Mapping[str, Statistics] | None = None,
        static_covariates: Mapping[str, Statistics] | None = None,
        irregular: Literal["raise", "floor"] = "raise",
        duplicates: Literal["mean", "last", "raise"] = "mean",
        allow_gaps: bool = True,
        lower_bound: float | None = None,
        smoothing: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.context_length, self.horizon, self.frequency = context_length, horizon, list(frequency)
        self.prior_scales, self.fill = [list(pair) for pair in prior_scales], fill
        self.historical_covariates = dict(historical_covariates or {})
        self.future_covariates = dict(future_covariates or {})
        self.static_covariates = dict(static_covariates or {})
        self.irregular, self.duplicates = irregular, duplicates
        self.allow_gaps, self.lower_bound, self.smoothing = allow_gaps, lower_bound, smoothing
        self._frequency = Frequency(*frequency)
        self._convert_input_args = False  # Keras does not convert string tensors

    @property
    def limits(self) -> dict[str, Limits]:
        """Bounds of the tensors of this layer, to check requests of preprocessed tensors by."""
        largest = float(np.finfo(np.float32).max)  # of a request, and of learned statistics
        return {
            "values": Limits(-MAX_SCALED_VALUE, MAX_SCALED_VALUE),
            "observed_mask": Limits(0, 1, nonzero=True),
            "anchor_day": Limits(1, 31),
            "center": Limits(-largest, largest),
            "scale": Limits(0, largest),
            "lower_bound": Limits(-largest, largest),
            "smoothed": Limits(-MAX_SCALED_VALUE, MAX_SCALED_VALUE),
            "num_observed": Limits(1),
        }

    def call(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        window = self.scale_windows(self.align(inputs, self.horizon))
        y = inputs["y"]
        too_large = tf.math.is_finite(y) & (tf.abs(y) > tf.cast(np.finfo(np.float32).max, y.dtype))
        _assert_none(too_large, "`y` must be numbers of float32's range, up to 3.4e38.")
        where = f"the last {self.context_length} steps up to its last timestamp"
        empty = f"`y` must hold a number within {where}. All are missing or not finite."
        _assert_none(window["num_observed"] == 0, empty)
        return window

    def align(
        self, inputs: Mapping[str, tf.Tensor], steps_ahead: int | tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Place a history on the regular grid of its frequency.

        Args:
            inputs: As of `call`.
            steps_ahead: Number of time steps after the history that covariates have.
            training: Whether the historical covariates continue like the future ones, for cutoffs further on, and
                future covariates may be missing.

        Returns:
            Dict of `y`, the covariates, `cutoff` and, for frequencies of months, `anchor_day`, not scaled, NaN where a
            value is missing.
        """
        ds = inputs["ds"]
        present = ds != ""
        timestamps, ordinals = self._parse(ds, present)
        count = tf.reduce_sum(tf.cast(present, tf.int32), 1)
        lowest = tf.constant(np.iinfo(np.int64).min, tf.int64)
        newest = tf.argmax(tf.where(present, timestamps, lowest), 1)
        last = tf.gather(ordinals, newest, batch_dims=1)[:, tf.newaxis]
        ordinal_step = self._frequency.ordinal_step
        distance = tf.where(present, last - ordinals, 0)
        _assert_no_text(
            distance % ordinal_step != 0,
            ds,
            f"`ds` holds a timestamp that is not a multiple of {self._describe_step()} before the last one:",
        )
        self._check_duplicates_and_gaps(distance // ordinal_step, present, ds)
        steps_back = tf.cast(tf.minimum(distance // ordinal_step, self.context_length), tf.int32)
        indices = self.context_length - 1 - steps_back
        inside = tf.logical_and(present, indices >= 0)
        order = tf.argsort(timestamps, stable=True) if self.duplicates == "last" else None
        aligned = {"cutoff": tf.gather(timestamps, newest, batch_dims=1)}
        if self._has_anchor_day:
            aligned["anchor_day"] = self._get_anchor_day(timestamps, present)
        aligned["y"] = self._scatter(inputs["y"], indices, inside, order, "y")
        for kind, statistics, longer in (
            ("historical_covariates", self.historical_covariates, training),
            ("future_covariates", self.future_covariates, True),
        ):
            columns = []
            for name, values in self._iter_features(inputs, statistics):
                column = self._scatter(values, indices, inside, order, name, longer)
                if longer:
                    column = tf.concat([column, self._get_future(values, count, steps_ahead, name, training)], 1)
                columns.append(column)
            if columns:
                aligned[kind] = tf.stack(columns, 2)
        if self.static_covariates:
            aligned["static_covariates"] = tf.concat(
                [self._encode_static(inputs[name], of) for name, of in self.static_covariates.items()], 1
            )
        return aligned

    def scale_windows(self, windows: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Fill and scale context windows.

        Args:
            windows: What `align` returned, or windows cut from it.

        Returns:
            What `call` returns.
        """
        y = windows["y"]
        observed = tf.math.is_finite(y)
        count = tf.reduce_sum(tf.cast(observed, y.dtype), 1)
        center, scale = self._compute_center_and_scale(y, observed, count)
        divisor = tf.where(scale > 0, scale, tf.ones_like(scale))
        values = tf.where(observed, (y - center[:, tf.newaxis]) / divisor[:, tf.newaxis], tf.zeros_like(y))
        scaled = {
            "values": fill_gaps(tf.cast(values, tf.float32), observed, self.fill),
            "observed_mask": tf.cast(observed, tf.uint8),
            **{kind: _standardize(windows[kind], of) for kind, of in self._get_time_varying().items()},
            **({"static_covariates": windows["static_covariates"]} if self.static_covariates else {}),
            "cutoff": windows["cutoff"],
            **({"anchor_day": windows["anchor_day"]} if self._has_anchor_day else {}),
            "center": center,
            "scale": scale,
            **({} if self.lower_bound is None else {"lower_bound": self._get_lower_bound(y, observed)}),
            "num_observed": tf.cast(count, tf.int32),
        }
        if self.smoothing is not None:
            zero = tf.clip_by_value(-center / divisor, -MAX_SCALED_VALUE, MAX_SCALED_VALUE)
            shape = (None, self.context_length)
            values, observed = (tf.ensure_shape(part, shape) for part in (scaled["values"], observed))
            scaled["smoothed"] = smooth(values, observed, tf.cast(zero, tf.float32), self.horizon, self.smoothing)
        return {name: tf.ensure_shape(scaled[name], shape) for name, shape in self._get_shapes().items()}

    def _compute_center_and_scale(
        self, y: tf.Tensor, observed: tf.Tensor, count: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the mean and deviation of the observed values; the value itself and 0 where all of three or more are
        equal."""
        zero = tf.zeros_like(y)
        divisor = tf.maximum(count, 1)
        center = tf.reduce_sum(tf.where(observed, y, zero), 1) / divisor
        squares = tf.reduce_sum(tf.square(tf.where(observed, y - center[:, tf.newaxis], zero)), 1)
        with_prior = tf.sqrt((squares + tf.square(self._get_prior_scale(center))) / (count + 1))
        highest = tf.reduce_max(tf.where(observed, y, y.dtype.min), 1)
        lowest = tf.reduce_min(tf.where(observed, y, y.dtype.max), 1)
        constant = tf.logical_and(count >= MIN_VALUES_FOR_SCALE, highest == lowest)
        deviation = tf.where(constant, tf.zeros_like(center), tf.sqrt(squares / divisor))
        scale = tf.where(count < MIN_VALUES_FOR_SCALE, with_prior, deviation)
        return tf.where(constant, highest, center), scale

    def _get_lower_bound(self, y: tf.Tensor, observed: tf.Tensor) -> tf.Tensor:
        """Return the bound; no bound where an observed value is below it."""
        bound = tf.constant(self.lower_bound, y.dtype)
        below = tf.reduce_any(tf.logical_and(observed, y < bound), 1)
        return tf.where(below, tf.constant(np.finfo(np.float32).min, y.dtype), bound)

    def _get_prior_scale(self, center: tf.Tensor) -> tf.Tensor:
        """Return the deviation of the training series of the nearest level, extrapolated in proportion beyond their
        levels."""
        levels, deviations = (tf.constant([pair[side] for pair in self.prior_scales], center.dtype) for side in (0, 1))
        level = tf.abs(center)
        distance = tf.abs(_safe_log(level)[:, tf.newaxis] - _safe_log(levels))
        nearest = tf.gather(deviations, tf.argmin(distance, 1))
        inside = tf.clip_by_value(level, levels[0], levels[-1])
        return tf.where(level > 0, nearest * level / tf.where(level > 0, inside, tf.ones_like(inside)), nearest)

    def _get_time_varying(self) -> dict[str, Mapping[str, Statistics]]:
        """Return the statistics of the covariates that change with time, of the kinds that there are."""
        kinds = {"future_covariates": self.future_covariates, "historical_covariates": self.historical_covariates}
        return {kind: statistics for kind, statistics in kinds.items() if statistics}

    @staticmethod
    def _iter_features(
        inputs: Mapping[str, tf.Tensor], covariates: Mapping[str, Statistics]
    ) -> Iterator[tuple[str, tf.Tensor]]:
        """Yield numeric covariates as they are, and an indicator for each category of the others."""
        for name, statistics in covariates.items():
            if isinstance(statistics, dict):
                yield name, inputs[name]
            else:
                yield from ((name, tf.cast(inputs[name] == category, tf.float32)) for category in statistics)

    @property
    def _has_anchor_day(self) -> bool:
        """Whether timestamps are a number of months apart, on a day of the month."""
        return bool(self._frequency.months) and not self._frequency.business

    def _get_anchor_day(self, seconds: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """Return what `Frequency.get_anchor_day` does, of the timestamps of each row."""
        anchor = self._frequency.anchor
        day, length = get_day_of_month(tf.math.floordiv(seconds, DAY))
        all_last = tf.reduce_all((day == length) | ~present, 1)
        fits = tf.reduce_all((day == tf.minimum(tf.constant(anchor, tf.int64), length)) | ~present, 1)
        last = tf.where(fits, tf.constant(anchor or 31, tf.int64), 31)
        return tf.where(all_last, last, tf.reduce_max(tf.where(present, day, 0), 1))

    def _parse(self, ds: tf.Tensor, present: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return timestamps as numbers, floored to time steps where these may be irregular, and their ordinals."""
        frequency = self._frequency
        if frequency.integer:
            matched = tf.strings.regex_full_match(ds, r"-?\d{1,18}")
            _assert_no_text(
                tf.logical_and(present, ~matched),
                ds,
                '`ds` must hold integers, as in training, padded with "". Received:',
            )
            numbers = self._floor(tf.strings.to_number(tf.where(matched, ds, "0"), tf.int64))
            return numbers, numbers
        seconds, valid = parse_timestamps(ds, frequency.ticks_per_second)
        _assert_no_text(
            tf.logical_and(present, ~valid),
            ds,
            '`ds` must hold timestamps such as 2016-10-01 or 2016-10-01 13:00:00, padded with "". Received:',
        )
        if frequency.months:
            year, month, _ = to_civil_date(tf.math.floordiv(seconds, DAY))
            return seconds, year * 12 + month - 1
        if frequency.business:
            return self._parse_business_days(ds, seconds, present)
        if frequency.ticks_per_second == 1 and self.irregular == "raise":
            fraction = tf.strings.regex_full_match(ds, r".*\.\d*[1-9]\d*")
            step = self._describe_step()
            _assert_no_text(fraction, ds, f"`ds` holds fractional seconds, with a time step of {step}:")
        seconds = self._floor(seconds)
        return seconds, seconds

    def _floor(self, ordinals: tf.Tensor) -> tf.Tensor:
        if self.irregular == "raise":
            return ordinals
        return ordinals - tf.math.floormod(ordinals - self._frequency.anchor, self._frequency.ordinal_step)

    def _parse_business_days(
        self, ds: tf.Tensor, seconds: tf.Tensor, present: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        days, time = tf.math.floordiv(seconds, DAY), tf.math.floormod(seconds, DAY)
        ordinals = to_business_ordinals(days)
        if self.irregular == "floor":
            return from_business_ordinals(ordinals) * DAY + time, ordinals
        weekend = tf.logical_and(present, from_business_ordinals(ordinals) != days)
        _assert_no_text(weekend, ds, "`ds` holds a weekend day, which is not a business day:")
        return seconds, ordinals

    def _describe_step(self) -> str:
        frequency = self._frequency
        if frequency.business:
            return str(frequency)
        if frequency.months:
            return f"{frequency.months} months"
        return f"{frequency.seconds} seconds" if frequency.seconds else f"{frequency.integer}"

    def _check_duplicates_and_gaps(self, steps_back: tf.Tensor, present: tf.Tensor, ds: tf.Tensor) -> None:
        """Reject what tables may not hold either; `steps_back` counts from each timestamp to the newest one."""
        if self.duplicates != "raise" and self.allow_gaps:
            return
        order = tf.argsort(tf.where(present, steps_back, -1), stable=True)
        ordered = tf.gather(tf.where(present, steps_back, -1), order, batch_dims=1)
        same = tf.logical_and(ordered[:, 1:] == ordered[:, :-1], ordered[:, 1:] >= 0)
        texts = tf.gather(ds, order, batch_dims=1)[:, 1:]
        if self.duplicates == "raise":
            _assert_no_text(same, texts, "`ds` holds duplicate timestamps, which `duplicates` rejects:")
        if not self.allow_gaps:
            gaps = tf.logical_and(ordered[:, 1:] - ordered[:, :-1] > 1, ordered[:, :-1] >= 0)
            _assert_no_text(gaps, texts, f"`ds` lacks a step of {self._describe_step()}, which `fill` rejects, after")

    def _scatter(
        self,
        values: tf.Tensor,
        indices: tf.Tensor,
        inside: tf.Tensor,
        order: tf.Tensor | None,
        name: str,
        longer: bool = False,
    ) -> tf.Tensor:
        """Scatter values to the time steps of the window: (batch, context_length), NaN elsewhere.

        Duplicates are averaged, or, with an `order`, the last one is used. Values may outnumber the timestamps where
        they may be `longer`.
        """
        rows, length = tf.shape(indices)[0], tf.shape(indices)[1]
        _assert_length(values, length, name, "at least as many values as `ds` has timestamps")
        if not longer:  # a value beyond the timestamps would be lost silently
            message = f"`{name}` must not have more values than `ds` has timestamps."
            _assert_none(tf.math.is_finite(values[:, length:]), message)
        values = values[:, :length]
        finite = tf.logical_and(inside, tf.math.is_finite(values))
        cells = tf.where(finite)
        targets = tf.stack([tf.cast(cells[:, 0], tf.int32), tf.gather_nd(indices, cells)], 1)
        shape = tf.stack([rows, self.context_length])
        missing = tf.constant(np.nan, values.dtype)
        if order is not None:
            rank = tf.gather_nd(tf.argsort(order), cells)
            latest = tf.tensor_scatter_nd_max(tf.fill(shape, -1), targets, rank)
            found = tf.gather(tf.gather(values, order, batch_dims=1), tf.maximum(latest, 0), batch_dims=1)
            return tf.where(latest >= 0, found, missing)
        sums = tf.scatter_nd(targets, tf.gather_nd(values, cells), shape)
        counts = tf.scatter_nd(targets, tf.ones_like(targets[:, 0], values.dtype), shape)
        return tf.where(counts > 0, sums / tf.maximum(counts, 1), missing)

    def _get_future(
        self, values: tf.Tensor, count: tf.Tensor, steps_ahead: int | tf.Tensor, name: str, training: bool
    ) -> tf.Tensor:
        """Return the values of a covariate after the history: (batch, steps_ahead)."""
        indices = count[:, tf.newaxis] + tf.range(steps_ahead)
        padded = tf.pad(values, [[0, 0], [0, steps_ahead]], constant_values=np.nan)
        future = tf.gather(padded, indices, batch_dims=1)
        if not training:
            missing = tf.logical_not(tf.math.is_finite(future))
            expected = f"a value for each timestamp of `ds` and for the {self.horizon} steps after the last one"
            _assert_none(missing, f"`{name}` is a future covariate and needs {expected}. At least one is missing.")
        return future

    @staticmethod
    def _encode_static(text: tf.Tensor, statistics: Statistics) -> tf.Tensor:
        if not isinstance(statistics, dict):
            return tf.cast(text[:, tf.newaxis] == tf.constant(list(statistics)), tf.float32)
        matched = tf.strings.regex_full_match(text, r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
        number = tf.strings.to_number(tf.where(matched, text, "0"))
        return tf.where(matched, (number - statistics["mean"]) / statistics["deviation"], 0.0)[:, tf.newaxis]

    def _get_shapes(self, rows: int | None = None) -> dict[str, tuple[int | None, ...]]:
        ahead = self.context_length + self.horizon
        covariates = {
            "future_covariates": (rows, ahead, count_features(self.future_covariates)),
            "historical_covariates": (rows, self.context_length, count_features(self.historical_covariates)),
            "static_covariates": (rows, count_features(self.static_covariates)),
        }
        return {
            "values": (rows, self.context_length),
            "observed_mask": (rows, self.context_length),
            **{name: shape for name, shape in covariates.items() if shape[-1]},
            **({} if self.smoothing is None else {"smoothed": (rows, self.horizon)}),
            **dict.fromkeys(self._get_scalar_names(), (rows,)),
        }

    def _get_scalar_names(self) -> list[str]:
        anchor_day = ["anchor_day"] if self._has_anchor_day else []
        lower_bound = [] if self.lower_bound is None else ["lower_bound"]
        return ["cutoff", *anchor_day, "center", "scale", *lower_bound, "num_observed"]

    def compute_output_spec(self, inputs: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
        dtypes = {"observed_mask": "uint8", "cutoff": "int64", "anchor_day": "int64", "num_observed": "int32"}
        dtypes |= dict.fromkeys(("center", "scale", "lower_bound"), inputs["y"].dtype)
        shapes = self._get_shapes(inputs["ds"].shape[0])
        return {name: keras.KerasTensor(shape, dtypes.get(name, "float32")) for name, shape in shapes.items()}

    def get_config(self) -> dict[str, Any]:
        covariates = ("historical_covariates", "future_covariates", "static_covariates")
        rules = ("irregular", "duplicates", "allow_gaps", "lower_bound", "smoothing")
        own = ("context_length", "horizon", "frequency", "prior_scales", "fill", *covariates, *rules)
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def count_features(covariates: Mapping[str, Statistics]) -> int:
    """Return the number of features of covariates: one for a numeric one, and one for each category of the others.

    Examples:
        >>> count_features({"price": {"mean": 1.0, "deviation": 2.0}, "holiday": ["Easter", "May Day"]})
        3
    """
    return sum(1 if isinstance(statistics, dict) else len(statistics) for statistics in covariates.values())


def _standardize(values: tf.Tensor, covariates: Mapping[str, Statistics]) -> tf.Tensor:
    features: list[dict[str, float]] = []
    for statistics in covariates.values():
        indicators = [{"mean": 0.0, "deviation": 1.0}] * len(statistics)
        features += [statistics] if isinstance(statistics, dict) else indicators
    mean = tf.constant([feature["mean"] for feature in features], tf.float32)
    deviation = tf.constant([feature["deviation"] for feature in features], tf.float32)
    return tf.where(tf.math.is_finite(values), (values - mean) / deviation, 0.0)


def _safe_log(values: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(values, MIN_LOG_ARGUMENT))


def _assert_no_text(invalid: tf.Tensor, texts: tf.Tensor, message: str) -> None:
    """Raise with the first text that is not valid."""
    cells = tf.where(invalid)
    first = tf.cond(tf.size(cells) > 0, lambda: tf.gather_nd(texts, cells[0]), lambda: tf.constant(""))
    tf.debugging.Assert(tf.logical_not(tf.reduce_any(invalid)), [message, first])


def _assert_none(invalid: tf.Tensor, message: str) -> None:
    tf.debugging.Assert(tf.logical_not(tf.reduce_any(invalid)), [message])


def _assert_length(values: tf.Tensor, count: tf.Tensor, name: str, expected: str) -> None:
    length = tf.shape(values)[1]
    tf.debugging.Assert(length >= count, [f"`{name}` must have {expected},", count, ". Received:", length])


def fill_gaps(values: tf.Tensor, observed: tf.Tensor, method: Literal["last", "linear", "mean"]) -> tf.Tensor:
    """Fill the missing values of windows after their first value. Nothing after the window is used.

    Args:
        values: (batch, steps) float32, 0 where a value is missing.
        observed: (batch, steps) bool.
        method: "last", the value before (forward fill); "linear", interpolation between the values around, and the
            last value after it; "mean", 0, which is the mean of scaled values.

    Returns:
        (batch, steps) float32; 0 before the first value.

    Examples:
        >>> import tensorflow as tf
        >>> fill_gaps(tf.constant([[2.0, 0.0, 4.0]]), tf.constant([[True, False, True]]), "linear").numpy().tolist()
        [[2.0, 3.0, 4.0]]
    """
    if method == "mean":
        return values
    steps = tf.shape(values)[1]
    indices = tf.broadcast_to(tf.range(steps), tf.shape(values))
    before = _running_maximum(tf.where(observed, indices, -1))
    previous_value = tf.gather(values, tf.maximum(before, 0), batch_dims=1)
    filled = tf.where(before >= 0, previous_value, 0.0)
    if method == "last":
        return filled
    from_end = _running_maximum(tf.reverse(tf.where(observed, steps - 1 - indices, -1), [1]))
    after = steps - 1 - tf.reverse(from_end, [1])  # `steps` where no value follows
    between = tf.logical_and(before >= 0, after < steps)
    next_value = tf.gather(values, tf.minimum(after, steps - 1), batch_dims=1)
    fraction = tf.cast(indices - before, tf.float32) / tf.cast(tf.maximum(after - before, 1), tf.float32)
    return tf.where(between, filled + fraction * (next_value - filled), filled)


def _running_maximum(numbers: tf.Tensor) -> tf.Tensor:
    """Return the largest number so far in each row, (batch, steps) int32, by shifts of doubling length."""
    steps = tf.shape(numbers)[1]

    def double(shift: tf.Tensor, maximum: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shifted = tf.pad(maximum, [[0, 0], [shift, 0]], constant_values=-1)[:, :steps]
        return shift * 2, tf.maximum(maximum, shifted)

    invariants = [tf.TensorShape([]), tf.TensorShape([None, None])]
    return tf.while_loop(lambda shift, _: shift < steps, double, [1, numbers], shape_invariants=invariants)[1]
