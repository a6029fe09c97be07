"""Recommenders on small tables: what is served, to whom, and what training may see."""

import numpy as np
import pytest

import dlkit
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.lazy import tf
from dlkit.tasks.recommendation.protocols import part
from dlkit.tasks.recommendation.sample import interactions
from dlkit.tasks.recommendation.stages import recommend_signature

SMALL = {"width": 8, "hidden": 16, "batch_size": 32, "epochs": 2}
PAIRS = {  # two tastes: users of even numbers like even items
    "user_id": [user for user in range(40) for _ in range(6)],
    "item_id": [2 * (7 * user + 3 * place) % 20 + user % 2 for user in range(40) for place in range(6)],
}


def fitted(source=PAIRS, **hparams):
    task = dlkit.Recommender(**{**SMALL, **hparams})
    task.fit(source, verbose=0, strategy="one")
    return task


@pytest.fixture(scope="module")
def tastes():
    return fitted(epochs=60, learning_rate=0.02, dropout=0.2)


def test_items_come_back_as_they_were_given_and_none_that_was_seen(tastes):
    answer = tastes.predict({"user_id": 4, "recent": []})
    had = {item for user, item in zip(*PAIRS.values(), strict=True) if user == 4}
    assert all(isinstance(item, int) for item in answer["items"])
    assert not had & set(answer["items"])
    assert [item % 2 for item in answer["items"][:4]] == [0] * 4  # its taste
    assert answer["scores"] == sorted(answer["scores"], reverse=True)
    assert not answer["cold"]


def test_a_user_never_seen_gets_what_the_list_tells(tastes):
    answer = tastes.predict({"user_id": "a stranger", "recent": [1, 3, 5]})
    assert not {1, 3, 5} & set(answer["items"])
    assert [item % 2 for item in answer["items"][:4]] == [1] * 4
    assert not answer["cold"]
    assert tastes.predict({"user_id": "", "recent": [1, 3, 5]}) == answer


def test_who_is_not_known_gets_the_popular_and_is_told(tastes):
    answer = tastes.predict({"user_id": "a stranger", "recent": ["an item from elsewhere"]})
    counts = {item: PAIRS["item_id"].count(item) for item in answer["items"]}
    assert answer["cold"]
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    np.testing.assert_allclose(answer["scores"], [count / 240 for count in counts.values()], rtol=1e-5)


def test_a_request_says_how_many_and_which_not(tastes):
    best = tastes.recommend(4, k=6)["items"]
    assert tastes.recommend(4)["items"][:6] == best
    assert tastes.recommend(4, k=5, exclude=[best[0], "no item"])["items"] == best[1:]
    assert tastes.recommend(4, recent=best[:1], k=100)["items"].count(best[0]) == 0
    assert len(tastes.recommend(4, k=100)["items"]) == 20 - 6
    for k in (0, 2.5, True):
        with pytest.raises(DataError, match="`k` must be a positive integer"):
            tastes.recommend(4, k=k)
    with pytest.raises(DlkitError, match="not fitted"):
        dlkit.Recommender().recommend(4)


def test_each_row_of_a_request_has_its_own_number(tastes):
    import tensorflow as tf

    graph = recommend_signature(tastes).graph
    made = graph(
        user_id=tf.constant(["4", "5"]),
        recent=tf.constant([["0", "2"], ["", ""]]),
        exclude=tf.constant([[""], ["1"]]),
        k=tf.constant([1, 4]),
        candidates=tf.constant([[""], [""]]),
    )
    assert [sum(item != b"" for item in row) for row in made["items"].numpy()] == [1, 4]
    alone = tastes.recommend(4, [0, 2], k=1)
    assert [made["items"].numpy()[0, 0].decode()] == [str(item) for item in alone["items"]]


def test_what_the_model_knows_of_a_user_need_not_be_sent(tastes):
    had = [item for user, item in zip(*PAIRS.values(), strict=True) if user == 4]
    assert (
        tastes.predict({"user_id": 4, "recent": had[-2:]})["items"]
        == tastes.predict({"user_id": 4, "recent": []})["items"]
    )


def test_evaluation_takes_the_held_out_interactions_alone():
    train, test = part(interactions(), "leave_last_out")
    task = fitted(train, network="ease", min_rating=0)
    metrics = task.evaluate(test)
    assert metrics["users"] == 400
    rows = {
        "user_id": test["user_id"],
        "recent": [
            [i for u, i in zip(train["user_id"], train["item_id"], strict=True) if u == who] for who in test["user_id"]
        ],
        "next": [[item] for item in test["item_id"]],
    }
    assert task.evaluate(rows)["ndcg"] == pytest.approx(metrics["ndcg"])
    assert metrics["baseline_ndcg"] < metrics["ndcg"]
    stranger = {name: [*values, "elsewhere"] for name, values in list(test.items())[:2]}
    assert task.evaluate(stranger)["cold"] == 1


@pytest.mark.parametrize(
    "network",
    [
        "two_tower",
        "mf",
        "ease",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("sasrec", "gru4rec", "neumf", "dcn")),
    ],
)
def test_every_network_learns(network):
    sample = dlkit.Recommender.samples()
    few = {name: values[:128] for name, values in sample["train"].items()}
    task = fitted(few, network=network, epochs=6, learning_rate=0.02, dropout=0.0)
    assert task.history_["loss"][-1] < task.history_["loss"][0]
    assert np.isfinite(task.evaluate({n: v[:32] for n, v in sample["validation"].items()})["ndcg"])


