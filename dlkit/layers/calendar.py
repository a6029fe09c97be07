"""The calendar of the steps around a stamp, as features."""

import math

import keras
import tensorflow as tf

from dlkit.layers.stamps import DAY, civil, days_of, months_later

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
        step: [months, seconds, whole numbers] from one stamp to the next, one of them not 0.
    """

    def __init__(self, first, last, step, **kwargs):
        super().__init__(**kwargs)
        self.first, self.last, self.step = first, last, list(step)

    def call(self, origin):
        months, seconds, whole = self.step
        steps = tf.range(self.first, self.last + 1, dtype=tf.int64)
        if whole or months >= 12:
            return tf.zeros([tf.shape(origin)[0], self.last - self.first + 1, 1])
        stamps = origin[:, tf.newaxis] + steps * seconds
        if months:
            stamps = months_later(tf.broadcast_to(origin[:, tf.newaxis], tf.shape(stamps)), steps * months)
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
    def features(self):
        """How many."""
        months, seconds, whole = self.step
        if whole or months >= 12:
            return 1
        count = 12 + 2 * YEARLY + (1 if seconds else 0)
        if seconds:
            count += (7 if seconds < 7 * DAY else 0) + (26 if seconds < DAY else 0)
        return count

    def compute_output_spec(self, origin):
        return keras.KerasTensor((origin.shape[0], self.last - self.first + 1, self.features), "float32")

    def get_config(self):
        return {**super().get_config(), "first": self.first, "last": self.last, "step": self.step}


def _waves(share, harmonic):
    angle = 2.0 * math.pi * harmonic * share
    return [tf.sin(angle)[..., tf.newaxis], tf.cos(angle)[..., tf.newaxis]]
