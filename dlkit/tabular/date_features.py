"""Dates as numbers: their day, and where they are in the year, the week and the day."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf

NAMES = ("day", "year_sin", "year_cos", "week_sin", "week_cos", "hour_sin", "hour_cos")
_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
_ZONE = r"(Z|[+-]\d{2}(:?\d{2})?)"


@keras.saving.register_keras_serializable("dlkit")
class DateFeatures(keras.layers.Layer):
    """Computes calendar features of dates.

    Call with a list of (batch,) string tensors, one for each column: dates such as `2024-02-29`, or with a time such as
    `2024-02-29T12:30:00`, which is in UTC unless it ends in an offset such as `+02:00`. Returns (batch, 7 * columns)
    float32: of each column the days since 1970 with their fraction, and sine and cosine of the position in the year, in
    the week (from Monday), and in the day, all in UTC. All are NaN where there is no such date.

    Examples:
        >>> import tensorflow as tf
        >>> features = DateFeatures()([tf.constant(["1970-01-02T12:00:00", "soon"])]).numpy()
        >>> features[:, 0].tolist(), features[0, 6].round(3).item()
        ([1.5, nan], -1.0)
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self._convert_input_args = False  # Keras has no string tensors

    def call(self, columns: list[tf.Tensor]) -> tf.Tensor:
        return tf.concat([_features(column) for column in columns], axis=1)

    def compute_output_spec(self, columns: list[keras.KerasTensor]) -> keras.KerasTensor:
        return keras.KerasTensor((columns[0].shape[0], len(NAMES) * len(columns)), "float32")


def _features(dates: tf.Tensor) -> tf.Tensor:
    valid = tf.strings.regex_full_match(dates, rf"\s*{_DATE}({_TIME}{_ZONE}?)?\s*")
    text = tf.where(valid, tf.strings.strip(dates), "1970-01-01")
    local = tf.strings.regex_replace(text, rf"^({_DATE}{_TIME}){_ZONE}$", r"\1")
    year, month, day, hour, minute, second = (
        _parse_digits(local, start, length) for start, length in ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2), (17, 2))
    )
    zone = tf.strings.regex_replace(text, rf"^{_DATE}({_TIME})?|[Z:]", "")  # "+0200", "+02" or "": UTC
    zone_hour, zone_minute = (_parse_digits(zone, start, 2) for start in (1, 3))
    valid &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    valid &= _days(year, month, day) < _days(year + month // 12, month % 12 + 1, tf.ones_like(day))
    valid &= (hour < 24) & (minute < 60) & (second < 60) & (zone_hour < 24) & (zone_minute < 60)
    offset = 3600 * zone_hour + 60 * zone_minute
    offset = tf.where(tf.strings.regex_full_match(zone, "-.*"), -offset, offset)
    seconds = 3600 * hour + 60 * minute + second - offset
    days = _days(year, month, day) + seconds // 86_400
    fraction = tf.cast(seconds % 86_400, tf.float32) / 86_400.0
    year += tf.cast(days >= _new_year(year + 1), tf.int32) - tf.cast(days < _new_year(year), tf.int32)
    of_year = tf.cast(days - _new_year(year), tf.float32) + fraction
    of_week = tf.cast(tf.math.floormod(days + 3, 7), tf.float32) + fraction  # 1970 began on a Thursday
    phases = [of_year / 365.2425, of_week / 7.0, fraction]
    circles = [function(2.0 * math.pi * phase) for phase in phases for function in (tf.sin, tf.cos)]
    features = tf.stack([tf.cast(days, tf.float32) + fraction, *circles], axis=1)
    return tf.where(valid[:, tf.newaxis], features, math.nan)


def _parse_digits(text: tf.Tensor, start: int, length: int) -> tf.Tensor:
    """Return the number that the digits of a part of a text make, int32; 0 if it has no such part."""
    padded = tf.strings.join([text, " " * (start + length)])  # a part past the end would be an error
    digits = tf.strings.regex_replace(tf.strings.substr(padded, start, length), r"\D", "")
    return tf.strings.to_number(tf.strings.join(["0", digits]), tf.int32)


def _days(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Return the days since 1970-01-01 of dates of the Gregorian calendar, int32."""
    years = year - tf.cast(month <= 2, tf.int32)  # years that begin in March, so that a leap day is the last
    months = tf.math.floormod(month + 9, 12)
    leap_days = years // 4 - years // 100 + years // 400
    return 365 * years + leap_days + (153 * months + 2) // 5 + day - 1 - 719_468


def _new_year(year: tf.Tensor) -> tf.Tensor:
    return _days(year, tf.ones_like(year), tf.ones_like(year))


@keras.saving.register_keras_serializable("dlkit")
class DateErrors(keras.layers.Layer):
    """Says why the dates of a row cannot be read.

    Call with a list of (batch,) string tensors, one for each column. Returns (batch,) string: the reason, which names
    the first such column and its text; "" if all dates can be read or are missing.

    Args:
        columns: names of the columns.

    Examples:
        >>> import tensorflow as tf
        >>> DateErrors(["since"])([tf.constant(["2024-02-29", ""])]).numpy().tolist()
        [b'', b'']
    """

    def __init__(self, columns: Sequence[str], **kwargs: Any):
        super().__init__(**kwargs)
        self.columns = list(columns)
        self._convert_input_args = False  # Keras has no string tensors

    def call(self, dates: list[tf.Tensor]) -> tf.Tensor:
        error = tf.fill(tf.shape(dates[0]), "")
        for name, column in zip(reversed(self.columns), reversed(dates), strict=True):
            unread = tf.math.is_nan(_features(column)[:, 0]) & (tf.strings.strip(column) != "")
            expected = f"the date in column '{name}' must be in ISO 8601, such as 2024-02-29 or 2024-02-29T12:30:00."
            reason = tf.strings.join([expected, " Received: '", column, "'."])
            error = tf.where(unread, reason, error)
        return error

    def compute_output_spec(self, dates: list[keras.KerasTensor]) -> keras.KerasTensor:
        return keras.KerasTensor((dates[0].shape[0],), "string")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "columns": self.columns}
