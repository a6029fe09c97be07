"""Explicit ratings in ranking: positive and disliked interactions, and their weights."""

import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.columns import Id
from dlkit.data.read import read
from dlkit.errors import DataError, HparamError
from dlkit.tasks.recommendation import training_batches
from dlkit.tasks.recommendation.columns import Items, Ratings
from dlkit.tasks.recommendation.ease import solve_item_weights
from dlkit.tasks.recommendation.encoded_interactions import encode_interactions
from dlkit.tasks.recommendation.implicit_feedback import compute_mean_rating, describe_ratings, find_min_rating
from dlkit.tasks.recommendation.losses import ItemCrossEntropy, NextItemCrossEntropy, SampledItemCrossEntropy
from dlkit.training.prepare import build_task

ROWS = {
    "user_id": Id(optional=True),
    "history": Items(optional=True, default=()),
    "target_items": Items(),
    "target_ratings": Ratings(optional=True, default=()),
}
TABLE = {
    "user_id": ["a", "a", "a", "b", "b", "c"],
    "item_id": ["x", "y", "z", "y", "x", "x"],
    "rating": [5, 1, 4, 3, 2, 4],
}
FEW = {"network": "ease", "ease_l2": 1.0}


def built(source, **hparams):
    """A recommender without training: the weights of `ease` are computed when it is built."""
    task = dlkit.Recommender(**{**FEW, **hparams})
    build_task(task, task.read(source))
    return task


