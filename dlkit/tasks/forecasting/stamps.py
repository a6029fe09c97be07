"""Stamps in the graph: texts to points in time and back, in core operations, and features of the calendar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.forecasting.frequency import DAY, LAST, Step

_FORM = r"\d{4}-\d{2}(-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?)?"
_REST = "0000-01-01 00:00:00"  # what a shorter stamp leaves out


def parse_stamps(texts: tf.Tensor, per_second: int = 1) -> tuple[tf.Tensor, tf.Tensor]:
    """Stamps in ISO 8601, `2016-10`, `2016-10-01` or with `13:00`, `13:00:05` or `13:00:05.25`, as seconds since 1970.

    Args:
        texts: string tensor of any shape.
        per_second: 1, or a million to count microseconds: fractions are left out by one, and kept by the other.

    Returns:
        Seconds, or such parts of them, int64, and whether each is a stamp, bool: elsewhere they are 0.
    """
    formed = tf.strings.regex_full_match(texts, _FORM)
    fraction = tf.constant(0, tf.int64)
    if per_second > 1:
        digits = tf.strings.regex_replace(tf.where(formed, texts, _REST), r"^[^.]*\.?", "")
        fraction = tf.strings.to_number(tf.strings.substr(tf.strings.join([digits, "000000"]), 0, 6), tf.int64)
    texts = tf.where(formed, texts, _REST)
    length = tf.minimum(tf.strings.length(texts), len(_REST))
    rest = tf.strings.substr(tf.fill(tf.shape(texts), _REST), length, len(_REST) - length)
    texts = tf.strings.join([tf.strings.substr(texts, tf.zeros_like(length), length), rest])

    def number(start: int, size: int) -> tf.Tensor:
        return tf.strings.to_number(tf.strings.substr(texts, start, size), tf.int64)

    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    hour, minute, second = number(11, 2), number(14, 2), number(17, 2)
    days = days_of(year, month, day)
    there = civil(days)
    real = (there[0] == year) & (there[1] == month) & (there[2] == day) & (hour < 24) & (minute < 60) & (second < 60)
    valid = formed & real
    seconds = days * DAY + hour * 3600 + minute * 60 + second
    return tf.where(valid, seconds * per_second + fraction, 0), valid


def write_stamps(seconds: tf.Tensor, time: bool = True, per_second: int = 1) -> tf.Tensor:
    """Seconds since 1970, int64 of any shape, as `2016-10-01 13:00:00`, or without `time` as `2016-10-01`.

    Where they are microseconds, by a `per_second` of a million, as `2016-10-01 13:00:00.250000`.
    """
    fraction = tf.math.floormod(seconds, per_second)
    seconds = tf.math.floordiv(seconds, per_second)
    days, left = tf.math.floordiv(seconds, DAY), tf.math.floormod(seconds, DAY)
    year, month, day = civil(days)
    parts = [_digits(year, 4), "-", _digits(month, 2), "-", _digits(day, 2)]
    if time:
        parts += [" ", _digits(left // 3600, 2), ":", _digits(left // 60 % 60, 2), ":", _digits(left % 60, 2)]
        if per_second > 1:
            parts += [".", _digits(fraction, 6)]
    return tf.strings.join(parts)


def days_of(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Days since 1970 of dates: int64 of one shape."""
    year = year - tf.cast(month <= 2, tf.int64)
    era = tf.math.floordiv(year, 400)
    of_era = year - era * 400
    of_year = (153 * (month + tf.where(month > 2, tf.constant(-3, tf.int64), 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def civil(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Year, month and day of the month, from 1, of days since 1970: int64 of any shape."""
    days = days + 719_468
    era = tf.math.floordiv(days, 146_097)
    of_era = days - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    place = (5 * of_year + 2) // 153
    month = place + tf.where(place < 10, tf.constant(3, tf.int64), -9)
    return year + era * 400 + tf.cast(month <= 2, tf.int64), month, of_year - (153 * place + 2) // 5 + 1


def months_later(seconds: tf.Tensor, months: tf.Tensor, anchor: tf.Tensor | None = None) -> tf.Tensor:
    """The stamps so many months later, on the day `anchor` of the month, or on the last one where it is missing.

    Without an anchor on the same day, or on the last one if it is the last or is missing there.
    """
    days, left = tf.math.floordiv(seconds, DAY), tf.math.floormod(seconds, DAY)
    year, month, day = civil(days)
    if anchor is None:
        anchor = tf.where(day == _length(year, month), tf.constant(31, tf.int64), day)
    year, month = _months_on(year, month, months)
    return days_of(year, month, tf.minimum(anchor, _length(year, month))) * DAY + left


def later(origin: tf.Tensor, steps: tf.Tensor, step: Sequence[int], anchor: tf.Tensor | None = None) -> tf.Tensor:
    """The stamps so many steps later: int64, of the shape that all share.

    Args:
        origin: int64, seconds since 1970, such parts of them as the step counts, or whole numbers.
        steps: int64.
        step: as `dlkit.tasks.forecasting.frequency.Step.as_list` gives it; the first three numbers are enough.
        anchor: int64, of months without business days, the day of the month.
    """
    own = Step(*step)
    if own.months and not own.business:
        return months_later(origin, steps * own.months, anchor)
    if not own.business:
        return origin + steps * own.unit
    days, left = tf.math.floordiv(origin, DAY), tf.math.floormod(origin, DAY)
    if own.months:
        year, month, _ = civil(days)
        return _business_day_of(*_months_on(year, month, steps * own.months), last=own.business == LAST) * DAY + left
    return business_day(business_position(days) + steps * own.business) * DAY + left


def business_position(days: tf.Tensor) -> tf.Tensor:
    """Days since 1970 as counted business days; those of a weekend count for its Friday."""
    week, day = tf.math.floordiv(days + 3, 7), tf.math.floormod(days + 3, 7)
    return 5 * week + tf.minimum(day, 4)


def business_day(position: tf.Tensor) -> tf.Tensor:
    """Days since 1970 of what `business_position` gives."""
    return 7 * tf.math.floordiv(position, 5) + tf.math.floormod(position, 5) - 3


def day_of_month(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The day of the month of days since 1970, from 1, and how many its month has."""
    year, month, day = civil(days)
    return day, _length(year, month)


def _months_on(year: tf.Tensor, month: tf.Tensor, months: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    total = year * 12 + month - 1 + months
    return tf.math.floordiv(total, 12), tf.math.floormod(total, 12) + 1


def _business_day_of(year: tf.Tensor, month: tf.Tensor, *, last: bool) -> tf.Tensor:
    """Days since 1970 of the last or the first business day of a month."""
    day = days_of(year, month, _length(year, month) if last else tf.ones_like(month))
    weekday = tf.math.floormod(day + 3, 7)
    if last:
        return day - tf.maximum(weekday - 4, 0)
    return day + tf.where(weekday > 4, 7 - weekday, 0)


def _length(year: tf.Tensor, month: tf.Tensor) -> tf.Tensor:
    """Days of a month."""
    after = tf.cast(month == 12, tf.int64)
    first = tf.ones_like(month)
    return days_of(year + after, month + 1 - 12 * after, first) - days_of(year, month, first)


def _digits(numbers: tf.Tensor, width: int) -> tf.Tensor:
    return tf.strings.as_string(numbers, width=width, fill="0")


YEARLY = 3  # harmonics of the year


@keras.saving.register_keras_serializable("dlkit")
class Calendar(keras.layers.Layer):
    """Features of the calendar at the steps `first` to `last` after a stamp, both counted in: 0 is the stamp itself.

    Call with (batch,) int64, seconds since 1970; returns (batch, last - first + 1, features) float32: of steps shorter
    than a day the hour, one of 24, and the time of the day as sine and cosine; shorter than a week the day of the week,
    one of 7; shorter than a year the month, one of 12, the time of the year as three harmonics, and the share of the
    month that is over. Longer steps, and stamps that are whole numbers, have one feature, 0.

    Args:
        first, last: integers, in steps.
        step: from one stamp to the next; see `later`.
    """

    def __init__(self, first: int, last: int, step: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.first, self.last, self.step = first, last, list(step)

    def call(self, origin: tf.Tensor) -> tf.Tensor:
        step = Step(*self.step)
        months, seconds, whole = step.months, self._seconds(), step.whole
        steps = tf.range(self.first, self.last + 1, dtype=tf.int64)
        if whole or months >= 12:
            return tf.zeros([tf.shape(origin)[0], self.last - self.first + 1, 1])
        stamps = later(origin[:, tf.newaxis], steps, self.step)
        stamps = tf.math.floordiv(stamps, step.per_second) if step.per_second > 1 else stamps
        days, time = tf.math.floordiv(stamps, DAY), tf.math.floormod(stamps, DAY)
        year, month, day = civil(days)
        start = days_of(year, tf.ones_like(year), tf.ones_like(year))
        share = (tf.cast(days - start, tf.float32) + tf.cast(time, tf.float32) / DAY) / 365.25
        parts = [tf.one_hot(month - 1, 12)]
        if seconds:
            parts.append(tf.cast(day - 1, tf.float32)[..., tf.newaxis] / 31.0)
        parts += [wave for k in range(1, YEARLY + 1) for wave in _waves(share, k)]
        if seconds and seconds < 7 * DAY:
            parts.append(tf.one_hot(tf.math.floormod(days + 3, 7), 7))
        if seconds and seconds < DAY:
            parts += [tf.one_hot(time // 3600, 24), *_waves(tf.cast(time, tf.float32) / DAY, 1)]
        return tf.concat(parts, -1)

    @property
    def features(self) -> int:
        """How many."""
        step, seconds = Step(*self.step), self._seconds()
        if step.whole or step.months >= 12:
            return 1
        count = 12 + 2 * YEARLY + (1 if seconds else 0)
        if seconds:
            count += (7 if seconds < 7 * DAY else 0) + (26 if seconds < DAY else 0)
        return count

    def _seconds(self) -> int:
        """The step in whole seconds, 0 for months and whole numbers; a business day is a day."""
        step = Step(*self.step)
        if step.business:
            return 0 if step.months else DAY
        return -(-step.seconds // step.per_second)

    def compute_output_spec(self, origin: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((origin.shape[0], self.last - self.first + 1, self.features), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "first": self.first, "last": self.last, "step": self.step}


def _waves(share: tf.Tensor, harmonic: int) -> list[tf.Tensor]:
    angle = 2.0 * math.pi * harmonic * share
    return [tf.sin(angle)[..., tf.newaxis], tf.cos(angle)[..., tf.newaxis]]
