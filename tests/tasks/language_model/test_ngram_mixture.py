"""The mixture of a network with n-grams and caches: what it computes at once, step by step, and by hand."""

import numpy as np
import pytest

from dlkit.lazy import keras, tf
from dlkit.tasks.language_model.cross_fit import assign_folds, learn_fold_models
from dlkit.tasks.language_model.ngram_experts import CACHES, num_experts, num_features
from dlkit.tasks.language_model.ngram_mixture import MixtureCrossEntropy, NgramMixture
from dlkit.text.kneser_ney import KneserNey

END, SIZE, WIDTH = 2, 12, 6
RNG = np.random.default_rng(0)
TEXT = np.concatenate([[*RNG.integers(3, 9, 20), END] for _ in range(6)])


def make_layer(order=3):
    keras.utils.set_random_seed(0)
    layer = NgramMixture.of(KneserNey(TEXT, SIZE, order, END))
    layer.build((None, None, WIDTH))
    for weight in layer.trainable_variables:  # a gate that depends on all that it sees
        weight.assign(RNG.normal(size=weight.shape).astype(np.float32))
    return layer


@pytest.mark.parametrize("order", [1, 2, 4])
def test_experts_of_the_highest_order_are_the_kneser_ney_model(order):
    model = KneserNey(TEXT, SIZE, order, END)
    ids = np.concatenate([[END], RNG.integers(3, 10, 30)]).astype(np.int32)[None]
    experts = NgramMixture.of(model).score(ids[:, :-1], np.ones_like(ids[:, :-1]), ids[:, 1:])
    assert experts.probabilities.shape == (1, 30, num_experts(order))
    assert experts.features.shape == (1, 30, num_features(order))
    np.testing.assert_allclose(-np.log2(experts.probabilities[0, :, -CACHES - 1]), model.bits(ids[0, 1:]), rtol=1e-5)


def test_caches_by_hand():
    ids = np.array([[END, 5, 6, 7, 5, 6]], np.int32)
    experts = make_layer().score(ids, np.ones_like(ids), np.array([[5, 6, 7, 5, 6, 7]], np.int32))
    recent, one, two, three = np.moveaxis(experts.probabilities.numpy()[0, :, -CACHES:], 1, 0)
    age = np.exp(-np.arange(1, 6) / 150)
    assert recent[5] == pytest.approx(age[2] / age.sum())  # token 7 followed the token before it, 3 tokens ago
    np.testing.assert_allclose(one, [0, 0, 0, 0, 1, 1])  # 5 was followed by 6, and 6 by 7
    np.testing.assert_allclose(two, [0, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(three, [0, 0, 0, 0, 0, 0])


def test_other_segments_are_not_seen():
    layer = make_layer()
    one, two = RNG.integers(3, 9, 8).astype(np.int32), RNG.integers(3, 9, 6).astype(np.int32)
    together = layer.score(
        np.concatenate([one, two])[None], np.repeat([1, 2], [8, 6])[None].astype(np.int32),
        np.concatenate([one[1:], [END], two[1:], [END]])[None].astype(np.int32),
    )  # fmt: skip
    for ids, part in ((one, slice(0, 8)), (two, slice(8, 14))):
        alone = layer.score(ids[None], np.ones((1, len(ids)), np.int32), np.append(ids[1:], END)[None].astype(np.int32))
        for first, second in zip(alone, together, strict=True):
            np.testing.assert_allclose(first[0], second[0, part], rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 12])
def test_all_tokens_after_a_prompt_are_those_of_windows(order, length):
    layer = make_layer(order)
    ids = np.concatenate([[[END]] * 2, RNG.integers(3, 7, (2, length - 1))], 1).astype(np.int32)
    features = RNG.normal(size=(2, WIDTH)).astype(np.float32)
    logits = RNG.normal(size=(2, SIZE)).astype(np.float32)
    segments = np.ones_like(ids)
    every = layer.mix(features, logits, ids, segments)
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(every), 1), 1, rtol=1e-5)
    network = tf.nn.log_softmax(logits).numpy()
    for token in range(SIZE):
        experts = layer.score(ids, segments, np.concatenate([ids[:, 1:], [[token]] * 2], 1).astype(np.int32))
        last = type(experts)(*(values[:, -1] for values in experts))
        np.testing.assert_allclose(
            layer.log_probs_of(features, network[:, token], last), every[:, token], rtol=1e-4, atol=1e-5
        )
    padded = layer.mix(features, logits, np.pad(ids, [[0, 0], [3, 0]]), np.pad(segments, [[0, 0], [3, 0]]))
    np.testing.assert_allclose(padded, every, rtol=1e-5, atol=1e-6)


