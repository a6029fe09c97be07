"""The layers of recommenders against results by hand and by NumPy."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.padding import trim
from dlkit.tasks.recommendation import networks as recommenders
from dlkit.tasks.recommendation import training_batches
from dlkit.tasks.recommendation.ease import EASE, solve_item_weights
from dlkit.tasks.recommendation.history_lookup import HistoryLookup
from dlkit.tasks.recommendation.losses import SampledLogits
from dlkit.tasks.recommendation.scoring_layers import FeatureEmbedding
from dlkit.tasks.recommendation.sequential_layers import GRU4Rec, SASRec
from dlkit.tasks.recommendation.top_k_items import TopKItems

ITEMS = list("abcdef")  # numbers 1 to 6


@pytest.fixture
def lookup():
    return lookup_of([2, 3], [1, 2, 4, 5, 6])


def lookup_of(counts, items, length=3):
    lookup = HistoryLookup(
        ["u", "v", "w"][: len(counts)], ITEMS, length, num_interactions=len(items), with_item_users=True
    )
    lookup.build()
    lookup.set_interactions(counts, items)
    return lookup


def read(lookup, users, recent):
    made = lookup(tf.constant(users), tf.constant(recent))
    return {name: value.numpy() for name, value in made.items()}


def test_a_history_is_the_training_history_and_that_of_the_request(lookup):
    made = read(lookup, ["u", "v", "w", "w"], [["c", "a", ""], ["x", "", ""], ["f", "e", "f"], ["", "x", ""]])
    assert made["user"].tolist() == [1, 2, 0, 0]
    assert made["history"].tolist() == [[2, 3, 1], [4, 5, 6], [0, 5, 6], [0, 0, 0]]  # what comes again moves to the end
    assert made["cold_start"].tolist() == [False, False, False, True]
    assert [sorted(set(row) - {0}) for row in made["seen_items"].tolist()] == [[1, 2, 3], [4, 5, 6], [5, 6], []]


def test_longer_histories_keep_the_newest(lookup):
    made = read(lookup, ["v"], [["a", "b", "c", "a"]])
    assert made["history"].tolist() == [[2, 3, 1]]
    assert sorted(set(made["seen_items"][0]) - {0}) == [1, 2, 3, 4, 5, 6]


def test_an_empty_batch_of_histories(lookup):
    made = lookup(tf.constant(["u", "w"]), tf.zeros([2, 0], tf.string))
    assert made["history"].numpy().tolist() == [[0, 1, 2], [0, 0, 0]]
    assert lookup(tf.constant(["u"]), item_id=tf.constant(["x"]))["cold_start"].numpy().tolist() == [True]
    assert lookup(tf.constant(["u"]), item_id=tf.constant(["b"]))["item"].numpy().tolist() == [2]


def test_the_users_of_an_item():
    lookup = lookup_of([3, 1, 2], [1, 2, 6, 2, 2, 4])
    made = lookup(tf.constant([""] * 4), item_id=tf.constant(["b", "f", "c", "x"]))
    assert [sorted(row) for row in made["item_users"].numpy().tolist()] == [[1, 2, 3], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    few = lookup_of([3, 1, 2], [1, 2, 6, 2, 2, 4], length=2).lookup_item_users(tf.range(7)).numpy()
    assert few.shape == (7, 2)
    assert len(set(few[2])) == 2 and set(few[2]) <= {1, 2, 3}
    assert few[4].tolist() == [3, 0]


def test_pool_all_equals_pool():
    table = FeatureEmbedding(5, 3, 2)
    table.features.assign(np.random.default_rng(0).normal(size=(5, 2)))
    numbers = np.array([[1, 2, 0], [0, 0, 0], [4, 0, 4], [3, 0, 0]], np.int32)
    np.testing.assert_allclose(table.pool_all(tf.constant(numbers)), table.pool(numbers), rtol=1e-5, atol=1e-7)
    by_hand = (table(np.array([1]))[0] + table(np.array([2]))[0]) / 2**0.5
    np.testing.assert_allclose(table.pool(numbers)[0], by_hand, rtol=1e-5)


def test_a_history_lookup_is_saved_and_loaded(lookup, tmp_path):
    inputs = {
        "user_id": keras.Input((), dtype="string", name="user_id"),
        "history": keras.Input((None,), dtype="string", name="history"),
    }
    model = keras.Model(inputs, lookup(**inputs))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    request = {"user_id": tf.constant(["v"]), "history": tf.constant([["a"]])}
    for left, right in zip(model(request).values(), again(request).values(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_popular_items_exclude_seen_ones(lookup):
    seen = lookup.collect_seen_items([b"u", b"w"], [[b"c", b""], [b""]])
    assert seen == [{b"a", b"b", b"c", b""}, {b""}]
    assert lookup.list_popular(seen, 3) == [[b"d", b"e", b"f"], [b"a", b"b", b"c"]]


@pytest.fixture
def rank():
    rank = TopKItems(ITEMS, 3)
    rank.build()
    rank.popularity.assign([0, 0.3, 0.25, 0.2, 0.15, 0.1, 0])
    return rank


LOGITS = np.array([[99, 1, 5, 3, 3, 0, -1], [0, 0, 0, 0, 0, 0, 9]], np.float32)


def texts(items):
    return [b"".join(row).decode() for row in items.numpy()]


def test_the_best_items_without_seen_and_excluded_ones(rank):
    seen, cold = tf.constant([[2, 0], [1, 0]]), tf.constant([False, True])
    made = rank(LOGITS, seen, cold)
    assert texts(made["items"]) == ["cda", "bcd"]  # of a tie the first; of a cold row the popular
    shares = np.exp(LOGITS[0, 1:]) / np.exp(LOGITS[0, 1:]).sum()
    np.testing.assert_allclose(made["scores"][0], shares[[2, 3, 0]], rtol=1e-5)
    np.testing.assert_allclose(made["scores"][1], [0.25, 0.2, 0.15])
    made = rank(LOGITS, seen, cold, tf.constant([[3], [0]]), tf.constant([1, 9]))
    assert texts(made["items"]) == ["d", "bcdef"]
    assert made["items"].shape == (2, 6)  # no more than there are
    assert made["scores"].numpy()[0, 1:].tolist() == [0] * 5
    assert rank(LOGITS, tf.zeros([2, 0], tf.int32), cold)["items"].shape == (2, 3)


def test_ratings_are_ranked_as_they_are():
    made = TopKItems(ITEMS, 2, ratings=True)(LOGITS, tf.constant([[2], [6]]), tf.constant([False, True]))
    assert texts(made["items"]) == ["cd", "ab"]
    assert made["scores"].numpy()[0].tolist() == [3, 3]


def test_embeddings_with_features_and_zero_padding():
    layer = FeatureEmbedding(4, 2, num_features=3)
    layer.features.assign(np.arange(12).reshape(4, 3))
    table = layer.embeddings.numpy() + layer.features.numpy() @ layer.kernel.numpy()
    table[0] = 0
    np.testing.assert_allclose(layer(), table, rtol=1e-5)
    np.testing.assert_allclose(layer(np.array([[2, 0, 3]])), table[[[2, 0, 3]]], rtol=1e-5)
    np.testing.assert_allclose(
        layer.pool(np.array([[2, 0, 3], [0, 0, 0]])), [(table[2] + table[3]) / 2**0.5, [0, 0]], rtol=1e-5
    )


def test_the_weights_of_ease_reconstruct_each_item_from_the_others():
    random = np.random.default_rng(0)
    matrix = (random.uniform(size=(40, 6)) < 0.4).astype(float)
    matrix[:, 0] = 1
    user, item = np.nonzero(matrix)
    weights = solve_item_weights(user, item, 40, 6, l2=2.0)
    assert not weights[np.diag_indices(6)].any()
    for column in range(6):  # ridge regression of one item on the others, item by item
        others = [other for other in range(6) if other != column]
        x = matrix[:, others]
        best = np.linalg.solve(x.T @ x + 2.0 * np.eye(5), x.T @ matrix[:, column])
        np.testing.assert_allclose(weights[others, column], best, rtol=1e-3, atol=1e-5)


def test_the_mask_rate_of_ease_adds_to_the_diagonal():
    user, item = np.nonzero(np.random.default_rng(0).uniform(size=(40, 6)) < 0.4)
    matrix = np.zeros((40, 6))
    matrix[user, item] = 1
    scale = np.maximum(matrix.sum(1), 1) ** -0.5
    scale *= 40 / scale.sum()
    products = matrix.T @ (matrix * scale[:, None])
    inverse = np.linalg.inv(products + np.diag(2.0 + np.diag(products)))  # half hidden: once more
    expected = np.where(np.eye(6), 0, -inverse / np.diag(inverse))
    found = solve_item_weights(user, item, 40, 6, l2=2.0, mask_rate=0.5, user_power=0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_scores_of_ease_are_sums_of_item_weights():
    layer = EASE(3)
    layer.build()
    weights = np.arange(9.0).reshape(3, 3)
    layer.item_weights.assign(weights)
    found = layer(np.array([[0, 1, 3], [0, 0, 0]]))
    np.testing.assert_allclose(found, [[0, *(weights[0] + weights[2]) * 5], [0] * 4])


def test_sampled_logits_are_corrected_and_accidental_hits_masked():
    layer = SampledLogits(4, 0.5)
    layer.build()
    layer.popularity.assign([0, 0.4, 0.3, 0.2, 0.1])
    found = layer(np.ones((1, 4), np.float32), np.array([[2, 0]]), np.array([[2, 4]])).numpy()
    assert found[0, 1] == found[0, 2] == np.float32(-1e9)  # no item, and a negative that is positive
    np.testing.assert_allclose(found[0, [0, 3]], 1 - np.log([0.5 * 0.3 + 0.125, 0.5 * 0.1 + 0.125]), rtol=1e-5)


def test_a_corrected_sampled_softmax_approximates_the_full_softmax():
    """Popular items are sampled more often: without the correction their share would be too low."""
    random = np.random.default_rng(0)
    logits = np.array([0, 2, 1, 0.5, 0], np.float32)
    sampled = np.array([0.6, 0.2, 0.15, 0.05])
    layer = SampledLogits(4, 1.0)
    layer.build()
    layer.popularity.assign([0, *sampled])
    draws = 1 + random.choice(4, 4000, p=sampled).astype(np.int32)
    corrected = layer(logits[draws][None], np.zeros((1, 0), np.int32), draws[None]).numpy()
    found = np.mean(np.exp(corrected))
    assert found == pytest.approx(np.exp(logits[1:]).sum(), rel=0.05)
    assert np.mean(np.exp(logits[draws])) != pytest.approx(np.exp(logits[1:]).sum(), rel=0.5)


@pytest.mark.parametrize("layer", [SASRec(6, 8, name="a"), GRU4Rec(6, 8, name="b")])
def test_later_items_do_not_change_earlier_logits(layer):
    history = np.array([[0, 0, 3, 1, 2], [4, 5, 6, 1, 2]])
    every = layer(history).numpy()
    np.testing.assert_allclose(layer(history, last_step=True), every[:, -1], rtol=1e-5, atol=1e-6)
    changed = history.copy()
    changed[:, 4] = 6
    real = history[:, :4] > 0
    np.testing.assert_allclose(layer(changed).numpy()[:, :4][real], every[:, :4][real], atol=1e-6)
    assert np.abs(layer(changed).numpy()[:, 4] - every[:, 4]).max() > 1e-3
    np.testing.assert_allclose(layer(history[:1, 2:]).numpy(), every[:1, 2:], rtol=1e-5, atol=1e-6)  # padding


@pytest.mark.parametrize("network", ("svdpp", "two_tower", "neumf", "dcn"))
def test_pairs_are_scored_as_all_items_are(network):
    scorer = getattr(recommenders, network)(3, 6, width=4, num_user_features=2, num_item_features=1)
    user, history = np.array([1, 0]), np.array([[0, 1, 2], [0, 0, 5]])
    every = scorer(user, history).numpy()
    assert every.shape == (2, 7)
    some = scorer(user, history, np.array([[3, 1], [6, 2]])).numpy()
    np.testing.assert_allclose(some, [every[0, [3, 1]], every[1, [6, 2]]], rtol=1e-4, atol=1e-6)
    alone = getattr(recommenders, network)(3, 6, width=4, user_embeddings=False)
    np.testing.assert_array_equal(alone(np.array([1]), history[:1]), alone(np.array([2]), history[:1]))


def test_masked_and_remaining_items():
    items = tf.constant([[0, 0, 7], *[list(range(1, 4))] * 500])
    remaining, masked = (part.numpy() for part in training_batches.mask_items(items, 0.5, 3, tf.constant(5, tf.int64)))
    np.testing.assert_array_equal(remaining + masked, items)
    assert ((remaining > 0) & (masked > 0)).sum() == 0
    assert (masked > 0).any(1).all()  # at least one
    assert 0.5 < (masked[1:] > 0).mean() < 0.6
    again = training_batches.mask_items(items, 0.5, 3, tf.constant(5, tf.int64))[0].numpy()
    np.testing.assert_array_equal(again, remaining)
    other = training_batches.mask_items(items, 0.5, 3, tf.constant(6, tf.int64))[0].numpy()
    assert (other != remaining).any()


def test_negatives_are_shared_by_all_rows_and_include_a_positive_of_each():
    items = tf.constant([[0, 4, 0], [5, 6, 2]])
    some, weights = training_batches.sample_positives(items, items * 10, 4, 0, tf.constant(0))
    assert weights.numpy().tolist() == (some * 10).numpy().tolist()
    assert training_batches.sample_positives(items, None, 4, 0, tf.constant(0))[1] is None
    positives = some.numpy()
    assert sorted(positives[0]) == [0, 0, 0, 4] and positives[0, 0] == 4
    assert sorted(positives[1]) == [0, 2, 5, 6]
    negatives = training_batches.sample_negatives(tf.constant(positives), 50, 6, 0, tf.constant(0)).numpy()
    assert negatives.shape == (2, 52)
    assert (negatives[0] == negatives[1]).all()
    assert negatives[0, :2].tolist() == positives[:, 0].tolist()
    assert set(negatives[0, 2:]) == set(range(1, 7))


def test_histories_are_cut_in_windows_and_shifted(lookup):
    history = lookup.lookup_history(tf.constant(["v"]), tf.constant([["a", "b"]]))
    windows, rows = training_batches.split_into_windows(lookup, history, tf.constant([[3, 0]]), 2)
    assert windows.numpy().tolist() == [[4, 5, 6], [1, 2, 3]]
    assert rows.numpy().tolist() == [0, 0]
    again = tf.constant([[5, 0]])
    windows, _, weights = training_batches.split_into_windows(lookup, history, again, 2, tf.constant([[7, 9]]))
    assert windows.numpy().tolist() == [[0, 4, 6], [1, 2, 5]]  # only at its last place
    assert weights.numpy().tolist() == [[0, 1000, 1000], [1000, 1000, 7]]
    before, after = training_batches.shift_by_one(tf.constant([[0, 4, 5, 6]]))
    assert (before.numpy().tolist(), after.numpy().tolist()) == ([[0, 0, 4, 5]], [[0, 0, 5, 6]])
    wide = tf.constant([[0] * 20 + [1], [0] * 19 + [1, 2]])
    assert trim({"history": wide}, dlkit.Recommender().padding)["history"].shape[1] == 8


@pytest.mark.slow
def test_the_first_model_of_a_process_has_the_weights_of_the_next():
    """Importing keras_rs draws from `random`, where Keras finds the seeds of weights."""
    code = "import random; from dlkit.lazy import keras, keras_rs; keras.layers; random.seed(7); keras_rs.layers; "
    code += "first = random.random(); random.seed(7); assert first == random.random()"
    subprocess.run([sys.executable, "-c", code], check=True)
