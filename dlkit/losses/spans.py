"""The loss of pointing at one place of several right ones."""

from keras import ops


def place_loss(places, logits):
    """Mean cross entropy of the right places: (batch,) float32.

    Args:
        places: (batch, most) int, the right places, -1 for none; at least one is right.
        logits: (batch, length) float32.
    """
    places = ops.cast(places, "int32")
    log_probabilities = ops.take_along_axis(ops.log_softmax(logits, axis=-1), ops.maximum(places, 0), axis=1)
    right = ops.cast(places >= 0, logits.dtype)
    return -ops.sum(log_probabilities * right, axis=1) / ops.maximum(ops.sum(right, axis=1), 1)