def test_the_loss_is_that_of_the_mixed_probabilities():
    layer = make_layer()
    ids = np.concatenate([[END], RNG.integers(3, 9, 10)]).astype(np.int32)[None]
    experts = layer.score(ids[:, :-1], np.ones_like(ids[:, :-1]), ids[:, 1:])
    features = RNG.normal(size=(1, 10, WIDTH)).astype(np.float32)
    logits = RNG.normal(size=(1, 10, SIZE)).astype(np.float32)
    log_probs = tf.maximum(tf.math.log(experts.probabilities), -60.0)
    losses = MixtureCrossEntropy().token_losses(ids[:, 1:], layer(features, logits, log_probs, experts.features))
    network = tf.gather(tf.nn.log_softmax(logits), ids[:, 1:], batch_dims=2)
    np.testing.assert_allclose(losses, -layer.log_probs_of(features, network, experts), rtol=1e-5)


def test_gradients_reach_the_gate_and_the_network_but_not_the_tables():
    layer = make_layer()
    logits = tf.Variable(RNG.normal(size=(1, 4, SIZE)).astype(np.float32))
    features = tf.Variable(RNG.normal(size=(1, 4, WIDTH)).astype(np.float32))
    with tf.GradientTape() as tape:
        outputs = layer(features, logits, tf.fill([1, 4, num_experts(3)], -2.0), tf.ones([1, 4, num_features(3)]))
        loss = MixtureCrossEntropy()(tf.constant([[3, 4, 0, 5]]), outputs)
    gradients = tape.gradient(loss, [logits, features, *layer.trainable_variables])
    assert all(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)
    assert not np.abs(gradients[0][0, 2]).max()  # no loss at padding
    assert all(weight.trainable == ("gate" in weight.path or "hidden" in weight.path) for weight in layer.variables)


def test_the_network_learns_though_the_experts_know_better():
    logits = tf.Variable(RNG.normal(size=(1, 1, SIZE)).astype(np.float32))
    with tf.GradientTape() as tape:
        sure = tf.constant([[[np.log(0.01), np.log(0.99 * 0.9)]]], tf.float32)  # weight 0.01, and experts that say 0.9
        loss = MixtureCrossEntropy()(tf.constant([[3]]), tf.concat([logits, sure], -1))
    alone = tf.nn.softmax(logits)[0, 0] - tf.one_hot(3, SIZE)
    gradient = tape.gradient(loss, logits)[0, 0]
    share = 0.01 * np.exp(tf.nn.log_softmax(logits)[0, 0, 3]) / np.exp(-loss)  # of the network in the mixture
    np.testing.assert_allclose(gradient, (1 + share) * alone, rtol=1e-4)


def test_a_saved_layer_has_its_tables(tmp_path):
    layer = make_layer()
    inputs = [keras.Input((None, size)) for size in (WIDTH, SIZE, num_experts(3), num_features(3))]
    model = keras.Model(inputs, layer(*inputs))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras").layers[-1]
    ids = np.array([[END, 4, 5]], np.int32)
    arguments = (np.ones((1, WIDTH), np.float32), np.ones((1, SIZE), np.float32), ids, np.ones_like(ids))
    np.testing.assert_array_equal(loaded.mix(*arguments), layer.mix(*arguments))


def test_folds_are_documents_or_parts_of_long_ones():
    folds = assign_folds([100, 100, 100, 100, 100])
    assert sorted(int(fold[0]) for fold in folds) == [0, 1, 2, 3, 4]
    (fold,) = assign_folds([1000])
    assert np.bincount(fold).tolist() == [200] * 5
    assert (np.diff(fold) != 0).sum() == 4
    many = assign_folds([10] * 100)
    assert np.bincount(np.concatenate(many)).tolist() == [200] * 5


def test_a_model_of_a_fold_knows_the_other_folds_only():
    documents = [np.array([3, 4] * 10), np.array([5, 6] * 10), np.array([7, 8] * 10)]
    folds = assign_folds([20, 20, 20], 3)
    models = learn_fold_models(documents, folds, SIZE, 2, END)
    for ids, own in zip(documents, folds, strict=True):
        assert models[own[0]].bits(ids)[1:].min() > 3
        assert all(model.bits(ids)[1:].max() < 1 for fold, model in enumerate(models) if fold != own[0])
