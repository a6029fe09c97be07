"""The variational autoencoder: its bound against formulas and numerical integration, and its four signatures."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logsumexp

import dlkit
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.tasks.image_generation.image_scores import measure_images, objective_of, to_percentile
from dlkit.tasks.image_generation.latent_prior import LatentPrior
from dlkit.tasks.image_generation.likelihood import entropy, expected_image, log_likelihood
from dlkit.tasks.image_generation.row_noise import draw_normal
from dlkit.tasks.image_generation.vae_networks import vae_networks

LEVELS = np.arange(256, dtype=np.uint8).reshape(256, 1, 1, 1)


@pytest.fixture(scope="module")
def sample():
    return dlkit.ImageGenerator.samples()


@pytest.fixture(scope="module")
def model(sample):
    """A small autoencoder of digits, trained for a few seconds."""
    task = dlkit.ImageGenerator(network="vae", width=16, latents=8, epochs=16, learning_rate=5e-3, ema=0.95)
    task.fit(sample["train"], validation=sample["validation"], verbose=0)
    return task


def randomize(weights, deviation=0.15):
    for number, weight in enumerate(weights):  # those of residual parts begin at zero
        weight.assign(np.random.default_rng(number).normal(0, deviation, weight.shape))


def small_networks(likelihood="bernoulli", **options):
    network, decode = vae_networks((8, 8, 1), 3, width=8, latents=2, likelihood=likelihood, **options)
    randomize(network.weights, 0.1)
    return network, decode


def images_of(count, seed=0):
    return tf.constant(np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1)), tf.uint8)


def test_black_and_white_pixels_have_the_cross_entropy():
    logits = np.random.default_rng(0).normal(0, 2, (5, 8, 8, 1)).astype(np.float32)
    share, p = images_of(5).numpy() / 255, expit(logits.astype(np.float64))
    expected = (share * np.log(p) + (1 - share) * np.log(1 - p)).sum((1, 2, 3))
    np.testing.assert_allclose(log_likelihood(images_of(5), logits, "bernoulli"), expected, rtol=1e-5)


@pytest.mark.parametrize(("mean", "log_scale"), [(0.3, -2.0), (-1.2, -4.0), (1.0, -6.0), (0.0, 1.0)])
def test_levels_have_the_probabilities_of_a_rounded_logistic(mean, log_scale):
    parameters = np.tile(np.float32([mean, log_scale]), (256, 1, 1, 1))
    edges = (np.arange(257) - 0.5) / 127.5 - 1
    below = expit((edges - mean) / np.exp(log_scale))
    below[0], below[-1] = 0, 1
    found = np.exp(log_likelihood(LEVELS, parameters, "logistic").numpy().astype(np.float64))
    np.testing.assert_allclose(found, np.diff(below), rtol=1e-3, atol=1e-7)
    assert found.sum() == pytest.approx(1, abs=1e-4)
    assert expected_image(parameters[:1], "logistic").numpy().item() == round(np.clip((mean + 1) * 127.5, 0, 255))


def test_no_parameters_are_below_the_entropy():
    share = np.clip(LEVELS / 255, 1e-7, 1 - 1e-7)
    best = log_likelihood(LEVELS, np.log(share / (1 - share)).astype(np.float32), "bernoulli")
    np.testing.assert_allclose(-best.numpy(), entropy(LEVELS, "bernoulli"), atol=1e-4)


def test_the_density_of_the_prior_is_that_of_what_it_draws():
    prior = LatentPrior(5, 3)
    prior.build()
    randomize(prior.weights)
    noise, labels = tf.random.stateless_normal((4, 5), (0, 1)), tf.constant([0, 1, 2, 3])
    with tf.GradientTape() as tape:
        tape.watch(noise)
        latent = prior.draw(noise, labels)
    jacobians = tape.batch_jacobian(latent, noise).numpy()
    of_noise = -0.5 * (noise.numpy() ** 2 + np.log(2 * np.pi)).sum(1)
    expected = of_noise - np.log(np.abs(np.linalg.det(jacobians)))
    np.testing.assert_allclose(prior(latent, labels), expected, rtol=1e-4, atol=1e-4)
    assert np.abs(np.linalg.det(jacobians) - 1).max() > 0.1
    assert np.abs(latent.numpy() - prior.draw(noise, tf.zeros_like(labels)).numpy()).max(1)[1:].min() > 1e-3


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic"])
def test_the_objective_is_the_negative_elbo(likelihood):
    network, _ = small_networks(likelihood, beta=0.5)
    objective, images = network.get_layer("objective"), images_of(6)
    labels, seeds = tf.constant([0, 1, 2, 3, 0, 1]), tf.stack([tf.range(6), tf.range(6)], 1)
    encoded = {name: value.numpy() for name, value in objective.encoder({"image": images}).items()}
    noise = draw_normal(seeds, [2]).numpy()
    deviation = np.exp(encoded["log_deviation"])
    latent = tf.constant(encoded["mean"] + deviation * noise)
    posterior = (-0.5 * noise**2 - np.log(deviation * np.sqrt(2 * np.pi))).sum(1)
    divergence = posterior - objective.prior(latent, labels).numpy()
    fit = log_likelihood(images, objective.decoder({"latent": latent})["parameters"], likelihood).numpy()
    found = network({"image": images, "label_id": labels, "row_seed": seeds})["objective"].numpy()
    np.testing.assert_allclose(found[:, 0], (0.5 * divergence - fit) / 64, rtol=1e-5)


def test_the_elbo_is_a_bound():
    """On a grid of latent vectors, the probability of an image is a sum; of that the mean ELBO is a lower bound."""
    network, _ = small_networks()
    objective, images = network.get_layer("objective"), images_of(3)
    axis = np.linspace(-8, 8, 161, dtype=np.float32)
    grid = tf.constant(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))
    prior = objective.prior(grid, tf.zeros(len(grid), tf.int32)).numpy().astype(np.float64)
    area = (axis[1] - axis[0]) ** 2
    assert np.exp(prior).sum() * area == pytest.approx(1, abs=1e-2)
    parameters = objective.decoder({"latent": grid})["parameters"]
    for image in images:
        fit = log_likelihood(image[None], parameters, "bernoulli").numpy().astype(np.float64)
        exact = logsumexp(fit + prior) + np.log(area)
        noise = tf.random.stateless_normal((4000, 2), (1, 2))
        terms = objective.terms(image[None], tf.zeros(4000, tf.int32), noise)
        elbo = (terms[0] - terms[1]).numpy()
        assert elbo.mean() < exact + 4 * elbo.std() / np.sqrt(4000)
        # Weighted by how much too small each is, samples of the posterior find the probability itself.
        assert logsumexp(elbo) - np.log(4000) == pytest.approx(exact, abs=0.2)


def test_free_bits_cost_nothing():
    images = images_of(4)
    inputs = {"image": images, "label_id": tf.zeros(4, tf.int32), "row_seed": tf.zeros((4, 2), tf.int32)}
    free, _ = small_networks(free_nats=1000.0)
    objective = free.get_layer("objective")
    fit, divergence = objective.terms(images, inputs["label_id"], draw_normal(inputs["row_seed"], [2]))
    assert divergence.numpy().max() < 1000
    np.testing.assert_allclose(free(inputs)["objective"][:, 0], (1000 - fit) / 64, rtol=1e-5)


def test_the_weights_of_what_generates_come_first():
    network, decode = small_networks()
    assert len(network.weights) > len(decode.weights)
    assert all(one is other for one, other in zip(decode.weights, network.weights, strict=False))


@pytest.mark.parametrize("shape", [(28, 28, 1), (9, 12, 3), (128, 100, 3)])
def test_images_of_all_sizes(shape):
    network, decode = vae_networks(shape, 0, width=8)
    assert decode.output["image"].shape == (None, *shape)
    parameters = network.get_layer("objective").decoder({"latent": tf.zeros((2, 32))})["parameters"]
    assert parameters.shape == (2, *shape)


def test_a_row_has_its_image_in_any_batch(model):
    several = model.generate("3", count=4, seed=7)
    assert len({image.tobytes() for image in several}) == 4
    for number, image in enumerate(several):
        np.testing.assert_array_equal(image, model.generate("3", seed=7 + number)[0])


def test_encoding_and_decoding_is_a_reconstruction(model, sample):
    images = sample["test"]["image"][:40]
    latents = model.to_latents(images)
    assert latents.shape == (40, 8)
    decoded, reconstructed = model.from_latents(latents), model.reconstruct(images)
    np.testing.assert_array_equal(decoded, reconstructed)
    np.testing.assert_array_equal(model.to_latents(images[3:4])[0], latents[3])
    original = np.array([np.asarray(image, float) for image in images])
    error, spread = np.square(original - reconstructed).mean(), original.var(0).mean()
    assert error < 0.7 * spread  # the mean image has 1


def test_scores_are_the_same_every_time_and_in_any_batch(model, sample):
    images = sample["test"]["image"][:10]
    scores = model.anomaly_scores(images)
    assert scores == model.anomaly_scores(images)
    assert scores[4] == model.anomaly_scores(images[4:5])[0]
    assert all(0 <= score["anomaly"] <= 100 for score in scores)


def test_validation_images_are_as_unusual_as_they_should_be(model, sample):
    usual = [score["anomaly"] for score in model.anomaly_scores(sample["validation"]["image"])]
    assert np.mean(usual) == pytest.approx(50, abs=2)
    assert np.mean(np.array(usual) < 20) == pytest.approx(0.2, abs=0.02)
    noise = np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.uint8)
    assert min(score["anomaly"] for score in model.anomaly_scores([*noise])) > 95


def test_percentiles_are_interpolated():
    found = to_percentile(tf.constant([0.0, 1.0, 1.25, 3.0, 4.0, 9.0]), [1.0, 2.0, 4.0])
    np.testing.assert_allclose(found, [0, 0, 12.5, 75, 100, 100])


def test_an_evaluation_has_the_bound(model, sample):
    part = {name: values[:60] for name, values in sample["test"].items()}
    metrics = model.evaluate(part)
    scores = [score["negative_elbo"] for score in model.anomaly_scores(part["image"])]
    assert metrics["negative_elbo"] == pytest.approx(np.mean(scores), rel=1e-5)
    assert metrics["bits_per_dim"] == pytest.approx(np.mean(scores) / np.log(2) / 64, rel=1e-5)
    assert metrics["kid_skill"] > 0


def test_the_mean_of_a_few_samples_is_that_of_many(model, sample):
    tensors, _ = model.encode(
        {"label": tf.constant(["1"])}, {"image": tf.constant([model.target["image"].raw(sample["test"]["image"][0])])}
    )
    objective = objective_of(model.stages_.network)
    found = float(measure_images(objective, tensors["image"])["negative_elbo"][0])
    terms = objective.terms(tensors["image"], tf.zeros(2000, tf.int32), tf.random.stateless_normal((2000, 8), (3, 4)))
    many = (terms[1] - terms[0]).numpy()
    assert found == pytest.approx(many.mean(), abs=5 * many.std() / np.sqrt(8))


def test_a_file_that_is_no_image_costs_only_itself(model, sample):
    good = model.target["image"].raw(sample["test"]["image"][0])
    for name in ("encode", "reconstruct", "score"):
        signature = model.served()[name]
        bad, fine = (signature.graph(image=tf.constant([file, good])) for file in (b"no image", good))
        assert bad["error"][0].numpy().startswith(b"not a JPEG")
        assert fine["error"][0].numpy() == b""
        for key, values in bad.items():
            np.testing.assert_array_equal(values[1], fine[key][1])
            assert key == "error" or np.count_nonzero(values[0].numpy()) == 0
    with pytest.raises(DataError, match="input 1: not a JPEG"):
        model.reconstruct([good, b"no image"])


def test_latent_vectors_that_are_not_finite_cost_only_themselves(model):
    latent = np.zeros((3, 8), np.float32)
    latent[1, 4] = np.nan
    answers = model.served()["decode"].graph(latent=tf.constant(latent))
    assert answers["error"].numpy().tolist() == [b"", b"`latent` must be finite numbers.", b""]
    assert answers["image_bytes"][1].numpy() == b""
    assert answers["image_bytes"][0] == answers["image_bytes"][2]
    with pytest.raises(DataError, match="expected 8 finite numbers"):
        model.from_latents(latent)
    with pytest.raises(DataError, match=r"expected 8 finite numbers\. Received: ndarray of shape \(7,\)"):
        model.from_latents(np.zeros((1, 7)))


def test_requests_have_neither_steps_nor_guidance(model):
    assert [*model.inputs] == ["label", "seed"]
    with pytest.raises(HparamError, match='network="vae" has no steps: it applies to diffusion'):
        model.generate("3", steps=4)


def test_without_validation_images_nothing_says_what_is_usual(model, monkeypatch):
    monkeypatch.setattr(model, "calibration_", {})
    monkeypatch.setattr(model, "_served", {})
    assert {*model.served()} >= {"decode", "encode", "reconstruct"}
    assert "score" not in model.served()
    with pytest.raises(DlkitError, match="without validation images"):
        model.anomaly_scores([np.zeros((8, 8), np.uint8)])


@pytest.mark.slow
def test_a_stopped_run_resumes_and_ends_as_if_never_stopped(sample, tmp_path):
    source = {name: values[:96] for name, values in sample["train"].items()}
    options = {"network": "vae", "width": 8, "latents": 2, "epochs": 2, "batch_size": 24, "ema": 0.9}
    whole, stopped, resumed = (dlkit.ImageGenerator(**options) for _ in range(3))
    history = whole.fit(source, verbose=0)

    def stop(batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt = keras.callbacks.LambdaCallback(on_train_batch_begin=stop)
        stopped.fit(source, save=tmp_path / "m", verbose=0, checkpoint_every=2, callbacks=[interrupt])
    assert resumed.fit(source, save=tmp_path / "m", resume=True, verbose=0) == history
    for one, other in zip(whole.stages_.network.weights, resumed.stages_.network.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    loaded, images = dlkit.load(tmp_path / "m"), sample["test"]["image"][:3]
    assert loaded.anomaly_scores(images) == whole.anomaly_scores(images)
    np.testing.assert_array_equal(loaded.generate("3"), whole.generate("3"))


def test_another_network_has_no_latent_vectors():
    with pytest.raises(DlkitError, match=r'must have network="vae"\. Received: network="diffusion"'):
        dlkit.ImageGenerator().to_latents([])


def test_options_of_other_networks_are_remarked_on(sample):
    remarks = dlkit.ImageGenerator(network="vae", sampler="ancestral", beta=2.0).check(sample["train"])["remarks"]
    assert 'sampler="ancestral" has no effect with network="vae": it applies to diffusion' in remarks
    assert not any("beta" in remark for remark in remarks)
