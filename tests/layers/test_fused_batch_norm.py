"""FusedBatchNormalization against Keras's own layer, step by step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.layers.fused_batch_norm import FusedBatchNormalization
from dlkit.training.strategies import resolve_strategy


@pytest.fixture
def pair():
    layers = [kind(momentum=0.9, epsilon=1e-3) for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)]
    generator = np.random.default_rng(0)
    for layer in layers:
        layer.build((None, 5, 4, 3))
    for variables in zip(*(layer.trainable_variables for layer in layers), strict=True):
        value = generator.normal(1.0, 0.3, variables[0].shape)
        for variable in variables:
            variable.assign(value)
    return layers


def test_it_trains_and_answers_as_keras_does(pair):
    generator = np.random.default_rng(1)
    for _ in range(5):
        batch = tf.constant(generator.normal(2.0, 3.0, (6, 5, 4, 3)), tf.float32)
        results = []
        for layer in pair:
            with tf.GradientTape() as tape:
                tape.watch(batch)
                output = layer(batch, training=True)
                loss = tf.reduce_sum(output**3)
            variables = [variable.value for variable in layer.trainable_variables]
            results.append([output, *tape.gradient(loss, [batch, *variables])])
        for left, right in zip(*results, strict=True):
            np.testing.assert_allclose(left, right, rtol=2e-4, atol=2e-3)
    for left, right in zip(pair[0].variables, pair[1].variables, strict=True):
        np.testing.assert_allclose(left.numpy(), right.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pair[0](batch), pair[1](batch), rtol=1e-5, atol=1e-5)


def test_a_frozen_layer_keeps_its_statistics(pair):
    pair[0].trainable = False
    before = pair[0].moving_mean.numpy().copy()
    pair[0](tf.ones((2, 5, 4, 3)), training=True)
    np.testing.assert_array_equal(pair[0].moving_mean.numpy(), before)


def test_it_is_keras_s_synchronised_layer_in_16_bits():
    layer = FusedBatchNormalization(dtype="mixed_bfloat16")
    assert layer(tf.ones((2, 3, 3, 1)), training=True).dtype == tf.bfloat16
    assert layer.synchronized


def over_replicas(strategy, parts):
    """Outputs, gradients of their cubes' sum, and moving statistics of a layer that sees a part in each replica."""
    with strategy.scope():
        layer = FusedBatchNormalization(momentum=0.9, epsilon=1e-3)
        layer.build((None, 5, 4, 3))
    for number, variable in enumerate(layer.trainable_variables):
        variable.assign(np.random.default_rng(number).normal(1.0, 0.3, variable.shape))

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            tape.watch(batch)
            output = layer(batch, training=True)
            loss = tf.reduce_sum(output**3)
        return output, *tape.gradient(loss, [batch, layer.gamma.value, layer.beta.value])

    batch = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )
    output, inputs, gamma, beta = map(strategy.experimental_local_results, strategy.run(step, (batch,)))
    moving = [copy for variable in (layer.moving_mean, layer.moving_variance)
              for copy in strategy.experimental_local_results(variable.value)]  # fmt: skip
    gradients = tf.concat(inputs, axis=0), tf.add_n(gamma), tf.add_n(beta)
    return [tf.concat(output, axis=0), *gradients], np.reshape(moving, (2, len(parts), 3))


@pytest.mark.parametrize("rows", [(12, 13), (3, 1)])
def test_two_replicas_normalize_as_one_device_does(rows):
    batch = np.random.default_rng(2).normal(2.0, 3.0, (sum(rows), 5, 4, 3)).astype("float32")
    batch[: rows[0]] += 1.0  # parts of different mean, so that each one's own would be another
    expected, moving_of_one = over_replicas(tf.distribute.get_strategy(), [batch])
    found, moving = over_replicas(resolve_strategy("mirrored:2").strategy, np.split(batch, [rows[0]]))
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-5 * np.abs(right).max())
    for replica in range(2):
        np.testing.assert_allclose(moving[:, replica], moving_of_one[:, 0], rtol=1e-5)
