"""What a request may say, and what comes back: users alone, repeats, candidates, items like an item, new items."""

import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import DataError
from dlkit.tasks.recommendation.rank_items import RankItems
from dlkit.tasks.recommendation.score_items import FeaturedEmbedding, TwoTowers
from dlkit.training.prepare import build_task

PAIRS = {  # two tastes: users of even numbers like even items
    "user_id": [user for user in range(40) for _ in range(6)],
    "item_id": [2 * (7 * user + 3 * place) % 20 + user % 2 for user in range(40) for place in range(6)],
}
GROCERIES = {  # everybody buys the same three again and again
    "user_id": [f"u{user}" for user in range(40) for _ in range(9)],
    "item_id": [f"i{(user + time % 3) % 20}" for user in range(40) for time in range(9)],
    "timestamp": [time for _ in range(40) for time in range(9)],
}
AGAIN = {"user_id": [f"u{user}" for user in range(40)], "item_id": [f"i{user % 20}" for user in range(40)]}


def built(source, **hparams):
    """Not trained: the matrix of `ease` is worked out before."""
    task = dlkit.Recommender(**{"network": "ease", "width": 8, "hidden": 8, **hparams})
    build_task(task, task.read(source))
    return task


@pytest.fixture(scope="module")
def tastes():
    return built(PAIRS)


def test_a_user_alone_is_a_request_and_null_is_nothing(tastes):
    asked = {"user_id": 4, "recent": []}
    for request in ({"user_id": 4}, {"user_id": 4, "recent": None}, {"user_id": "4", "recent": [None]}):
        assert tastes.predict(request) == tastes.predict(asked)
    assert tastes.predict({"recent": [1, 3]}) == tastes.predict({"user_id": None, "recent": [1, 3]})
    assert tastes.recommend(4, None, exclude=None) == tastes.recommend(4)
    assert tastes.predict([{"user_id": 4}, {"recent": [1]}])[1]["cold"] is False
    for request in ({}, {"user": 4}):
        with pytest.raises(DataError, match=r"must be a dict with any of \['user_id', 'recent'\]"):
            tastes.predict(request)


def test_bought_again_is_recommended_where_repeats_are_and_else_it_is_said(capsys, tmp_path):
    plain = built(GROCERIES)
    metrics = plain.evaluate(AGAIN)
    assert (metrics["hit_rate"], metrics["repeated"]) == (0.0, 40)
    said = capsys.readouterr().err
    assert "40 of 40 held-out items were already seen by their users" in said and "repeats=True" in said
    repeats = built(GROCERIES, repeats=True, top_k=3)
    repeats.save(tmp_path / "m")
    for model in (repeats, dlkit.load(tmp_path / "m")):
        metrics = model.evaluate(AGAIN)
        assert metrics["hit_rate"] == 1.0 > metrics["baseline_hit_rate"]
        assert sorted(model.recommend("u3")["items"]) == ["i3", "i4", "i5"]
        assert "i3" not in model.recommend("u3", exclude=["i3"])["items"]
    assert capsys.readouterr().err == ""


def test_what_is_split_for_repeats_is_tested_on_repeats():
    train, test = dlkit.split(GROCERIES, dlkit.Recommender(repeats=True, protocol="leave_last_out"))
    assert (len(train["item_id"]), len(test["item_id"])) == (320, 40)
    assert set(test["timestamp"]) == {8}
    train, test = dlkit.split(GROCERIES, dlkit.Recommender(protocol="leave_last_out"))
    assert (len(train["item_id"]), len(test["item_id"])) == (80, 40)


def test_only_candidates_are_ranked(tastes, tmp_path):
    every = tastes.recommend(4, k=50)
    chosen = [every["items"][place] for place in (9, 2, 5)]
    found = tastes.recommend(4, candidates=[*chosen, "no item"])
    assert found["items"] == [every["items"][place] for place in (2, 5, 9)]
    assert found["scores"] == pytest.approx([every["scores"][place] for place in (2, 5, 9)])
    assert tastes.recommend(4, candidates=chosen, exclude=chosen[:1])["items"] == found["items"][:2]
    assert tastes.recommend(4, candidates=["no item"])["items"] == []
    assert tastes.recommend("nobody", candidates=[chosen[0]])["items"] == [chosen[0]]
    had = [item for user, item in zip(*PAIRS.values(), strict=True) if user == 4]
    assert tastes.recommend(4, candidates=had)["items"] == []
    with pytest.raises(DataError, match="`candidates` is empty"):
        tastes.recommend(4, candidates=[])
    tastes.save(tmp_path / "m")
    assert dlkit.load(tmp_path / "m").recommend(4, candidates=chosen)["items"] == found["items"]


def test_each_row_has_candidates_of_its_own():
    rank = RankItems(list("abcd"), 2)
    rank.build()
    logits = np.array([[9, 1, 2, 3, 4]] * 4, np.float32)
    nothing, cold = tf.zeros([4, 0], tf.int32), tf.zeros([4], tf.bool)
    candidates = tf.constant([[1, 2], [3, 0], [0, 0], [-1, 0]])
    found = rank(logits, nothing, cold, nothing, tf.fill([4], 2), candidates)["items"].numpy()
    assert [b"".join(row).decode() for row in found] == ["ba", "c", "dc", ""]
    again = RankItems(list("abcd"), 2, repeats=True)
    again.build()
    assert again(logits[:1], tf.constant([[4]]), cold[:1])["items"].numpy().tolist() == [[b"d", b"c"]]


