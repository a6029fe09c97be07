"""What ratings say where items are ranked: which interactions are liked, which are had alone, what they weigh."""

import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.columns import Id
from dlkit.data.read import read
from dlkit.errors import DataError, HparamError
from dlkit.tasks.recommendation import batches as item_batches
from dlkit.tasks.recommendation.catalogue import catalogue_of
from dlkit.tasks.recommendation.columns import Items, Ratings
from dlkit.tasks.recommendation.liked import how_ratings_count, least_rating, mean_rating
from dlkit.tasks.recommendation.linear_items import item_weights
from dlkit.tasks.recommendation.networks import ItemCrossEntropy, NextItemCrossEntropy, SampledItemCrossEntropy
from dlkit.training.prepare import build_task

ROWS = {
    "user_id": Id(optional=True),
    "recent": Items(optional=True, default=()),
    "next": Items(),
    "ratings": Ratings(optional=True, default=()),
}
TABLE = {
    "user_id": ["a", "a", "a", "b", "b", "c"],
    "item_id": ["x", "y", "z", "y", "x", "x"],
    "rating": [5, 1, 4, 3, 2, 4],
}
FEW = {"network": "ease", "regularization": 1.0}


def built(source, **hparams):
    """Its matrix is worked out before training, which would scale the scores alone."""
    task = dlkit.Recommender(**{**FEW, **hparams})
    build_task(task, task.read(source))
    return task


