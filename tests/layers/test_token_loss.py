"""The loss of tokens against NumPy, its gradient against the one that is derived, row for row."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.layers.token_loss import TokenCrossEntropy

SIZE = 7


def batch(seed=0):
    generator = np.random.default_rng(seed)
    ids = generator.integers(1, SIZE, (3, 5)).astype(np.int32)
    ids[0, 2:] = 0
    ids[2] = 0
    return ids, generator.normal(size=(3, 5, SIZE)).astype(np.float32) * 3


def of_row(ids, logits, smoothing, usual):
    total = 0.0
    for number, row in zip(ids, logits.astype(np.float64), strict=True):
        if number:
            logs = row - np.log(np.exp(row).sum())
            wanted = np.full(SIZE, smoothing / SIZE)
            wanted[number] += 1 - smoothing
            total -= (wanted * logs).sum()
    return total / usual


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_sum_over_a_row_in_units_of_a_usual_one(smoothing):
    ids, logits = batch()
    loss = TokenCrossEntropy(4.0, smoothing)
    expected = [of_row(ids[row], logits[row], smoothing, 4.0) for row in range(3)]
    np.testing.assert_allclose(loss.call(ids, tf.constant(logits)), expected, rtol=1e-5)
    assert expected[2] == 0
    np.testing.assert_allclose(loss(ids, logits), np.mean(expected), rtol=1e-5)
    longer = np.pad(ids, [(0, 0), (0, 3)])  # targets are not trimmed
    np.testing.assert_allclose(loss.call(longer, tf.constant(logits)), expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_gradient_is_that_of_the_smoothed_targets(smoothing):
    ids, logits = batch(1)
    x = tf.constant(logits)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        mine = TokenCrossEntropy(2.0, smoothing)(ids, x)
        wanted = keras.losses.categorical_crossentropy(
            tf.one_hot(ids, SIZE), x, from_logits=True, label_smoothing=smoothing
        )
        whole = tf.reduce_mean(tf.reduce_sum(wanted * tf.cast(ids > 0, tf.float32), 1)) / 2.0
    np.testing.assert_allclose(mine, whole, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(mine, x), tape.gradient(whole, x), atol=1e-6)
    assert np.abs(tape.gradient(mine, x)[2]).max() == 0
