"""Generator and critic: their gradients, the spectral norm and the augmentation, against two models and numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import HparamError
from dlkit.tasks.image_generation.adversarial import AdversarialLoss
from dlkit.tasks.image_generation.augment_images import AugmentImages, change_color, cut_out, translate
from dlkit.tasks.image_generation.critic import Critic
from dlkit.tasks.image_generation.gan_networks import gan_networks
from dlkit.tasks.image_generation.generator import generator
from dlkit.tasks.image_generation.spectral_layers import SpectralDense, spectral_norm

SMALL = {"network": "gan", "width": 8, "depth": 1, "epochs": 1, "batch_size": 16}


@pytest.fixture(scope="module")
def networks():
    """A network and its sampler for two labels, with random weights."""
    keras.utils.set_random_seed(0)
    network, decode = gan_networks((9, 10, 3), 2, width=8, depth=2)
    for weight in network.weights:  # those that scale and shift begin at zero
        weight.assign(np.random.default_rng(len(weight.path)).normal(0, 0.3, weight.shape))
    return network, decode


def batch_of(rows):
    draw = np.random.default_rng(1)
    return {
        "image": tf.constant(draw.integers(0, 256, (rows, 9, 10, 3)), tf.uint8),
        "label_id": tf.constant(draw.integers(0, 3, rows), tf.int32),
        "row_seed": tf.constant(draw.integers(-(2**31), 2**31, (rows, 2)), tf.int32),
    }


def judge(network, image, label_id):
    """The critic of a network, by its weights alone."""
    weights = {weight.path: weight.value for weight in network.trainable_weights if "critic" in weight.path}

    def normalized(name):
        kernel = weights[f"{name}/kernel"]
        return kernel / spectral_norm(tf.reshape(kernel, [-1, kernel.shape[-1]]))

    x, stride = image, 1
    for name in ("critic_patches", "critic_conv_1", "critic_conv_2"):
        x = tf.nn.conv2d(x, normalized(name), stride, "SAME") + weights[f"{name}/bias"]
        x, stride = tf.nn.leaky_relu(x, 0.2), 2
    x = tf.nn.leaky_relu(tf.reshape(x, [len(image), -1]) @ normalized("critic_hidden") + weights["critic_hidden/bias"])
    label = tf.one_hot(label_id - 1, 2) @ normalized("critic_label")
    score = x @ normalized("critic_realism") + weights["critic_realism/bias"]
    return score + tf.reduce_sum(x * label, 1, keepdims=True)


def test_the_gradients_are_those_of_two_models_side_by_side(networks):
    network, _ = networks
    batch, weights = batch_of(6), network.trainable_weights
    with tf.GradientTape() as tape:
        losses = network(batch, training=True)
        loss = tf.reduce_mean(losses["critic"]) + tf.reduce_mean(losses["generator"])
    found = tape.gradient(loss, weights)
    latent = network.get_layer("latent")(batch["row_seed"])
    with tf.GradientTape(persistent=True) as tape:
        painted = network.get_layer("generator")({"latent": latent, "label_id": batch["label_id"]})["image"]
        real = judge(network, tf.cast(batch["image"], tf.float32) / 127.5 - 1, batch["label_id"])
        fake = judge(network, painted, batch["label_id"])
        of_critic, of_generator = tf.nn.relu(1 - real) + tf.nn.relu(1 + fake), -fake
        separate = {"critic": tf.reduce_mean(of_critic), "generator": tf.reduce_mean(of_generator)}
    np.testing.assert_allclose(losses["critic"], of_critic, atol=1e-5)
    np.testing.assert_allclose(losses["generator"], of_generator, atol=1e-5)
    assert len({weight.path for weight in weights}) == len(weights)
    for weight, gradient in zip(weights, found, strict=True):
        own = "critic" if "critic" in weight.path else "generator"
        expected = tape.gradient(separate[own], weight.value)
        np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max() + 1e-7, err_msg=weight.path)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (12, 12), (5, 1)])
def test_the_spectral_norm_is_the_largest_singular_value(shape):
    for seed in range(10):
        matrix = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        left, values, right = np.linalg.svd(matrix)
        with tf.GradientTape() as tape:
            variable = tf.Variable(matrix)
            found = spectral_norm(variable)
        assert 0.99 * values[0] <= found <= values[0] * (1 + 1e-5)
        if len(values) == 1 or values[1] < 0.9 * values[0]:
            assert float(found) == pytest.approx(values[0], rel=1e-5)
            gradient = tape.gradient(found, variable)
            np.testing.assert_allclose(gradient, np.outer(left[:, 0], right[0]), atol=2e-3)
    assert np.isfinite(spectral_norm(tf.zeros(shape)))


def test_layers_have_the_spectral_norm_one_in_training_and_after_it():
    layer = SpectralDense(6, bias=False)
    layer(tf.zeros((1, 4)))
    layer.kernel.assign(np.random.default_rng(0).normal(0, 30, (4, 6)))
    for training in (True, False):
        matrix = layer(tf.eye(4), training=training).numpy()
        assert np.linalg.svd(matrix)[1][0] == pytest.approx(1, abs=0.01)
    assert len(layer.weights) == 1  # no state


def test_a_frozen_layer_has_no_gradient_of_its_own():
    layer, x = SpectralDense(3), tf.Variable(tf.ones((2, 4)))
    layer(x)
    with tf.GradientTape(persistent=True) as tape:
        outputs = [tf.reduce_sum(layer(x, frozen=frozen)) for frozen in (False, True)]
    assert [tape.gradient(output, x) is None for output in outputs] == [False, False]
    for weight in layer.trainable_weights:
        assert [tape.gradient(output, weight.value) is None for output in outputs] == [False, True]


@pytest.mark.parametrize("pace", [1.0, 4.0])
def test_the_pace_of_a_layer_is_the_length_of_its_steps(pace):
    keras.utils.set_random_seed(0)
    layer, x = SpectralDense(50, pace=pace), tf.random.stateless_normal((64, 200), (1, 2))
    before = layer(x).numpy()
    kernel = tf.convert_to_tensor(layer.kernel)
    assert np.std(kernel) == pytest.approx(np.sqrt(2 / 250) / pace, rel=0.05)  # of glorot_uniform, without the pace
    optimizer = keras.optimizers.Adam(1e-3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x))
    optimizer.apply(tape.gradient(loss, layer.trainable_weights), layer.trainable_weights)
    np.testing.assert_allclose(layer(tf.zeros((1, 200))), np.full((1, 50), -1e-3 * pace), rtol=1e-3)
    moved = tf.norm(layer.kernel - kernel) / tf.norm(kernel)
    assert float(moved) == pytest.approx(1e-3 * pace / np.sqrt(2 / 250), rel=0.05)
    assert np.abs(layer(x) - before).max() > 0


def test_the_losses_by_hand():
    scores = {"real": [[2.0], [0.5], [-1.0]], "held": [[-3.0], [0.5], [-0.5]], "generated": [[-3.0], [0.5], [-0.5]]}
    scores = {name: tf.constant(values) for name, values in scores.items()}
    hinge = AdversarialLoss("hinge")(**scores)
    np.testing.assert_allclose(hinge["critic"], [[0.0], [0.5 + 1.5], [2.0 + 0.5]])
    np.testing.assert_allclose(hinge["generator"], [[3.0], [-0.5], [0.5]])
    logistic = AdversarialLoss("non_saturating")(**scores)
    probability = {name: 1 / (1 + np.exp(-np.array(values))) for name, values in scores.items()}
    expected = -np.log(probability["real"]) - np.log(1 - probability["held"])
    np.testing.assert_allclose(logistic["critic"], expected, rtol=1e-5)
    np.testing.assert_allclose(logistic["generator"], -np.log(probability["generated"]), rtol=1e-5)
    with pytest.raises(ValueError, match="must be hinge or non_saturating"):
        AdversarialLoss("wasserstein")


def test_shifts_and_holes_are_where_they_are_drawn():
    image = np.random.default_rng(0).normal(size=(1, 16, 8, 2)).astype(np.float32)
    down, left = translate(tf.constant(image), tf.constant([[0.99, 0.0]])).numpy()[0], 1
    np.testing.assert_allclose(down[2:, :-left], image[0, :-2, left:], rtol=1e-6)  # 16 / 8 = 2 pixels, and 8 / 8 = 1
    assert (down[:2] == 0).all()
    assert (down[:, -left:] == 0).all()
    np.testing.assert_allclose(translate(tf.constant(image), tf.constant([[0.5, 0.5]])), image)
    middle, corner = cut_out(tf.constant(np.repeat(image, 2, 0)), tf.constant([[0.5, 0.5], [0.0, 0.0]])).numpy()
    assert (middle[4:12, 2:6] == 0).all()
    assert (middle != 0).sum() == 2 * (16 * 8 - 8 * 4)
    assert (corner[:4, :2] == 0).all()
    assert (corner != 0).sum() == 2 * (16 * 8 - 4 * 2)


def test_colors_change_by_hand():
    image = np.random.default_rng(0).uniform(-1, 1, (3, 4, 5, 3)).astype(np.float32)
    brighter, gray, flat = change_color(
        tf.constant(image), tf.constant([[1.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    ).numpy()
    np.testing.assert_allclose(brighter, image[0] + 0.5, atol=1e-6)
    np.testing.assert_allclose(gray, np.repeat(image[1].mean(-1, keepdims=True), 3, -1), atol=1e-6)
    np.testing.assert_allclose(flat - image[2].mean(), (image[2] - image[2].mean()) / 2, atol=1e-6)


def test_a_share_of_the_images_is_augmented_in_training_alone():
    images = tf.constant(np.random.default_rng(0).uniform(-1, 1, (300, 8, 8, 1)), tf.float32)
    seeds = tf.stack([tf.range(300), tf.range(300)], 1)
    first, second = (tf.function(AugmentImages(0.4, stream).call, autograph=False) for stream in (1, 2))
    changed = first(images, seeds, training=True)
    share = np.mean((changed.numpy() != images.numpy()).any((1, 2, 3)))
    assert share == pytest.approx(0.4, abs=0.1)
    np.testing.assert_array_equal(first(images, seeds, training=False), images)
    np.testing.assert_array_equal(first(images[7:9], seeds[7:9], training=True), changed[7:9])
    assert (second(images, seeds, training=True).numpy() != changed.numpy()).any()
    images, seeds = images[:9], seeds[:9]
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(AugmentImages(1.0, 1)(images, seeds, training=True))
    gradient = tape.gradient(total, images).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any((1, 2, 3)).all()


def test_the_generator_is_one_for_training_and_for_requests(networks):
    network, decode = networks
    shared = {id(weight) for weight in network.weights}
    assert decode.weights
    assert all(id(weight) in shared for weight in decode.weights)
    assert not [weight for weight in decode.weights if "critic" in weight.path]
    copy = type(network).from_config(network.get_config())
    assert [weight.path for weight in copy.weights] == [weight.path for weight in network.weights]


def test_a_row_has_its_image_in_any_batch(networks):
    _, decode = networks
    run = tf.function(decode, reduce_retracing=True)
    request = {"seed": tf.constant([5, 6, 7, 5]), "label_id": tf.constant([0, 1, 2, 0])}
    together = run(request)["image"].numpy()
    for row in range(4):
        alone = run({name: values[row : row + 1] for name, values in request.items()})["image"].numpy()
        np.testing.assert_array_equal(alone[0], together[row])
    np.testing.assert_array_equal(together[0], together[3])
    other = run({"seed": tf.constant([5]), "label_id": tf.constant([1])})["image"].numpy()
    assert (other[0] != together[0]).any()


def test_a_critic_without_a_label_judges_the_image_alone(networks):
    network, _ = networks
    batch = batch_of(4)
    before = network(batch | {"label_id": tf.zeros(4, tf.int32)})["critic"].numpy()
    label = network.get_layer("critic_label").kernel
    kept = label.numpy()
    label.assign(kept[::-1])
    np.testing.assert_array_equal(network(batch | {"label_id": tf.zeros(4, tf.int32)})["critic"], before)
    assert (network(batch | {"label_id": tf.ones(4, tf.int32)})["critic"].numpy() != before).any()
    label.assign(kept)


@pytest.mark.parametrize(("shape", "patch"), [((28, 28, 1), 2), ((31, 45, 3), 2), ((128, 96, 3), 4)])
def test_all_sizes_are_generated_and_judged(shape, patch):
    image = generator(shape, 3, latents=4, width=8, depth=3, blocks=1, patch=patch).output["image"]
    assert image.shape == (None, *shape)
    score = Critic(shape, 3, width=8, patch=patch)(keras.Input(shape), keras.Input((), dtype="int32"), frozen=False)
    assert score.shape == (None, 1)
    with pytest.raises(ValueError, match="multiple of 8"):
        generator(shape, 3, latents=4, width=12, depth=3, blocks=1, patch=patch)


class InterruptTraining(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 3:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def source():
    sample = dlkit.ImageGenerator.samples()["train"]
    return {name: values[:96] for name, values in sample.items()}


def trained(source, **options):
    task = dlkit.ImageGenerator(**SMALL, augmented_share=0.5, ema=0.9)
    task.fit(source, verbose=0, **options)
    return task


@pytest.fixture(scope="module")
def whole(source):
    return trained(source)


def test_training_shows_both_losses_and_keeps_the_averages(whole):
    history = whole.history_
    assert history["critic_loss"][0] + history["generator_loss"][0] == pytest.approx(history["loss"][0], rel=1e-5)
    images = [image.tobytes() for label in "37" for image in whole.generate(label, count=2)]
    assert len(set(images)) == 4


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_generator_critic_and_averages(whole, source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(source, save=tmp_path / "m", checkpoint_every=2, callbacks=[InterruptTraining()])
    resumed = trained(source, save=tmp_path / "m", resume=True)
    assert resumed.history_ == whole.history_
    for one, other in zip(whole.stages_.network.weights, resumed.stages_.network.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)
    loaded = dlkit.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.generate("3", seed=4)[0], whole.generate("3", seed=4)[0])


def test_defaults_and_requests_are_those_of_the_network():
    task, other = dlkit.ImageGenerator(**SMALL), dlkit.ImageGenerator(**SMALL, learning_rate=2e-3)
    assert sorted(task.inputs) == ["label", "seed"]
    assert (task.learning_rate, other.learning_rate) == (1e-3, 2e-3)
    assert (task.monitor, dlkit.ImageGenerator(network="vae").monitor) == ("kid_skill", "loss")
    with pytest.raises(HparamError, match="steps"):
        task.generate("3", steps=4)
