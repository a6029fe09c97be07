"""Timestamps in the graph: texts to numbers and back, in TensorFlow's core operations, and calendar features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.forecasting.frequency import DAY, LAST, Frequency

_PATTERN = r"\d{4}-\d{2}(-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?)?"
_DEFAULT = "0000-01-01 00:00:00"  # completes a shorter timestamp


def parse_timestamps(texts: tf.Tensor, ticks_per_second: int = 1) -> tuple[tf.Tensor, tf.Tensor]:
    """Parse timestamps in ISO 8601: `2016-10`, `2016-10-01`, or with `13:00`, `13:00:05` or `13:00:05.25`.

    Args:
        texts: String tensor of any shape.
        ticks_per_second: 1 for seconds, without their fractions; a million for microseconds.

    Returns:
        Seconds or microseconds since 1970, int64, and whether each text is a timestamp, bool; 0 where it is not.

    Examples:
        >>> import tensorflow as tf
        >>> [int(seconds) for seconds in parse_timestamps(tf.constant(["1970-01-02", "soon"]))[0]]
        [86400, 0]
    """
    matched = tf.strings.regex_full_match(texts, _PATTERN)
    fraction = tf.constant(0, tf.int64)
    if ticks_per_second > 1:
        digits = tf.strings.regex_replace(tf.where(matched, texts, _DEFAULT), r"^[^.]*\.?", "")
        fraction = tf.strings.to_number(tf.strings.substr(tf.strings.join([digits, "000000"]), 0, 6), tf.int64)
    texts = tf.where(matched, texts, _DEFAULT)
    length = tf.minimum(tf.strings.length(texts), len(_DEFAULT))
    missing = tf.strings.substr(tf.fill(tf.shape(texts), _DEFAULT), length, len(_DEFAULT) - length)
    texts = tf.strings.join([tf.strings.substr(texts, tf.zeros_like(length), length), missing])

    def number(start: int, size: int) -> tf.Tensor:
        return tf.strings.to_number(tf.strings.substr(texts, start, size), tf.int64)

    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    hour, minute, second = number(11, 2), number(14, 2), number(17, 2)
    days = to_days(year, month, day)
    again = to_civil_date(days)
    exists = (again[0] == year) & (again[1] == month) & (again[2] == day)
    valid = matched & exists & (hour < 24) & (minute < 60) & (second < 60)
    seconds = days * DAY + hour * 3600 + minute * 60 + second
    return tf.where(valid, seconds * ticks_per_second + fraction, 0), valid


def format_timestamps(timestamps: tf.Tensor, time: bool = True, ticks_per_second: int = 1) -> tf.Tensor:
    """Format timestamps as texts, such as `2016-10-01 13:00:00`.

    Args:
        timestamps: int64 of any shape, seconds since 1970, or microseconds where `ticks_per_second` is a million.
        time: Whether to write the time of the day; else the date alone, `2016-10-01`.
        ticks_per_second: 1, or a million, which writes `2016-10-01 13:00:00.250000`.

    Returns:
        String tensor of the same shape.

    Examples:
        >>> import tensorflow as tf
        >>> format_timestamps(tf.constant(86400, tf.int64)).numpy()
        b'1970-01-02 00:00:00'
    """
    fraction = tf.math.floormod(timestamps, ticks_per_second)
    seconds = tf.math.floordiv(timestamps, ticks_per_second)
    days, left = tf.math.floordiv(seconds, DAY), tf.math.floormod(seconds, DAY)
    year, month, day = to_civil_date(days)
    parts = [_format_digits(year, 4), "-", _format_digits(month, 2), "-", _format_digits(day, 2)]
    if time:
        hour, minute, second = left // 3600, left // 60 % 60, left % 60
        parts += [" ", _format_digits(hour, 2), ":", _format_digits(minute, 2), ":", _format_digits(second, 2)]
        if ticks_per_second > 1:
            parts += [".", _format_digits(fraction, 6)]
    return tf.strings.join(parts)


def to_days(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Convert dates to days since 1970: int64 of one shape."""
    year = year - tf.cast(month <= 2, tf.int64)
    era = tf.math.floordiv(year, 400)
    year_of_era = year - era * 400
    day_of_year = (153 * (month + tf.where(month > 2, tf.constant(-3, tf.int64), 9)) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def to_civil_date(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Convert days since 1970, int64 of any shape, to year, month and day of the month, the latter two from 1."""
    days = days + 719_468
    era = tf.math.floordiv(days, 146_097)
    day_of_era = days - era * 146_097
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = shifted_month + tf.where(shifted_month < 10, tf.constant(3, tf.int64), -9)
    return year + era * 400 + tf.cast(month <= 2, tf.int64), month, day_of_year - (153 * shifted_month + 2) // 5 + 1


def add_months(seconds: tf.Tensor, months: tf.Tensor, anchor_day: tf.Tensor | None = None) -> tf.Tensor:
    """Add months to timestamps.

    Args:
        seconds: int64, seconds since 1970.
        months: int64, of a shape that broadcasts with `seconds`.
        anchor_day: int64, day of the month of the result, whose last day stands for a day that a month does not have.
            By default it is the day of the timestamp, and the last day of the month if that is the last one.

    Returns:
        int64, seconds since 1970.
    """
    days, left = tf.math.floordiv(seconds, DAY), tf.math.floormod(seconds, DAY)
    year, month, day = to_civil_date(days)
    if anchor_day is None:
        anchor_day = tf.where(day == _month_length(year, month), tf.constant(31, tf.int64), day)
    year, month = _shift_months(year, month, months)
    return to_days(year, month, tf.minimum(anchor_day, _month_length(year, month))) * DAY + left


def add_steps(
    timestamps: tf.Tensor, steps: tf.Tensor, frequency: Sequence[int], anchor_day: tf.Tensor | None = None
) -> tf.Tensor:
    """Add time steps to timestamps.

    Args:
        timestamps: int64, seconds since 1970, ticks of the frequency, or an integer index.
        steps: int64, of a shape that broadcasts with `timestamps`.
        frequency: As `dlkit.tasks.forecasting.frequency.Frequency.as_list` returns it.
        anchor_day: int64, of frequencies of months, day of the month; see `add_months`.

    Returns:
        int64, of the shape that all share.

    Examples:
        >>> import tensorflow as tf
        >>> int(add_steps(tf.constant(0, tf.int64), tf.constant(2, tf.int64), [0, 3600, 0, 0, 0, 1]))
        7200
    """
    own = Frequency(*frequency)
    if own.months and not own.business:
        return add_months(timestamps, steps * own.months, anchor_day)
    if not own.business:
        return timestamps + steps * own.ordinal_step
    days, left = tf.math.floordiv(timestamps, DAY), tf.math.floormod(timestamps, DAY)
    if own.months:
        year, month, _ = to_civil_date(days)
        shifted = _shift_months(year, month, steps * own.months)
        return _find_business_day(*shifted, last=own.business == LAST) * DAY + left
    return from_business_ordinals(to_business_ordinals(days) + steps * own.business) * DAY + left


def to_business_ordinals(days: tf.Tensor) -> tf.Tensor:
    """Convert days since 1970 to numbers of business days; a weekend counts as its Friday."""
    week, day = tf.math.floordiv(days + 3, 7), tf.math.floormod(days + 3, 7)
    return 5 * week + tf.minimum(day, 4)


def from_business_ordinals(ordinals: tf.Tensor) -> tf.Tensor:
    """Convert the results of `to_business_ordinals` to days since 1970."""
    return 7 * tf.math.floordiv(ordinals, 5) + tf.math.floormod(ordinals, 5) - 3


def get_day_of_month(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the day of the month, from 1, of days since 1970, and the number of days of the month."""
    year, month, day = to_civil_date(days)
    return day, _month_length(year, month)


def _shift_months(year: tf.Tensor, month: tf.Tensor, months: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    total = year * 12 + month - 1 + months
    return tf.math.floordiv(total, 12), tf.math.floormod(total, 12) + 1


def _find_business_day(year: tf.Tensor, month: tf.Tensor, *, last: bool) -> tf.Tensor:
    """Return the last or the first business day of a month, in days since 1970."""
    day = to_days(year, month, _month_length(year, month) if last else tf.ones_like(month))
    weekday = tf.math.floormod(day + 3, 7)
    if last:
        return day - tf.maximum(weekday - 4, 0)
    return day + tf.where(weekday > 4, 7 - weekday, 0)


def _month_length(year: tf.Tensor, month: tf.Tensor) -> tf.Tensor:
    """Return the number of days of a month."""
    next_year = tf.cast(month == 12, tf.int64)
    first = tf.ones_like(month)
    return to_days(year + next_year, month + 1 - 12 * next_year, first) - to_days(year, month, first)


def _format_digits(numbers: tf.Tensor, width: int) -> tf.Tensor:
    return tf.strings.as_string(numbers, width=width, fill="0")


YEARLY_HARMONICS = 3


@keras.saving.register_keras_serializable("dlkit")
class CalendarFeatures(keras.layers.Layer):
    """Computes calendar features of the time steps `first_step` to `last_step` relative to a timestamp, inclusive.

    Frequencies below a day have the hour, one-hot of 24, and the sine and cosine of the time of the day; those below a
    week the day of the week, one-hot of 7; those below a year the month, one-hot of 12, three harmonics of the time of
    the year, and the fraction of the month that has passed. Lower frequencies and integer indices have one feature, 0.

    Args:
        first_step, last_step: Integers, in time steps; 0 is the timestamp itself.
        frequency: Frequency of the timestamps; see `add_steps`.

    Call arguments:
        cutoff: (batch,) int64, seconds since 1970 or ticks of the frequency.

    Returns:
        (batch, last_step - first_step + 1, features) float32.

    Examples:
        >>> import tensorflow as tf
        >>> CalendarFeatures(1, 24, [0, 3600, 0, 0, 0, 1])(tf.zeros([2], tf.int64)).shape
        TensorShape([2, 24, 52])
    """

    def __init__(self, first_step: int, last_step: int, frequency: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.first_step, self.last_step, self.frequency = first_step, last_step, list(frequency)

    def call(self, cutoff: tf.Tensor) -> tf.Tensor:
        frequency, seconds = Frequency(*self.frequency), self._get_seconds()
        steps = tf.range(self.first_step, self.last_step + 1, dtype=tf.int64)
        if frequency.integer or frequency.months >= 12:
            return tf.zeros([tf.shape(cutoff)[0], self.last_step - self.first_step + 1, 1])
        timestamps = add_steps(cutoff[:, tf.newaxis], steps, self.frequency)
        if frequency.ticks_per_second > 1:
            timestamps = tf.math.floordiv(timestamps, frequency.ticks_per_second)
        days, time = tf.math.floordiv(timestamps, DAY), tf.math.floormod(timestamps, DAY)
        year, month, day = to_civil_date(days)
        new_year = to_days(year, tf.ones_like(year), tf.ones_like(year))
        year_fraction = (tf.cast(days - new_year, tf.float32) + tf.cast(time, tf.float32) / DAY) / 365.25
        parts = [tf.one_hot(month - 1, 12)]
        if seconds:
            parts.append(tf.cast(day - 1, tf.float32)[..., tf.newaxis] / 31.0)
        parts += [wave for k in range(1, YEARLY_HARMONICS + 1) for wave in _fourier_terms(year_fraction, k)]
        if seconds and seconds < 7 * DAY:
            parts.append(tf.one_hot(tf.math.floormod(days + 3, 7), 7))
        if seconds and seconds < DAY:
            parts += [tf.one_hot(time // 3600, 24), *_fourier_terms(tf.cast(time, tf.float32) / DAY, 1)]
        return tf.concat(parts, -1)

    @property
    def num_features(self) -> int:
        """Number of calendar features of a time step."""
        frequency, seconds = Frequency(*self.frequency), self._get_seconds()
        if frequency.integer or frequency.months >= 12:
            return 1
        count = 12 + 2 * YEARLY_HARMONICS + (1 if seconds else 0)
        if seconds:
            count += (7 if seconds < 7 * DAY else 0) + (26 if seconds < DAY else 0)
        return count

    def _get_seconds(self) -> int:
        """Return the time step in whole seconds, 0 for months and integer indices; a business day is a day."""
        frequency = Frequency(*self.frequency)
        if frequency.business:
            return 0 if frequency.months else DAY
        return -(-frequency.seconds // frequency.ticks_per_second)

    def compute_output_spec(self, cutoff: keras.KerasTensor) -> keras.KerasTensor:
        steps = self.last_step - self.first_step + 1
        return keras.KerasTensor((cutoff.shape[0], steps, self.num_features), "float32")

    def get_config(self) -> dict[str, Any]:
        own = {"first_step": self.first_step, "last_step": self.last_step, "frequency": self.frequency}
        return {**super().get_config(), **own}


def _fourier_terms(fraction: tf.Tensor, harmonic: int) -> list[tf.Tensor]:
    angle = 2.0 * math.pi * harmonic * fraction
    return [tf.sin(angle)[..., tf.newaxis], tf.cos(angle)[..., tf.newaxis]]
