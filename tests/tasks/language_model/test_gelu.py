"""GELU against TensorFlow's own, and its derivative too."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.language_model.gelu import gelu


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float16", 5e-3)])
def test_values_and_derivatives_are_those_of_tensorflow(dtype, tolerance):
    x = tf.cast(tf.constant(np.concatenate([np.linspace(-8, 8, 401), [0.0, 30.0, -30.0]]).reshape(4, -1)), dtype)
    upstream = tf.cast(tf.constant(np.random.default_rng(0).normal(size=x.shape)), dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        found, expected = gelu(x), tf.nn.gelu(x, approximate=True)
    assert found.dtype == x.dtype and found.shape == x.shape
    np.testing.assert_allclose(found, expected, atol=tolerance * 8)
    pair = (tape.gradient(values, x, output_gradients=upstream) for values in (found, expected))
    np.testing.assert_allclose(*pair, atol=tolerance * 8)
