"""The parts of recommenders against answers by hand and by NumPy."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.padding import trim
from dlkit.tasks.recommendation import batches as item_batches
from dlkit.tasks.recommendation import networks as recommenders
from dlkit.tasks.recommendation.linear_items import LinearItems, item_weights
from dlkit.tasks.recommendation.networks import SampledLogits
from dlkit.tasks.recommendation.next_items import RecurrentHistory, SelfAttentiveHistory
from dlkit.tasks.recommendation.rank_items import RankItems
from dlkit.tasks.recommendation.read_history import ReadHistory
from dlkit.tasks.recommendation.score_items import FeaturedEmbedding

ITEMS = list("abcdef")  # numbers 1 to 6


@pytest.fixture
def reader():
    return remembering([2, 3], [1, 2, 4, 5, 6])


def remembering(counts, taken, length=3):
    reader = ReadHistory(["u", "v", "w"][: len(counts)], ITEMS, length, known=len(taken), takers=True)
    reader.build()
    reader.remember(counts, taken)
    return reader


def read(reader, users, recent):
    made = reader(tf.constant(users), tf.constant(recent))
    return {name: value.numpy() for name, value in made.items()}


def test_a_history_is_what_is_known_and_then_what_is_recent(reader):
    made = read(reader, ["u", "v", "w", "w"], [["c", "a", ""], ["x", "", ""], ["f", "e", "f"], ["", "x", ""]])
    assert made["user"].tolist() == [1, 2, 0, 0]
    assert made["history"].tolist() == [[2, 3, 1], [4, 5, 6], [0, 5, 6], [0, 0, 0]]  # what comes again moves to the end
    assert made["cold"].tolist() == [False, False, False, True]
    assert [sorted(set(row) - {0}) for row in made["seen"].tolist()] == [[1, 2, 3], [4, 5, 6], [5, 6], []]


def test_longer_histories_keep_the_newest(reader):
    made = read(reader, ["v"], [["a", "b", "c", "a"]])
    assert made["history"].tolist() == [[2, 3, 1]]
    assert sorted(set(made["seen"][0]) - {0}) == [1, 2, 3, 4, 5, 6]


def test_no_width_at_all_is_nothing(reader):
    made = reader(tf.constant(["u", "w"]), tf.zeros([2, 0], tf.string))
    assert made["history"].numpy().tolist() == [[0, 1, 2], [0, 0, 0]]
    assert reader(tf.constant(["u"]), item_id=tf.constant(["x"]))["cold"].numpy().tolist() == [True]
    assert reader(tf.constant(["u"]), item_id=tf.constant(["b"]))["item"].numpy().tolist() == [2]


def test_an_item_has_its_users():
    reader = remembering([3, 1, 2], [1, 2, 6, 2, 2, 4])
    made = reader(tf.constant([""] * 4), item_id=tf.constant(["b", "f", "c", "x"]))
    assert [sorted(row) for row in made["takers"].numpy().tolist()] == [[1, 2, 3], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    few = remembering([3, 1, 2], [1, 2, 6, 2, 2, 4], length=2).takers_of(tf.range(7)).numpy()
    assert few.shape == (7, 2)
    assert len(set(few[2])) == 2 and set(few[2]) <= {1, 2, 3}
    assert few[4].tolist() == [3, 0]


def test_bags_of_all_are_the_bags_of_each():
    table = FeaturedEmbedding(5, 3, 2)
    table.features.assign(np.random.default_rng(0).normal(size=(5, 2)))
    numbers = np.array([[1, 2, 0], [0, 0, 0], [4, 0, 4], [3, 0, 0]], np.int32)
    np.testing.assert_allclose(table.bags(tf.constant(numbers)), table.bag(numbers), rtol=1e-5, atol=1e-7)
    by_hand = (table(np.array([1]))[0] + table(np.array([2]))[0]) / 2**0.5
    np.testing.assert_allclose(table.bag(numbers)[0], by_hand, rtol=1e-5)


def test_a_reader_comes_back_from_a_file(reader, tmp_path):
    inputs = {
        "user_id": keras.Input((), dtype="string", name="user_id"),
        "recent": keras.Input((None,), dtype="string", name="recent"),
    }
    model = keras.Model(inputs, reader(**inputs))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    asked = {"user_id": tf.constant(["v"]), "recent": tf.constant([["a"]])}
    for left, right in zip(model(asked).values(), again(asked).values(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_popular_are_those_that_are_new(reader):
    had = reader.had_before([b"u", b"w"], [[b"c", b""], [b""]])
    assert had == [{b"a", b"b", b"c", b""}, {b""}]
    assert reader.popular(had, 3) == [[b"d", b"e", b"f"], [b"a", b"b", b"c"]]


@pytest.fixture
def rank():
    rank = RankItems(ITEMS, 3)
    rank.build()
    rank.popularity.assign([0, 0.3, 0.25, 0.2, 0.15, 0.1, 0])
    return rank


LOGITS = np.array([[99, 1, 5, 3, 3, 0, -1], [0, 0, 0, 0, 0, 0, 9]], np.float32)


def texts(items):
    return [b"".join(row).decode() for row in items.numpy()]


def test_the_best_that_are_neither_seen_nor_excluded(rank):
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
    made = RankItems(ITEMS, 2, ratings=True)(LOGITS, tf.constant([[2], [6]]), tf.constant([False, True]))
    assert texts(made["items"]) == ["cd", "ab"]
    assert made["scores"].numpy()[0].tolist() == [3, 3]


def test_embeddings_know_features_and_nothing_is_zero():
    layer = FeaturedEmbedding(4, 2, features=3)
    layer.features.assign(np.arange(12).reshape(4, 3))
    table = layer.embeddings.numpy() + layer.features.numpy() @ layer.kernel.numpy()
    table[0] = 0
    np.testing.assert_allclose(layer(), table, rtol=1e-5)
    np.testing.assert_allclose(layer(np.array([[2, 0, 3]])), table[[[2, 0, 3]]], rtol=1e-5)
    np.testing.assert_allclose(
        layer.bag(np.array([[2, 0, 3], [0, 0, 0]])), [(table[2] + table[3]) / 2**0.5, [0, 0]], rtol=1e-5
    )


def test_the_weights_of_items_restore_each_from_the_others():
    random = np.random.default_rng(0)
    had = (random.uniform(size=(40, 6)) < 0.4).astype(float)
    had[:, 0] = 1
    user, item = np.nonzero(had)
    weights = item_weights(user, item, 40, 6, regularization=2.0)
    assert not weights[np.diag_indices(6)].any()
    for column in range(6):  # ridge regression of one item on the others, item by item
        others = [other for other in range(6) if other != column]
        x = had[:, others]
        best = np.linalg.solve(x.T @ x + 2.0 * np.eye(5), x.T @ had[:, column])
        np.testing.assert_allclose(weights[others, column], best, rtol=1e-3, atol=1e-5)


def test_hidden_items_are_more_to_the_diagonal():
    user, item = np.nonzero(np.random.default_rng(0).uniform(size=(40, 6)) < 0.4)
    had = np.zeros((40, 6))
    had[user, item] = 1
    scale = np.maximum(had.sum(1), 1) ** -0.5
    scale *= 40 / scale.sum()
    products = had.T @ (had * scale[:, None])
    inverse = np.linalg.inv(products + np.diag(2.0 + np.diag(products)))  # half hidden: once more
    expected = np.where(np.eye(6), 0, -inverse / np.diag(inverse))
    found = item_weights(user, item, 40, 6, regularization=2.0, hidden=0.5, user_power=0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_linear_scores_are_sums():
    layer = LinearItems(3)
    layer.build()
    weights = np.arange(9.0).reshape(3, 3)
    layer.weights_of_items.assign(weights)
    found = layer(np.array([[0, 1, 3], [0, 0, 0]]))
    np.testing.assert_allclose(found, [[0, *(weights[0] + weights[2]) * 5], [0] * 4])


def test_samples_are_corrected_and_hits_taken_out():
    layer = SampledLogits(4, 0.5)
    layer.build()
    layer.popularity.assign([0, 0.4, 0.3, 0.2, 0.1])
    found = layer(np.ones((1, 4), np.float32), np.array([[2, 0]]), np.array([[2, 4]])).numpy()
    assert found[0, 1] == found[0, 2] == np.float32(-1e9)  # no item, and a negative that is positive
    np.testing.assert_allclose(found[0, [0, 3]], 1 - np.log([0.5 * 0.3 + 0.125, 0.5 * 0.1 + 0.125]), rtol=1e-5)


def test_a_corrected_sample_aims_at_the_softmax_over_all():
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


@pytest.mark.parametrize("layer", [SelfAttentiveHistory(6, 8, name="a"), RecurrentHistory(6, 8, name="b")])
def test_what_comes_later_changes_nothing_before_it(layer):
    history = np.array([[0, 0, 3, 1, 2], [4, 5, 6, 1, 2]])
    every = layer(history).numpy()
    np.testing.assert_allclose(layer(history, last=True), every[:, -1], rtol=1e-5, atol=1e-6)
    changed = history.copy()
    changed[:, 4] = 6
    real = history[:, :4] > 0
    np.testing.assert_allclose(layer(changed).numpy()[:, :4][real], every[:, :4][real], atol=1e-6)
    assert np.abs(layer(changed).numpy()[:, 4] - every[:, 4]).max() > 1e-3
    np.testing.assert_allclose(layer(history[:1, 2:]).numpy(), every[:1, 2:], rtol=1e-5, atol=1e-6)  # padding


@pytest.mark.parametrize("network", ("mf", "two_tower", "neumf", "dcn"))
def test_pairs_are_scored_as_all_items_are(network):
    scorer = getattr(recommenders, network)(3, 6, width=4, user_features=2, item_features=1)
    user, history = np.array([1, 0]), np.array([[0, 1, 2], [0, 0, 5]])
    every = scorer(user, history).numpy()
    assert every.shape == (2, 7)
    some = scorer(user, history, np.array([[3, 1], [6, 2]])).numpy()
    np.testing.assert_allclose(some, [every[0, [3, 1]], every[1, [6, 2]]], rtol=1e-4, atol=1e-6)
    alone = getattr(recommenders, network)(3, 6, width=4, known_users=False)
    np.testing.assert_array_equal(alone(np.array([1]), history[:1]), alone(np.array([2]), history[:1]))


def test_a_part_of_each_row_hides_and_the_rest_stays():
    items = tf.constant([[0, 0, 7], *[list(range(1, 4))] * 500])
    stays, hides = (part.numpy() for part in item_batches.hidden_part(items, 0.5, 3, tf.constant(5, tf.int64)))
    np.testing.assert_array_equal(stays + hides, items)
    assert ((stays > 0) & (hides > 0)).sum() == 0
    assert (hides > 0).any(1).all()  # at least one
    assert 0.5 < (hides[1:] > 0).mean() < 0.6
    again = item_batches.hidden_part(items, 0.5, 3, tf.constant(5, tf.int64))[0].numpy()
    np.testing.assert_array_equal(again, stays)
    other = item_batches.hidden_part(items, 0.5, 3, tf.constant(6, tf.int64))[0].numpy()
    assert (other != stays).any()


def test_negatives_are_the_same_in_each_row_and_hold_each_row_s_own():
    items = tf.constant([[0, 4, 0], [5, 6, 2]])
    some, weights = item_batches.some_of(items, items * 10, 4, 0, tf.constant(0))
    assert weights.numpy().tolist() == (some * 10).numpy().tolist()
    assert item_batches.some_of(items, None, 4, 0, tf.constant(0))[1] is None
    positives = some.numpy()
    assert sorted(positives[0]) == [0, 0, 0, 4] and positives[0, 0] == 4
    assert sorted(positives[1]) == [0, 2, 5, 6]
    negatives = item_batches.negatives_for(tf.constant(positives), 50, 6, 0, tf.constant(0)).numpy()
    assert negatives.shape == (2, 52)
    assert (negatives[0] == negatives[1]).all()
    assert negatives[0, :2].tolist() == positives[:, 0].tolist()
    assert set(negatives[0, 2:]) == set(range(1, 7))


def test_histories_are_cut_in_windows_and_shifted(reader):
    had = reader.had(tf.constant(["v"]), tf.constant([["a", "b"]]))
    windows, rows = item_batches.windows_of(reader, had, tf.constant([[3, 0]]), 2)
    assert windows.numpy().tolist() == [[4, 5, 6], [1, 2, 3]]
    assert rows.numpy().tolist() == [0, 0]
    again = tf.constant([[5, 0]])
    windows, _, weights = item_batches.windows_of(reader, had, again, 2, tf.constant([[7, 9]]))
    assert windows.numpy().tolist() == [[0, 4, 6], [1, 2, 5]]  # only at its last place
    assert weights.numpy().tolist() == [[0, 1000, 1000], [1000, 1000, 7]]
    before, after = item_batches.shifted(tf.constant([[0, 4, 5, 6]]))
    assert (before.numpy().tolist(), after.numpy().tolist()) == ([[0, 0, 4, 5]], [[0, 0, 5, 6]])
    wide = tf.constant([[0] * 20 + [1], [0] * 19 + [1, 2]])
    assert trim({"history": wide}, dlkit.Recommender().padding)["history"].shape[1] == 8


@pytest.mark.slow
def test_the_first_model_of_a_process_has_the_weights_of_the_next():
    """Importing keras_rs draws from `random`, where Keras finds the seeds of weights."""
    code = "import random; from dlkit.lazy import keras, keras_rs; keras.layers; random.seed(7); keras_rs.layers; "
    code += "first = random.random(); random.seed(7); assert first == random.random()"
    subprocess.run([sys.executable, "-c", code], check=True)