def disliked(bad="bad", low=1, high=5):
    """Everybody had the bad one first and liked none; each liked four of ten good ones."""
    rows = [(f"u{user}", bad, low) for user in range(40)]
    rows += [(f"u{user}", f"g{(user + place) % 10}", high) for user in range(40) for place in range(4)]
    return dict(zip(("user_id", "item_id", "rating"), map(list, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize(
    ("ratings", "given", "least"),
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
def test_the_least_rating_of_what_is_liked(ratings, given, least):
    assert least_rating(np.array(ratings, np.float32), given) == least


def test_what_leaves_nothing_is_refused():
    with pytest.raises(DataError, match="`min_rating` 6 leaves no positive interaction: ratings range from 1 to 5"):
        least_rating(np.array([1.0, 5.0]), 6.0)
    with pytest.raises(DataError, match=r"needs positive interactions with ratings above 0.*Received: -2"):
        mean_rating(np.array([-2.0, 3.0]), None)
    assert mean_rating(np.array([-2.0, 3.0, 5.0, np.nan]), 1.0) == 4.0
    for hparam in ({"min_rating": 3}, {"rating_weights": True}):
        with pytest.raises(HparamError, match="are for objective="):
            dlkit.Recommender(objective="ratings", network="mf", **hparam)
    for hparam in ({"min_rating": 9.0}, {"rating_weights": True, "min_rating": -5}):
        found = dlkit.Recommender(**hparam).check(disliked(low=-1))
        assert found["errors"]
    without = {name: disliked()[name] for name in ("user_id", "item_id")}
    (said,) = dlkit.Recommender(min_rating=3).check(without)["errors"]
    assert "there are no ratings" in said


def test_it_is_said_what_ratings_count_for():
    ratings = np.array([1, 5, 4, np.nan], np.float32)
    assert how_ratings_count(ratings, 3.0, weighted=False) == (
        "ratings from 1 to 5: 1 of 4 interactions are rated below 3 and count as seen, not as positive (`min_rating`)"
    )
    assert "the other interactions are weighted by their ratings" in how_ratings_count(ratings, 3.0, weighted=True)
    assert "all have equal weight" in how_ratings_count(ratings, None, weighted=False)
    assert how_ratings_count(ratings[1:2], None, weighted=False).startswith("all ratings are 5: all have equal weight")


def test_a_catalogue_knows_what_was_liked_what_was_had_and_what_it_weighs():
    table = read(TABLE, ROWS)
    assert [list(row) for row in table.columns["ratings"]] == [[5.0, 1.0, 4.0], [3.0, 2.0], [4.0]]
    known = catalogue_of(table, least=3.0, mean=4.0)
    assert known.items == ["x", "z", "y"]  # by weights: 9/4, 1, 3/4
    assert [taken.tolist() for taken in known.taken] == [[1, 2], [3], [1]]
    assert [passed.tolist() for passed in known.passed] == [[3], [1], []]
    assert [weights.tolist() for weights in known.weights] == [[1.25, 1.0], [0.75], [1.0]]
    assert known.counts.tolist() == [0, 2, 1, 1]
    np.testing.assert_allclose(known.popularity(), np.array([0, 2.25, 1, 0.75]) / 4)
    unknown = catalogue_of(table, least=5.0)
    assert (unknown.items, unknown.users) == (["x"], ["a", "b", "c"])  # what nobody liked is no item to recommend
    assert [passed.tolist() for passed in unknown.passed] == [[], [1], [1]]
    given = {"user_id": ["a"], "next": [["x", "y"]], "ratings": [[5, None]]}
    assert catalogue_of(read(given, ROWS), least=3.0).items == ["x", "y"]  # without a rating: as it was
    with pytest.raises(DataError, match="index 0: 2 items in `next` and 1 ratings"):
        catalogue_of(read({**given, "ratings": [[5]]}, ROWS))


@pytest.mark.parametrize("low_high", [(1, 5), (0, 1), (2, 10)])
def test_what_everybody_disliked_is_not_recommended(low_high):
    task = built(disliked("bad", *low_high))
    for request in ({"user_id": "nobody"}, {"user_id": "u1"}, {"user_id": "", "recent": ["g0"]}):
        assert "bad" not in task.predict(request)["items"]
    metrics = task.evaluate({"user_id": ["u1", "u2"], "item_id": ["g7", "g8"], "rating": [low_high[0], low_high[1]]})
    assert metrics["users"] == 1  # whom something was held out from that was liked
    every = built(disliked("bad", *low_high), min_rating=low_high[0])
    assert every.predict({"user_id": "nobody"})["items"][0] == "bad"


def test_what_a_user_disliked_counts_as_seen_and_for_others_as_they_say(tmp_path):
    rows = disliked("g99", 1, 5)
    for name, value in (("user_id", "u5"), ("item_id", "g99"), ("rating", 5)):
        rows[name].append(value)  # the last time counts: one likes it
    rows = {name: [*values, *values[-1:]] for name, values in rows.items()}
    rows["user_id"][-1] = "never liked any"
    rows["rating"][-1] = 1
    task = built(rows, min_rating=3)
    task.save(tmp_path / "m")
    for model in (task, dlkit.load(tmp_path / "m")):
        assert "g99" not in model.recommend("u1", k=50)["items"]
        assert "g99" in model.recommend("", ["g1"], k=50)["items"]
        cold = model.recommend("never liked any", k=50)
        assert cold["cold"] and "g99" not in cold["items"]
        history = model.stages_.preprocess({"user_id": tf.constant(["u1"]), "recent": tf.constant([[""]])})["history"]
        items = model.stages_.preprocess.get_layer("reader").items
        assert [items[number - 1] for number in history.numpy()[0] if number] == ["g1", "g2", "g3", "g4"]
        had = model.stages_.preprocess.get_layer("reader").had_before([b"u1"], [[b""]])
        assert had == [{b"", b"g99", b"g1", b"g2", b"g3", b"g4"}]


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_losses_weigh_by_hand():
    logits = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    shares = log_softmax(logits[0, 1:])
    taken = np.array([[[0, 2, 4], [9, 9, 9], [0, 500, 2000]]])
    expected = -(0.5 * shares[1] + 2 * shares[3]) / 2.5**0.5
    assert float(ItemCrossEntropy(weighted=True)(taken, logits)) == pytest.approx(expected, rel=1e-5)
    sampled = np.array([[2.0, 1.0, 0.5, -1.0]], np.float32)
    each = [-float(log_softmax(np.array([own, 0.5, -1.0]))[0]) for own in (2.0, 1.0)]
    found = SampledItemCrossEntropy(2, weighted=True)(np.array([[[3, 1], [0, 0], [500, 2000]]]), sampled)
    assert float(found) == pytest.approx((0.5 * each[0] + 2 * each[1]) / 2.5**0.5, rel=1e-5)
    steps = np.random.default_rng(1).normal(size=(1, 4, 4)).astype(np.float32)  # two members of two steps
    shares = log_softmax(steps[0])
    found = NextItemCrossEntropy(2, weighted=True, typical_length=4)(
        np.array([[[7, 1, 3], [0, 0, 0], [9, 500, 2000]]]), steps
    )
    by_hand = -(0.5 * (shares[0, 1] + shares[2, 1]) + 2 * (shares[1, 3] + shares[3, 3])) / 4
    assert float(found) == pytest.approx(by_hand, rel=1e-5)


def test_the_linear_matrix_takes_values():
    user, item = np.nonzero(np.random.default_rng(0).uniform(size=(30, 4)) < 0.5)
    values = np.random.default_rng(1).uniform(0.5, 2, len(user))
    had = np.zeros((30, 4))
    had[user, item] = values
    inverse = np.linalg.inv(had.T @ had + 2.0 * np.eye(4))
    expected = np.where(np.eye(4), 0, -inverse / np.diag(inverse))
    found = item_weights(user, item, 30, 4, regularization=2.0, values=values)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("hparams", [{}, {"negatives": 4}, {"network": "sasrec", "heads": 1}])
def test_weights_follow_their_items_into_training(hparams):
    """After encoding and hiding, each item of a batch stands beside the weight that its rating gives it."""
    options = {"width": 4, "hidden": 4, "hide": 0.5, **hparams}
    task = dlkit.Recommender(rating_weights=True, min_rating=2, **options)
    data = {"user_id": [*"aaaab"], "item_id": [*"pqrst"], "rating": [1, 2, 4, 6, 4]}
    rows = task.read(data)
    build_task(task, rows)
    raw = [rows.table.raw(row, {**task.inputs, **task.target}) for row in range(2)]
    columns = {name: [row[name] for row in raw] for name in raw[0]}
    features = {"user_id": tf.constant(columns["user_id"]), "recent": tf.constant(columns["recent"])}
    ratings = np.full((2, 4), np.nan, np.float32)
    following = np.full((2, 4), b"", object)
    for row in range(2):
        following[row, : len(columns["next"][row])] = columns["next"][row]
        ratings[row, : len(columns["ratings"][row])] = columns["ratings"][row]
    target = {"next": tf.constant(following), "ratings": tf.constant(ratings)}
    tensors, encoded = task.encode(features, target)
    items = task.stages_.preprocess.get_layer("reader").items
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


def test_equal_weights_are_none():
    taken = np.array([[[0, 2, 4]] * 3])
    taken[:, 2] = item_batches.WEIGHT
    logits = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    assert float(ItemCrossEntropy(weighted=True)(taken, logits)) == float(ItemCrossEntropy()(taken[:, :2], logits))


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
    small = {"network": "two_tower", "width": 4, "hidden": 4, "epochs": 1, "min_rating": 0}
    by_count, by_weight = built(rows, **small), dlkit.Recommender(**small, rating_weights=True)
    by_weight.fit(rows, verbose=0, strategy="one")
    assert np.isfinite(by_weight.history_["loss"]).all()
    nobody = {"user_id": "nobody"}
    assert by_count.predict(nobody)["items"][:2] == ["liked", "loved"]  # 30 and 20 times
    assert by_weight.predict(nobody)["items"][:2] == ["loved", "liked"]  # 100 and 90
