"""Losses of items by hand, and what sampling aims at."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.recommendation.networks import ItemCrossEntropy, NextItemCrossEntropy, SampledItemCrossEntropy


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_a_row_s_items_out_of_all():
    logits = np.random.default_rng(0).normal(size=(2, 5)).astype(np.float32)
    taken = np.array([[[0, 2, 4], [9, 9, 9]], [[0, 0, 0], [9, 9, 9]]])
    losses = ItemCrossEntropy(reduction=None)(taken, logits).numpy()
    shares = log_softmax(logits[:, 1:])  # nothing takes no part
    np.testing.assert_allclose(losses, [-(shares[0, 1] + shares[0, 3]) / 2**0.5, 0], rtol=1e-5)


def test_each_positive_beside_all_negatives():
    logits = np.array([[2.0, 1.0, 0.5, -1.0, -1e9]], np.float32)
    taken = np.array([[[3, 0, 0]]])
    loss = float(SampledItemCrossEntropy(2)(taken, logits))
    assert loss == pytest.approx(-float(log_softmax(np.array([2.0, 0.5, -1.0]))[0]), rel=1e-5)


def test_what_follows_counts_where_there_is_something():
    logits = np.random.default_rng(0).normal(size=(1, 2, 4)).astype(np.float32)
    taken = np.array([[[7, 0, 3]]])  # the width of before it was cut
    loss = float(NextItemCrossEntropy(typical_length=2)(taken, logits))
    assert loss == pytest.approx(-log_softmax(logits)[0, 1, 3] / 2, rel=1e-5)


def test_the_gradient_of_nothing_is_nothing():
    logits = tf.Variable(tf.random.stateless_normal([1, 5], [1, 2]))
    for loss in (ItemCrossEntropy(), SampledItemCrossEntropy(2)):
        with tf.GradientTape() as tape:
            value = loss(np.zeros((1, 1, 3), int), logits)
        assert not np.any(tape.gradient(value, logits).numpy())
