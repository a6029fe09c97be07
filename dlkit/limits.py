"""What the values of a signature's input may be, beyond their dtype and shape; checked inside the graph."""

from __future__ import annotations

from typing import NamedTuple

from dlkit.lazy import tf


class Limits(NamedTuple):
    """The values that an input can have. Numbers are finite too.

    Attributes:
        least, most: the lowest and the highest; None for no bound.
        some: whether a value of each row at least must be another than 0, or true.
    """

    least: float | None = None
    most: float | None = None
    some: bool = False

    def __str__(self) -> str:
        if self.some:
            return "hold a value in each row that is not 0 or false" + (" and be 0 or 1" if self.most == 1 else "")
        if self.least is not None and self.most is not None:
            return f"be between {self.least:g} and {self.most:g}"
        return "be finite" if self.least is None else f"be at least {self.least:g}"


FINITE = Limits()  # of numbers: that they are finite


def assert_within_limits(name: str, value: tf.Tensor, limits: Limits) -> tf.Operation:
    """An operation that fails with INVALID_ARGUMENT, the reason and the first row where a value is out of its limits.

    Args:
        name: what the message calls the input.
        value: (batch, ...) of numbers or booleans.
    """
    inner = list(range(1, value.shape.rank))
    inside = tf.math.is_finite(value) if value.dtype.is_floating else tf.fill(tf.shape(value), True)
    if limits.least is not None:
        inside &= value >= tf.cast(limits.least, value.dtype)
    if limits.most is not None:
        inside &= value <= tf.cast(limits.most, value.dtype)
    right = tf.reduce_all(inside, inner)
    if limits.some:
        right &= tf.reduce_any(value != tf.zeros([], value.dtype), inner)

    def fail() -> tf.Tensor:  # what is put into words only when it is wrong
        row = tf.argmin(tf.cast(right, tf.int32))
        received: list[str | tf.Tensor] = ["no such value"]
        if not limits.some:
            wrong = tf.boolean_mask(tf.reshape(value[row], [-1]), ~tf.reshape(inside[row], [-1]))
            received = [tf.strings.as_string(wrong[0])]
        message = [f"`{name}` must {limits}. Received: ", *received, ", in row ", tf.strings.as_string(row)]
        with tf.control_dependencies([tf.debugging.Assert(False, [tf.strings.join(message)])]):
            return tf.constant(False)

    return tf.cond(tf.reduce_all(right), lambda: tf.constant(True), fail).op