def test_items_like_an_item():
    task = built(PAIRS, network="mf")
    table = np.random.default_rng(0).normal(size=(21, 8))
    task.stages_.network.get_layer("mf").items.embeddings.assign(table)
    ids = task.stages_.preprocess.get_layer("reader").items
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    row = ids.index("6") + 1
    cosines = dict(zip(ids, (unit @ unit[row])[1:], strict=True))
    cosines.pop("6")
    best = sorted(cosines, key=cosines.get, reverse=True)[:4]
    found = task.similar(6, k=4)
    assert [str(item) for item in found["items"]] == best
    np.testing.assert_allclose(found["scores"], [cosines[item] for item in best], rtol=1e-5)
    assert not found["cold"]
    assert task.similar("no item") == {"items": [], "scores": [], "cold": True}
    assert len(task.similar(6)["items"]) == 10
    with pytest.raises(DataError, match="`k` must be a positive integer"):
        task.similar(6, k=0)


@pytest.mark.parametrize("hparams", [{}, {"network": "sasrec", "heads": 1, "members": 2}, {"objective": "ratings"}])
def test_every_network_tells_what_is_alike(hparams):
    source = {**PAIRS, "rating": [1.0 + item % 5 for item in PAIRS["item_id"]]} if "objective" in hparams else PAIRS
    task = built(source, **({"network": "mf", **hparams} if "objective" in hparams else hparams))
    found = task.similar(6, k=4)
    assert 6 not in found["items"] and len(found["items"]) == 4
    assert found["scores"] == sorted(found["scores"], reverse=True)
    if not hparams:
        assert all(item % 2 == 0 for item in found["items"])  # of its taste, as the matrix of ease has it


def features(folder, items=20, further=("100,even", "101,odd")):
    path = folder / "items.csv"
    rows = [f"{item},{'even' if item % 2 == 0 else 'odd'}" for item in range(items)]
    path.write_text("\n".join(["item_id,kind", *rows, *further]) + "\n")
    return str(path)


def test_new_items_are_recommended_by_their_features(tmp_path):
    task = dlkit.Recommender(network="two_tower", width=8, hidden=8, item_features=features(tmp_path), epochs=15,
                             learning_rate=0.02, dropout=0.2)  # fmt: skip
    assert task.check(PAIRS)["statistics"]["items without interactions"] == "2, recommended based on their features"
    task.fit(PAIRS, verbose=0, strategy="one")
    task.save(tmp_path / "m")
    for model in (task, dlkit.load(tmp_path / "m")):
        for user in (4, 5):
            items = model.recommend(user, k=50)["items"]
            assert [item % 2 for item in items[:5]] == [user % 2] * 5  # the four of its taste that are left, and it
            assert 100 + user % 2 in items[:5]
        assert not model.predict({"user_id": "", "recent": [101]})["cold"]
        assert [item % 2 for item in model.similar(100, k=5)["items"]] == [0] * 5
        assert 100 not in model.recommend("nobody", k=20)["items"]  # nobody took it: not popular
    old = dlkit.Recommender(network="two_tower", item_features=features(tmp_path), new_items=False)
    assert old.check(PAIRS)["statistics"]["items without interactions"] == "2, not recommended"
    build_task(old, old.read(PAIRS))
    assert "100" not in old.stages_.preprocess.get_layer("reader").items


def test_a_new_item_is_its_features_and_what_items_have_in_common():
    table = FeaturedEmbedding(5, 2, features=1, new=2)
    table.embeddings.assign([[9, 9], [1, 2], [3, 6], [9, 9], [9, 9]])
    table.features.assign([[0], [0], [0], [1], [-2]])
    table.kernel.assign([[10, 20]])
    expected = [[0, 0], [1, 2], [3, 6], [2 + 10, 4 + 20], [2 - 20, 4 - 40]]
    np.testing.assert_allclose(table(), expected)
    np.testing.assert_allclose(table(np.array([[4, 0]])), [[expected[4], [0, 0]]])
    scorer = TwoTowers(2, 4, 2, item_features=1, new_items=2)
    who = np.array([1]), np.array([[1, 2]])
    served = scorer(*who)
    scorer.bias.assign([0, 1, 3, 50, 50])
    np.testing.assert_allclose(scorer(*who) - served, [[0, 1, 3, 2, 2]], atol=1e-6)
    assert (scorer(*who, training=True).numpy()[0, 3:] == -1e9).all()  # training does not push them down


def test_sampled_negatives_are_no_new_items(tmp_path):
    task = built(PAIRS, network="two_tower", item_features=features(tmp_path), negatives=500)
    reader = task.stages_.preprocess.get_layer("reader")
    assert reader.items[-2:] == ["100", "101"]
    features_of = {"user_id": tf.constant(["4"]), "recent": tf.constant([[""]])}
    target = {"next": tf.constant([["0", "2"]]), "ratings": tf.zeros([1, 0])}
    tensors, encoded = task.encode(features_of, target)
    assert tensors["negatives"].numpy().max() == 20
    tensors.pop("_row")
    made, _ = task.augment(tensors, encoded, tf.constant(0, tf.int64))
    assert made["negatives"].numpy().max() == 20


def test_an_item_that_was_only_disliked_is_not_new(tmp_path):
    rated = {**PAIRS, "rating": [1 if item == 7 else 5 for item in PAIRS["item_id"]]}
    task = built(rated, network="two_tower", item_features=features(tmp_path))
    items = task.stages_.preprocess.get_layer("reader").items
    assert "7" not in items and "100" in items


def test_ids_of_no_item_are_refused_with_the_share(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("item_id,kind\n" + "".join(f"{item}.0,{item % 3}\n" for item in range(20)))
    task = dlkit.Recommender(network="two_tower", item_features=str(path))
    (said,) = task.check(PAIRS)["errors"]
    assert said.startswith(f"none of 20 items has a row in {path}: 0 % match")
    with pytest.raises(DataError, match=r"none of the 20 ids.*0 % match"):
        build_task(task, task.read(PAIRS))