def interactions_with_a_disliked_item(bad="bad", low=1, high=5):
    """All users interacted with the bad item first and dislike it; each likes four of ten good ones."""
    rows = [(f"u{user}", bad, low) for user in range(40)]
    rows += [(f"u{user}", f"g{(user + place) % 10}", high) for user in range(40) for place in range(4)]
    return dict(zip(("user_id", "item_id", "rating"), map(list, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize(
    ("ratings", "min_rating", "expected"),
    [
        ([1, 2, 3, 4, 5], None, 3.0),
        ([0.5, 4, 5, 3], None, 2.75),
        ([1, 1, 1, 2, 9], None, None),  # counts: most are low
        ([4, 4, 4], None, None),
        ([], None, None),
        ([np.nan, np.nan], 3.0, None),
        ([0, 0, 0, 1], None, 1.0),  # thumbs, however few go up
        ([-1, 0, 1, -1], None, 1.0),
        ([1, 2, 3, 4, 5, np.nan], 4.0, 4.0),
        ([1, 2, 3], 0.0, 0.0),
    ],
)
def test_the_minimum_rating_of_a_positive_interaction(ratings, min_rating, expected):
    assert find_min_rating(np.array(ratings, np.float32), min_rating) == expected


def test_ratings_that_leave_no_positive_interaction_are_refused():
    with pytest.raises(DataError, match="`min_rating` 6 leaves no positive interaction: ratings range from 1 to 5"):
        find_min_rating(np.array([1.0, 5.0]), 6.0)
    with pytest.raises(DataError, match=r"needs positive interactions with ratings above 0.*Received: -2"):
        compute_mean_rating(np.array([-2.0, 3.0]), None)
    assert compute_mean_rating(np.array([-2.0, 3.0, 5.0, np.nan]), 1.0) == 4.0
    for hparam in ({"min_rating": 3}, {"rating_weights": True}):
        with pytest.raises(HparamError, match="are for objective="):
            dlkit.Recommender(objective="ratings", network="svdpp", **hparam)
    for hparam in ({"min_rating": 9.0}, {"rating_weights": True, "min_rating": -5}):
        found = dlkit.Recommender(**hparam).check(interactions_with_a_disliked_item(low=-1))
        assert found["errors"]
    without = {name: interactions_with_a_disliked_item()[name] for name in ("user_id", "item_id")}
    (said,) = dlkit.Recommender(min_rating=3).check(without)["errors"]
    assert "there are no ratings" in said


def test_the_use_of_ratings_is_described():
    ratings = np.array([1, 5, 4, np.nan], np.float32)
    assert describe_ratings(ratings, 3.0, weighted=False) == (
        "ratings from 1 to 5: 1 of 4 interactions are rated below 3 and count as seen, not as positive (`min_rating`)"
    )
    assert "the other interactions are weighted by their ratings" in describe_ratings(ratings, 3.0, weighted=True)
    assert "all have equal weight" in describe_ratings(ratings, None, weighted=False)
    assert describe_ratings(ratings[1:2], None, weighted=False).startswith("all ratings are 5: all have equal weight")


def test_positive_and_disliked_interactions_and_their_weights():
    table = read(TABLE, ROWS)
    assert [list(row) for row in table.columns["target_ratings"]] == [[5.0, 1.0, 4.0], [3.0, 2.0], [4.0]]
    data = encode_interactions(table, min_rating=3.0, mean_rating=4.0)
    assert data.item_ids == ["x", "z", "y"]  # by weights: 9/4, 1, 3/4
    assert [items.tolist() for items in data.histories] == [[1, 2], [3], [1]]
    assert [items.tolist() for items in data.disliked] == [[3], [1], []]
    assert [weights.tolist() for weights in data.weights] == [[1.25, 1.0], [0.75], [1.0]]
    assert data.counts.tolist() == [0, 2, 1, 1]
    np.testing.assert_allclose(data.popularity(), np.array([0, 2.25, 1, 0.75]) / 4)
    fewer = encode_interactions(table, min_rating=5.0)
    assert (fewer.item_ids, fewer.user_ids) == (["x"], ["a", "b", "c"])  # an item that nobody liked is not recommended
    assert [items.tolist() for items in fewer.disliked] == [[], [1], [1]]
    given = {"user_id": ["a"], "target_items": [["x", "y"]], "target_ratings": [[5, None]]}
    assert encode_interactions(read(given, ROWS), min_rating=3.0).item_ids == [
        "x",
        "y",
    ]  # an item without a rating is positive
    with pytest.raises(DataError, match="index 0: 2 items in `target_items` and 1 in `target_ratings`"):
        encode_interactions(read({**given, "target_ratings": [[5]]}, ROWS))


@pytest.mark.parametrize("low_high", [(1, 5), (0, 1), (2, 10)])
def test_an_item_that_all_users_dislike_is_not_recommended(low_high):
    task = built(interactions_with_a_disliked_item("bad", *low_high))
    for request in ({"user_id": "nobody"}, {"user_id": "u1"}, {"user_id": "", "history": ["g0"]}):
        assert "bad" not in task.predict(request)["items"]
    metrics = task.evaluate({"user_id": ["u1", "u2"], "item_id": ["g7", "g8"], "rating": [low_high[0], low_high[1]]})
    assert metrics["users"] == 1  # those with a positive held-out item
    every = built(interactions_with_a_disliked_item("bad", *low_high), min_rating=low_high[0])
    assert every.predict({"user_id": "nobody"})["items"][0] == "bad"


def test_a_disliked_item_counts_as_seen_for_this_user_only(tmp_path):
    rows = interactions_with_a_disliked_item("g99", 1, 5)
    for name, value in (("user_id", "u5"), ("item_id", "g99"), ("rating", 5)):
        rows[name].append(value)  # the last interaction counts: this user likes it
    rows = {name: [*values, *values[-1:]] for name, values in rows.items()}
    rows["user_id"][-1] = "never liked any"
    rows["rating"][-1] = 1
    task = built(rows, min_rating=3)
    task.save(tmp_path / "m")
    for model in (task, dlkit.load(tmp_path / "m")):
        assert "g99" not in model.recommend("u1", k=50)["items"]
        assert "g99" in model.recommend("", ["g1"], k=50)["items"]
        cold = model.recommend("never liked any", k=50)
        assert cold["cold_start"] and "g99" not in cold["items"]
        history = model.stages_.preprocess({"user_id": tf.constant(["u1"]), "history": tf.constant([[""]])})["history"]
        items = model.stages_.preprocess.get_layer("history_lookup").item_ids
        assert [items[number - 1] for number in history.numpy()[0] if number] == ["g1", "g2", "g3", "g4"]
        seen = model.stages_.preprocess.get_layer("history_lookup").collect_seen_items([b"u1"], [[b""]])
        assert seen == [{b"", b"g99", b"g1", b"g2", b"g3", b"g4"}]


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_weighted_losses_by_hand():
    logits = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    shares = log_softmax(logits[0, 1:])
    y_true = np.array([[[0, 2, 4], [9, 9, 9], [0, 500, 2000]]])
    expected = -(0.5 * shares[1] + 2 * shares[3]) / 2.5**0.5
    assert float(ItemCrossEntropy(weighted=True)(y_true, logits)) == pytest.approx(expected, rel=1e-5)
    sampled = np.array([[2.0, 1.0, 0.5, -1.0]], np.float32)
    each = [-float(log_softmax(np.array([own, 0.5, -1.0]))[0]) for own in (2.0, 1.0)]
    found = SampledItemCrossEntropy(2, weighted=True)(np.array([[[3, 1], [0, 0], [500, 2000]]]), sampled)
    assert float(found) == pytest.approx((0.5 * each[0] + 2 * each[1]) / 2.5**0.5, rel=1e-5)
    steps = (
        np.random.default_rng(1).normal(size=(1, 4, 4)).astype(np.float32)
    )  # an ensemble of two, with two steps each
    shares = log_softmax(steps[0])
    found = NextItemCrossEntropy(2, weighted=True, typical_length=4)(
        np.array([[[7, 1, 3], [0, 0, 0], [9, 500, 2000]]]), steps
    )
    by_hand = -(0.5 * (shares[0, 1] + shares[2, 1]) + 2 * (shares[1, 3] + shares[3, 3])) / 4
    assert float(found) == pytest.approx(by_hand, rel=1e-5)


def test_ease_with_weighted_interactions():
    user, item = np.nonzero(np.random.default_rng(0).uniform(size=(30, 4)) < 0.5)
    values = np.random.default_rng(1).uniform(0.5, 2, len(user))
    matrix = np.zeros((30, 4))
    matrix[user, item] = values
    inverse = np.linalg.inv(matrix.T @ matrix + 2.0 * np.eye(4))
    expected = np.where(np.eye(4), 0, -inverse / np.diag(inverse))
    found = solve_item_weights(user, item, 30, 4, l2=2.0, values=values)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("hparams", [{}, {"negatives": 4}, {"network": "sasrec", "heads": 1}])
def test_weights_stay_with_their_items_in_training(hparams):
    """After encoding and masking, the weight of each item of a batch is the one of its rating."""
    options = {"width": 4, "hidden_width": 4, "input_mask_rate": 0.5, **hparams}
    task = dlkit.Recommender(rating_weights=True, min_rating=2, **options)
    data = {"user_id": [*"aaaab"], "item_id": [*"pqrst"], "rating": [1, 2, 4, 6, 4]}
    rows = task.read(data)
    build_task(task, rows)
    raw = [rows.table.raw(row, {**task.inputs, **task.target}) for row in range(2)]
    columns = {name: [row[name] for row in raw] for name in raw[0]}
    features = {"user_id": tf.constant(columns["user_id"]), "history": tf.constant(columns["history"])}
    ratings = np.full((2, 4), np.nan, np.float32)
    target_items = np.full((2, 4), b"", object)
    for row in range(2):
        target_items[row, : len(columns["target_items"][row])] = columns["target_items"][row]
        ratings[row, : len(columns["target_ratings"][row])] = columns["target_ratings"][row]
    target = {"target_items": tf.constant(target_items), "target_ratings": tf.constant(ratings)}
    tensors, encoded = task.encode(features, target)
    items = task.stages_.preprocess.get_layer("history_lookup").item_ids
    weights = {item: round(1000 * rating / 4) for item, rating in zip("qrst", (2, 4, 6, 4), strict=True)}
    tensors.pop("_row")
    tensors.pop("_length", None)
    _, made = task.augment(tensors, encoded, tf.constant(3, tf.int64))
    seen = set()
    for planes in (*encoded["logits"].numpy(), *made["logits"].numpy()):
        for item, weight in zip(planes[0], planes[2], strict=True):
            if item:
                assert weights[items[item - 1]] == weight
                seen.add(items[item - 1])
    assert "p" not in seen and len(seen) > 1
    assert sorted(items) == [*"qrst"]


def test_equal_weights_change_no_loss():
    y_true = np.array([[[0, 2, 4]] * 3])
    y_true[:, 2] = training_batches.UNIT_WEIGHT
    logits = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    assert float(ItemCrossEntropy(weighted=True)(y_true, logits)) == float(ItemCrossEntropy()(y_true[:, :2], logits))


def test_a_network_trains_with_weights_and_ranks_by_them():
    rows = {"user_id": [], "item_id": [], "rating": []}
    for user in range(40):
        for item, rating in (("loved", 5 if user % 2 else None), ("liked", 3 if user < 30 else None), ("own", 4)):
            if rating:
                for name, value in (
                    ("user_id", user),
                    ("item_id", f"own{user % 4}" if item == "own" else item),
                    ("rating", rating),
                ):
                    rows[name].append(value)
    small = {"network": "two_tower", "width": 4, "hidden_width": 4, "epochs": 1, "min_rating": 0}
    by_count, by_weight = built(rows, **small), dlkit.Recommender(**small, rating_weights=True)
    by_weight.fit(rows, verbose=0, strategy="one")
    assert np.isfinite(by_weight.history_["loss"]).all()
    nobody = {"user_id": "nobody"}
    assert by_count.predict(nobody)["items"][:2] == ["liked", "loved"]  # 30 and 20 times
    assert by_weight.predict(nobody)["items"][:2] == ["loved", "liked"]  # 100 and 90
