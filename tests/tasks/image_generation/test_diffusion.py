"""Noise, the steps back, and the sampler, against formulas and networks whose answer is known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.image_generation.diffusion import AddNoise, DiffusionSampler, MeanSquaredDifference, step_back
from dlkit.tasks.image_generation.diffusion_networks import diffusion_networks
from dlkit.tasks.image_generation.unet import LabelEmbedding, unet


def levels(time):
    return np.cos(np.pi / 2 * time)[:, None, None, None], np.sin(np.pi / 2 * time)[:, None, None, None]


def test_noise_and_image_follow_from_the_velocity():
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (200, 4, 3, 1)), tf.uint8)
    seeds = tf.stack([tf.range(200), tf.range(200) * 7], 1)
    made = {name: value.numpy() for name, value in tf.function(AddNoise().call, autograph=False)(images, seeds).items()}
    alpha, sigma = levels(made["time"])
    clean = alpha * made["noisy_image"] - sigma * made["velocity"]
    np.testing.assert_allclose(clean, images.numpy() / 127.5 - 1, atol=1e-5)
    noise = sigma * made["noisy_image"] + alpha * made["velocity"]
    assert abs(noise.mean()) < 0.07
    assert abs(noise.std() - 1) < 0.07
    assert abs(np.corrcoef(noise[:, 0, 0, 0], made["time"])[0, 1]) < 0.25
    assert abs(made["time"].mean() - 0.5) < 0.08
    alone = AddNoise()(images[3:4], seeds[3:4])
    np.testing.assert_array_equal(alone["noisy_image"][0], made["noisy_image"][3])


def test_the_steps_back_are_those_of_the_posterior():
    generator = np.random.default_rng(1)
    clean = generator.uniform(-1, 1, (4, 2, 2, 1))
    noise, fresh = generator.normal(size=(2, 4, 2, 2, 1))
    time, earlier = np.array([0.9, 0.5, 0.2, 1.0]), np.array([0.7, 0.4, 0.0, 0.6])
    (alpha, sigma), (next_alpha, next_sigma) = levels(time), levels(earlier)
    noisy, velocity = alpha * clean + sigma * noise, alpha * noise - sigma * clean
    given = [tf.constant(values, tf.float32) for values in (noisy, velocity, time, earlier)]
    np.testing.assert_allclose(step_back(*given), next_alpha * clean + next_sigma * noise, atol=1e-5)
    # Bayes: q(z_s | z_t, x) of a Gaussian process with z_t = (alpha_t / alpha_s) z_s + noise of this variance.
    ratio = alpha / next_alpha
    variance = sigma**2 - ratio**2 * next_sigma**2
    mean = ratio * next_sigma**2 / sigma**2 * noisy + next_alpha * variance / sigma**2 * clean
    expected = mean + np.sqrt(variance) * next_sigma / sigma * fresh
    np.testing.assert_allclose(step_back(*given, tf.constant(fresh, tf.float32)), expected, atol=1e-5)


class KnowsTheImage(keras.layers.Layer):
    """The velocity of noisy versions of a single image."""

    def call(self, noisy, time):
        angle = time[:, None, None, None] * np.pi / 2
        image = tf.constant(np.linspace(-1, 1, 12).reshape(1, 3, 4, 1), tf.float32)
        return (tf.cos(angle) * noisy - image) / tf.maximum(tf.sin(angle), 1e-6)


class SaysItsLabel(keras.layers.Layer):
    """A velocity of minus a tenth of the label."""

    def call(self, noisy, label_id):
        return tf.zeros_like(noisy) - tf.cast(label_id, tf.float32)[:, None, None, None] / 10

    def compute_output_spec(self, noisy, label_id):
        return keras.KerasTensor(noisy.shape, "float32")


def network_of(velocity):
    inputs = {
        "noisy_image": keras.Input((3, 4, 1), name="noisy_image"),
        "time": keras.Input((), dtype="float32", name="time"),
        "label_id": keras.Input((), dtype="int32", name="label_id"),
    }
    return keras.Model(inputs, {"velocity": velocity(**inputs)})


def sample(sampler, **values):
    rows = len(next(iter(values.values())))
    given = {"seed": range(rows), "label_id": [0] * rows, "steps": [1] * rows, "guidance": [1.0] * rows, **values}
    if "call" not in vars(sampler):  # traced once
        vars(sampler)["call"] = tf.function(sampler.call, autograph=False, reduce_retracing=True)
    return sampler.call(**{name: tf.constant([*value]) for name, value in given.items()}).numpy()


@pytest.mark.parametrize("kind", ["ddim", "ancestral"])
def test_a_network_that_knows_the_image_leads_to_it(kind):
    network = network_of(lambda noisy_image, time, label_id: KnowsTheImage()(noisy_image, time))
    images = sample(DiffusionSampler(network, kind, labeled=False), steps=[1, 2, 7])
    expected = np.round((np.linspace(-1, 1, 12) + 1) * 127.5).reshape(3, 4, 1)
    for image in images:
        assert np.abs(image.astype(int) - expected).max() <= 1


def test_guidance_goes_beyond_the_label():
    network = network_of(lambda noisy_image, time, label_id: SaysItsLabel()(noisy_image, label_id))
    images = sample(DiffusionSampler(network), label_id=[3, 3, 3, 0], guidance=[1.0, 2.0, 0.0, 9.0])
    # From pure noise, a single step leads to minus the velocity: 0.3 g of label 3, in [-1, 1].
    assert [image.flat[0] for image in images] == [round((0.3 * g + 1) * 127.5) for g in (1, 2, 0, 0)]


@pytest.mark.parametrize("kind", ["ddim", "ancestral"])
def test_a_row_has_its_image_in_any_batch(kind):
    keras.utils.set_random_seed(0)
    _, decode = diffusion_networks((9, 10, 3), 2, width=8, blocks=1, sampler=kind)
    for weight in decode.weights:  # those of residual branches begin at zero
        weight.assign(np.random.default_rng(len(weight.path)).normal(0, 0.1, weight.shape))
    sampler = decode.get_layer("sampler")
    values = {"seed": [5, 6, 7, 5], "label_id": [0, 1, 2, 0], "steps": [3, 1, 5, 3], "guidance": [1.0, 3.0, 0.5, 1.0]}
    together = sample(sampler, **values)
    for row in range(4):
        alone = sample(sampler, **{name: each[row : row + 1] for name, each in values.items()})
        np.testing.assert_array_equal(alone[0], together[row])
    np.testing.assert_array_equal(together[0], together[3])
    assert (together[0] != together[1]).any()
    assert sample(sampler, **{name: [0] for name in ("seed", "steps", "label_id")}, guidance=[0.0]).shape[0] == 1


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="must be ddim or ancestral"):
        DiffusionSampler(unet((8, 8, 1), 1, width=8, blocks=1), "euler")


def test_no_label_is_no_vector():
    layer = LabelEmbedding(2, 3)
    embedded = layer(tf.constant([0, 1, 2])).numpy()
    np.testing.assert_array_equal(embedded, np.concatenate([np.zeros((1, 3)), layer.embeddings.numpy()]))


def test_the_training_network_and_the_sampler_share_their_weights():
    network, decode = diffusion_networks((28, 28, 1), 10, width=8, blocks=1)
    assert all(one is other for one, other in zip(network.weights, decode.weights, strict=True))
    images = tf.fill((2, 28, 28, 1), tf.constant(255, tf.uint8))
    seeds = tf.constant([[1, 2], [3, 4]])
    objective = network({"image": images, "label_id": tf.constant([1, 0]), "row_seed": seeds})["objective"]
    made = AddNoise()(images, seeds)  # the untrained network predicts zeros
    expected = np.square(made["velocity"].numpy()).mean((1, 2, 3))
    np.testing.assert_allclose(objective.numpy()[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(MeanSquaredDifference()(made["velocity"], made["velocity"]), [[0], [0]])


@pytest.mark.parametrize("shape", [(28, 28, 1), (31, 45, 3), (128, 96, 3)])
def test_all_sizes_are_padded_and_cropped(shape):
    network = unet(shape, 3, width=8, depth=3, blocks=1, patch=4)
    assert network.output["velocity"].shape == (None, *shape)


def test_a_width_that_cannot_be_grouped_is_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        unet((8, 8, 1), 1, width=12)
