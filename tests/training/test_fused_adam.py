"""Adam in one operation: the update of Keras's own, whatever the gradients are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.training.fused_adam import FusedAdam

STEPS = 20


def trained(kind, *, sparse=False, beta_1=0.9, decayed=True, **options):
    """Weights and moments after some steps of random gradients of changing size."""
    generator = np.random.default_rng(0)
    matrix, vector = keras.Variable(generator.normal(size=(6, 3))), keras.Variable(np.ones(4))
    optimizer = kind(0.1, beta_1=beta_1, **options)
    if not decayed:
        optimizer.exclude_from_weight_decay(var_list=[vector])
    optimizer.build([matrix, vector])
    for step in range(STEPS):
        gradient = generator.normal(size=(2, 3)).astype("float32") * 10.0 ** (step % 3)
        dense = np.zeros((6, 3), "float32")
        dense[[1, 4]] = gradient
        slices = tf.IndexedSlices(tf.constant(gradient), tf.constant([1, 4]), tf.constant([6, 3]))
        other = tf.constant(generator.normal(size=4).astype("float32"))
        optimizer.apply([slices if sparse else tf.constant(dense), other], [matrix, vector])
    return [variable.numpy() for variable in (matrix, vector, *optimizer.variables)]


@pytest.mark.parametrize(
    "options",
    [
        {"weight_decay": None},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "decayed": False},
        {"weight_decay": None, "global_clipnorm": 0.5},
        {"weight_decay": None, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"weight_decay": 0.01, "sparse": True},
    ],
    ids=str,
)
def test_the_update_is_that_of_keras(options):
    for found, expected in zip(trained(FusedAdam, **options), trained(keras.optimizers.Adam, **options), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_with_decay_it_is_adamw():
    expected = trained(keras.optimizers.AdamW, weight_decay=0.1)
    for left, right in zip(trained(FusedAdam, weight_decay=0.1), expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=2e-5, atol=2e-6)