def test_sampled_negatives_learn_too():
    task = fitted(network="mf", negatives=8, epochs=40, learning_rate=0.02, dropout=0.0)
    answer = task.predict({"user_id": 4, "recent": []})
    assert [item % 2 for item in answer["items"][:4]] == [0] * 4


def test_long_histories_are_learnt_from_in_windows():
    task = fitted(network="sasrec", max_items=4)
    assert (task.length_, task.pieces_) == (4, 2)
    assert task.fingerprint_["rows"] == 80
    assert set(task.predict({"user_id": 4, "recent": []})["items"]).isdisjoint(
        item for user, item in zip(*PAIRS.values(), strict=True) if user == 4
    )


RATED = {
    "user_id": [f"u{user}" for user in range(30) for _ in range(8)],
    "item_id": [(3 * user + 5 * place) % 24 for user in range(30) for place in range(8)],
}
RATED["rating"] = [
    3.0 + (1.0 if item % 2 else -1.0) * (1 if int(user[1:]) % 2 else -1)
    for user, item in zip(RATED["user_id"], RATED["item_id"], strict=True)
]


@pytest.mark.parametrize(
    "network", ["mf", *(pytest.param(name, marks=pytest.mark.slow) for name in ("two_tower", "neumf", "dcn"))]
)
def test_ratings_are_in_their_own_units(network):
    task = fitted(RATED, objective="ratings", network=network, epochs=12, learning_rate=0.02, dropout=0.0)
    metrics = task.evaluate(RATED)
    assert metrics["rmse"] < metrics["baseline_rmse"] / 2
    answer = task.predict({"user_id": "u3", "item_id": 1})
    assert 2.0 <= answer["rating"] <= 4.0
    assert not answer["cold"]
    assert task.predict({"user_id": "nobody", "item_id": 1})["cold"]
    listed = task.recommend("u3", k=3)
    assert listed["items"]
    for item, score in zip(listed["items"], listed["scores"], strict=True):  # ranked by what is answered one by one
        assert score == pytest.approx(task.predict({"user_id": "u3", "item_id": item})["rating"], abs=1e-4)


def test_no_rating_trains_on_itself():
    """Neither the user's other items nor the item's other users hold the pair that is asked about."""
    task = fitted(RATED, objective="ratings", network="mf", epochs=1)
    columns = ("user_id", "item_id")
    features = {name: tf.constant([str(value) for value in RATED[name]]) for name in columns}
    tensors, _ = task.encode(features, {"rating": tf.constant(RATED["rating"], tf.float32)})
    read = {name: value.numpy() for name, value in tensors.items()}
    assert not (read["history"] == read["item"][:, None]).any()
    assert not (read["takers"] == read["user"][:, None]).any()
    asked = task.stages_.preprocess(features)
    assert (asked["history"].numpy() == read["item"][:, None]).any(1).all()  # whereas an answer knows all there is
    assert (asked["takers"].numpy() == read["user"][:, None]).any(1).mean() > 0.5


def test_features_of_items_are_read_and_kept(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("item_id,kind\n" + "".join(f"{item},{'even' if item % 2 == 0 else 'odd'}\n" for item in range(20)))
    task = fitted(item_features=str(path), network="mf")
    task.save(tmp_path / "m")
    path.unlink()
    asked = {"user_id": 4, "recent": []}
    assert dlkit.load(tmp_path / "m").predict(asked) == task.predict(asked)
    with pytest.raises(DataError, match=r"items\.csv"):
        fitted(item_features=str(path))


def test_hparams_that_do_not_fit_are_refused():
    with pytest.raises(HparamError, match="ratings need `network`"):
        dlkit.Recommender(objective="ratings", network="ease")
    with pytest.raises(HparamError, match="`members` applies only to sasrec and gru4rec"):
        dlkit.Recommender(members=2)
    with pytest.raises(HparamError, match="leave_last_out"):
        dlkit.Recommender(protocol="leave_one_out")
    for protocol in ("", "leave_last_out", "by_time"):
        assert dlkit.Recommender(protocol=protocol).protocol == protocol
    with pytest.raises(HparamError, match="multiple of `heads`"):
        dlkit.Recommender(network="sasrec", width=10, heads=4)


def test_the_future_of_a_protocol_by_time_changes_no_answer():
    source = interactions()
    train, test = part(source, "by_time")
    changed = {name: list(values) for name, values in source.items()}
    for row, time in enumerate(source["timestamp"]):
        if time >= min(test["timestamp"]):
            changed["item_id"][row] = "western-00"
    first, second = (fitted(part(data, "by_time")[0], network="ease") for data in (source, changed))
    asked = [{"user_id": user, "recent": []} for user in dict.fromkeys(train["user_id"])][:20]
    assert first.predict(asked) == second.predict(asked)


@pytest.mark.slow
def test_real_ratings_train_and_beat_popularity(real_data):
    train, test = part(real_data / "ml100k" / "ratings.csv", "random_75_25", seed=42)
    task = fitted(train, network="ease", min_rating=0)
    metrics = task.evaluate(test)
    assert metrics["ndcg"] > 0.45 > metrics["baseline_ndcg"] + 0.15


@pytest.mark.slow
def test_members_answer_by_their_mean():
    """Of two members the answer is the mean of what each alone would give."""
    task = fitted(network="sasrec", members=2, epochs=1, heads=1)
    preprocess, answering, _ = task.stages_.serving_models()
    history = preprocess({"user_id": tf.constant(["4"]), "recent": tf.constant([[""]])})["history"]
    alone = [task.stages_.network.get_layer(name)(history, last=True).numpy() for name in ("sasrec", "sasrec_1")]
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    np.testing.assert_allclose(answering({"history": history})["logits"], np.mean(alone, 0), atol=1e-5)
