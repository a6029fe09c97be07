"""Gaps of a history: what stands where no value was given."""

import tensorflow as tf

METHODS = ("last", "linear", "mean")


def fill_gaps(values, there, method):
    """Fills in a window what is missing after its first value: nothing that comes later than the window counts.

    Args:
        values: (batch, steps) float32, 0 where none was given.
        there: (batch, steps) bool.
        method: "last", the value before; "linear", the line between the values around, and after the last one that one;
            "mean", 0, which is the mean of scaled values.

    Returns:
        (batch, steps) float32; 0 before the first value.
    """
    if method == "mean":
        return values
    steps = tf.shape(values)[1]
    places = tf.broadcast_to(tf.range(steps), tf.shape(values))
    before = _running_maximum(tf.where(there, places, -1))
    held = tf.gather(values, tf.maximum(before, 0), batch_dims=1)
    filled = tf.where(before >= 0, held, 0.0)
    if method == "last":
        return filled
    back = _running_maximum(tf.reverse(tf.where(there, steps - 1 - places, -1), [1]))
    after = steps - 1 - tf.reverse(back, [1])  # `steps` where nothing comes after
    between = tf.logical_and(before >= 0, after < steps)
    next_value = tf.gather(values, tf.minimum(after, steps - 1), batch_dims=1)
    share = tf.cast(places - before, tf.float32) / tf.cast(tf.maximum(after - before, 1), tf.float32)
    return tf.where(between, filled + share * (next_value - filled), filled)


def _running_maximum(numbers):
    """The largest number so far of each row: (batch, steps) int32, by doubling strides."""
    steps = tf.shape(numbers)[1]

    def wider(stride, made):
        shifted = tf.pad(made, [[0, 0], [stride, 0]], constant_values=-1)[:, :steps]
        return stride * 2, tf.maximum(made, shifted)

    invariants = [tf.TensorShape([]), tf.TensorShape([None, None])]
    return tf.while_loop(lambda stride, _: stride < steps, wider, [1, numbers], shape_invariants=invariants)[1]
