"""Limits on the values of the inputs of a signature, beyond dtype and shape; checked in the graph."""

from __future__ import annotations

from typing import NamedTuple

from dlkit.lazy import tf


class Limits(NamedTuple):
    """Allowed values of an input. Numbers must also be finite.

    Attributes:
        least, most: the lowest and the highest; None for no bound.
        some: whether a value of each row at least must be another than 0, or true.
    """

    minimum: float | None = None
    maximum: float | None = None
    nonzero: bool = False

    def __str__(self) -> str:
        if self.nonzero:
            return "hold a value in each row that is not 0 or false" + (" and be 0 or 1" if self.maximum == 1 else "")
        if self.minimum is not None and self.maximum is not None:
            return f"be between {self.minimum:g} and {self.maximum:g}"
        return "be finite" if self.minimum is None else f"be at least {self.minimum:g}"


FINITE = Limits()  # of numbers: that they are finite


def assert_within_limits(name: str, value: tf.Tensor, limits: Limits) -> tf.Operation:
    """Return an operation that fails with INVALID_ARGUMENT, the reason and the first row if a value is out of its
    limits.

    Args:
        name: what the message calls the input.
        value: (batch, ...) of numbers or booleans.
    """
    axes = list(range(1, value.shape.rank))
    valid = tf.math.is_finite(value) if value.dtype.is_floating else tf.fill(tf.shape(value), True)
    if limits.minimum is not None:
        valid &= value >= tf.cast(limits.minimum, value.dtype)
    if limits.maximum is not None:
        valid &= value <= tf.cast(limits.maximum, value.dtype)
    row_valid = tf.reduce_all(valid, axes)
    if limits.nonzero:
        row_valid &= tf.reduce_any(value != tf.zeros([], value.dtype), axes)

    def fail() -> tf.Tensor:  # what is put into words only when it is wrong
        row = tf.argmin(tf.cast(row_valid, tf.int32))
        received: list[str | tf.Tensor] = ["no such value"]
        if not limits.nonzero:
            invalid = tf.boolean_mask(tf.reshape(value[row], [-1]), ~tf.reshape(valid[row], [-1]))
            received = [tf.strings.as_string(invalid[0])]
        message = [f"`{name}` must {limits}. Received: ", *received, ", in row ", tf.strings.as_string(row)]
        with tf.control_dependencies([tf.debugging.Assert(False, [tf.strings.join(message)])]):
            return tf.constant(False)

    return tf.cond(tf.reduce_all(row_valid), lambda: tf.constant(True), fail).op


def assert_no_reasons(reasons: tf.Tensor) -> tf.Operation:
    """Return an operation that fails with INVALID_ARGUMENT and the first reason if a row cannot be read.

    Args:
        reasons: (batch,) string, "" for each row that can be read.
    """
    valid = reasons == ""

    def fail() -> tf.Tensor:
        row = tf.argmin(tf.cast(valid, tf.int32))
        message = tf.strings.join([reasons[row], " In row ", tf.strings.as_string(row), "."])
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.constant(False)

    return tf.cond(tf.reduce_all(valid), lambda: tf.constant(True), fail).op
