"""Change of the sample rate, in the graph."""

from __future__ import annotations

import math

import numpy as np

from dlkit.lazy import tf

ZERO_CROSSINGS = 32  # of the sinc on each side
KAISER_BETA = 9.0  # of the window: frequencies up to 0.9 times the Nyquist frequency keep 4 digits
_MAX_WEIGHTS = 1_000_000  # of the matrix of a pair of rates; pairs that need more are computed without one
_MIN_OUTPUTS = 64  # of one row of the product: fewer would be slow
_I0E = float(np.i0(KAISER_BETA) * np.exp(-KAISER_BETA))
_BLOCK = 4096  # outputs that are computed together without a matrix


def resample(samples: tf.Tensor, rate: tf.Tensor, new_rate: int) -> tf.Tensor:
    """Change the sample rate of one clip by a windowed sinc, cut off at the lower of both Nyquist frequencies.

    The window is a Kaiser window over 32 zero crossings of the sinc on each side. Sample `m` of the result is at the
    time `m / new_rate`; outside of the clip there is silence. Source: Smith, Digital Audio Resampling,
    https://ccrma.stanford.edu/~jos/resample/; the filter is computed for each pair of rates instead of interpolated.

    Args:
        samples: (samples,) float32.
        rate: () int32, samples per second, positive.
        new_rate: samples per second of the result.

    Returns:
        (ceil(samples * new_rate / rate),) float32; the samples themselves if both rates are equal.
    """

    def convert() -> tf.Tensor:
        old = tf.cast(rate, tf.int64)
        divisor = _greatest_common_divisor(old, tf.constant(new_rate, tf.int64))
        up, down = new_rate // divisor, old // divisor
        count = -(-tf.size(samples, tf.int64) * up // down)
        scale = tf.minimum(1.0, new_rate / tf.cast(old, tf.float32))  # of the filter: below 1 it removes aliases
        half = tf.cast(tf.math.ceil(ZERO_CROSSINGS / scale), tf.int64)  # samples of the filter on each side
        repeats = -(-_MIN_OUTPUTS // up)
        outputs, inputs = up * repeats, down * repeats
        return tf.cond(
            outputs * (inputs + 2 * half) <= _MAX_WEIGHTS,
            lambda: _by_matrix(samples, outputs, inputs, scale, half, count),
            lambda: _in_blocks(samples, up, down, scale, half, count),
        )

    return tf.cond((rate == new_rate) | (tf.size(samples) == 0), lambda: samples, convert)


def _by_matrix(
    samples: tf.Tensor, outputs: tf.Tensor, inputs: tf.Tensor, scale: tf.Tensor, half: tf.Tensor, count: tf.Tensor
) -> tf.Tensor:
    """Compute the first `count` samples, `outputs` from every `inputs`, as one product with all phases of the filter.

    Args:
        samples: (samples,) float32.
        outputs, inputs: () int64; their ratio is that of the rates.
        scale: () float32, the new rate in units of the old one, at most 1.
        half: () int64, samples of the filter on each side.
        count: () int64, samples of the result.
    """
    width = inputs + 2 * half
    number = tf.range(outputs) * inputs  # of the outputs, their times in units of 1 / outputs of an input
    time = tf.cast(number % outputs, tf.float32) / tf.cast(outputs, tf.float32)
    distance = tf.cast((number // outputs + half)[tf.newaxis] - tf.range(width)[:, tf.newaxis], tf.float32) + time
    rows = -(-count // outputs)
    behind = tf.maximum(rows * inputs + 2 * half - tf.size(samples, tf.int64) - half, 0)
    padded = tf.pad(samples, tf.reshape(tf.stack([half, behind]), [1, 2]))
    rows, inputs, width = (tf.cast(number, tf.int32) for number in (rows, inputs, width))  # half the memory of int64
    windows = tf.gather(padded, tf.range(rows)[:, tf.newaxis] * inputs + tf.range(width))
    return tf.reshape(tf.matmul(windows, _filter(distance * scale) * scale), [-1])[:count]


def _in_blocks(
    samples: tf.Tensor, up: tf.Tensor, down: tf.Tensor, scale: tf.Tensor, half: tf.Tensor, count: tf.Tensor
) -> tf.Tensor:
    """Compute the same with a filter of its own for each sample, for rates without a small ratio `up / down`."""
    padded = tf.pad(samples, tf.reshape(tf.stack([half, half]), [1, 2]))
    last = tf.size(padded, tf.int64) - 1
    taps = tf.range(-half, half + 1)

    def block(first: tf.Tensor) -> tf.Tensor:
        number = (first + tf.range(_BLOCK, dtype=tf.int64)) * down
        time = tf.cast(number % up, tf.float32) / tf.cast(up, tf.float32)
        weights = _filter((time[:, tf.newaxis] - tf.cast(taps, tf.float32)) * scale) * scale
        places = tf.minimum((number // up + half)[:, tf.newaxis] + taps, last)  # behind the end: none is returned
        return tf.reduce_sum(tf.gather(padded, places) * weights, axis=1)

    firsts = tf.range(0, count, _BLOCK)
    signature = tf.TensorSpec([_BLOCK], tf.float32)
    blocks = tf.map_fn(block, firsts, fn_output_signature=signature, parallel_iterations=1)
    return tf.reshape(blocks, [-1])[:count]


def _filter(distance: tf.Tensor) -> tf.Tensor:
    """Return the weight at a distance in zero crossings: float32, of any shape."""
    angle = math.pi * distance
    sinc = tf.math.divide_no_nan(tf.sin(angle), angle) + tf.cast(distance == 0, tf.float32)
    height = tf.sqrt(tf.maximum(1 - tf.square(distance / ZERO_CROSSINGS), 0.0))
    # Of I0(beta * height) / I0(beta), whose terms alone would be large.
    window = tf.math.bessel_i0e(KAISER_BETA * height) * tf.exp(KAISER_BETA * (height - 1)) / _I0E
    return tf.where(tf.abs(distance) < ZERO_CROSSINGS, sinc * window, 0.0)


def _greatest_common_divisor(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Euclid's algorithm: () int64, positive."""
    return tf.while_loop(lambda a, b: b > 0, lambda a, b: (b, a % b), (first, second), parallel_iterations=1)[0]
