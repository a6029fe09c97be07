"""How probable the pixels of an image are, given the parameters that a decoder predicts for each of them."""

from __future__ import annotations

from typing import Literal

from dlkit.lazy import tf

Likelihood = Literal["bernoulli", "logistic"]
PARAMETERS = {"bernoulli": 1, "logistic": 2}  # of each value of a pixel
LEAST_LOG_SCALE = -6.0  # about half a level


def log_likelihood(image: tf.Tensor, parameters: tf.Tensor, likelihood: Likelihood) -> tf.Tensor:
    """Return the logarithm of the probability of each image, (batch,) float32, in nats.

    Args:
        image: (batch, height, width, channels) uint8.
        parameters: (batch, height, width, channels x `PARAMETERS`) float32.
        likelihood: "bernoulli": the mean, over images of black and white pixels that are white with the probability
            level / 255, of the logarithm of their probability: minus the cross-entropy, of which the parameters are the
            logits. "logistic": the probability of the levels 0 to 255, with logistic distributions that are rounded
            (Salimans et al., 2017, arXiv:1701.05517, with one component); the parameters are the means in [-1, 1], and
            the logarithms of the scales.
    """
    levels = tf.cast(image, tf.float32)
    if likelihood == "bernoulli":  # the logarithm of sigmoid(logit) with the weight of white, and of the rest
        return tf.reduce_sum(levels / 255.0 * parameters - tf.math.softplus(parameters), [1, 2, 3])
    mean, log_scale = tf.split(parameters, 2, -1)
    inverse = tf.exp(-tf.maximum(log_scale, LEAST_LOG_SCALE))
    centered = levels / 127.5 - 1.0 - mean
    above, below = (centered + 1.0 / 255.0) * inverse, (centered - 1.0 / 255.0) * inverse
    # log(sigmoid(above) - sigmoid(below)), without a difference of numbers that are nearly equal.
    width = above - below
    inside = tf.math.log_sigmoid(above) + tf.math.log_sigmoid(-below) + tf.math.log(-tf.math.expm1(-width))
    nats = tf.where(image == 0, tf.math.log_sigmoid(above), tf.where(image == 255, tf.math.log_sigmoid(-below), inside))
    return tf.reduce_sum(nats, [1, 2, 3])


def entropy(image: tf.Tensor, likelihood: Likelihood) -> tf.Tensor:
    """Return the least cross-entropy with an image, (batch,) float32, in nats: that of parameters that fit it best."""
    if likelihood == "logistic":
        return tf.zeros(tf.shape(image)[:1])
    share = tf.cast(image, tf.float32) / 255.0
    return -tf.reduce_sum(tf.math.xlogy(share, share) + tf.math.xlogy(1.0 - share, 1.0 - share), [1, 2, 3])


def expected_image(parameters: tf.Tensor, likelihood: Likelihood) -> tf.Tensor:
    """Return the mean of the pixels of each image, (batch, height, width, channels) uint8."""
    if likelihood == "bernoulli":
        share = tf.sigmoid(parameters)
    else:
        share = tf.split(parameters, 2, -1)[0] / 2 + 0.5
    return tf.cast(tf.clip_by_value(tf.round(share * 255.0), 0.0, 255.0), tf.uint8)
