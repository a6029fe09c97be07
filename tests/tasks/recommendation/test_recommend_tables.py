"""Recommendations of all users, or of those of a table, as a long table: from the library and the command line."""

import numpy as np
import pytest

import dlkit
from dlkit.cli import main as cli
from dlkit.cli.main import main
from dlkit.errors import DataError
from dlkit.training.prepare import build_task

pandas = pytest.importorskip("pandas")

FRAME = pandas.DataFrame(
    {  # two tastes: users of even numbers like even items
        "user_id": [user for user in range(40) for _ in range(6)],
        "item_id": [2 * (7 * user + 3 * place) % 20 + user % 2 for user in range(40) for place in range(6)],
    }
)


def built(source, **hparams):
    """Not trained: the matrix of `ease` is worked out before."""
    task = dlkit.Recommender(**{"network": "ease", "top_k": 3, **hparams})
    build_task(task, task.read(source))
    return task


@pytest.fixture(scope="module")
def model():
    return built(FRAME)


@pytest.fixture
def run(model, predicting):
    return predicting(model)


def test_all_users_get_what_each_gets_alone(model):
    made = model.recommend_all()
    assert list(made) == ["user_id", "item_id", "score", "rank", "cold"]
    assert made.user_id.unique().tolist() == list(range(40))  # integers, as they were
    assert made["rank"].tolist() == [1, 2, 3] * 40 and not made.cold.any()
    for user in (0, 7, 39):
        alone, mine = model.recommend(user), made[made.user_id == user]
        assert mine.item_id.tolist() == alone["items"]
        np.testing.assert_allclose(mine.score, alone["scores"], rtol=1e-5)
    assert model.recommend_all(k=5).groupby("user_id").size().tolist() == [5] * 40
    assert set(model.recommend_all(candidates=[1, 3, 5]).item_id) <= {1, 3, 5}


def test_users_of_a_table_keep_their_ids_and_who_is_not_known_is_counted(model, tmp_path, capsys):
    every = model.recommend_all()
    three = every[every.user_id.isin([4, 5, 6])].reset_index(drop=True)
    users = pandas.DataFrame({"user_id": [4, 5, 6], "age": 1})
    users.to_csv(tmp_path / "users.csv", index=False)
    for source in (users, users.user_id, [4, 5, 6], users.rename(columns={"user_id": "who"})):
        columns = {"user_id": "who"} if "who" in source else None
        pandas.testing.assert_frame_equal(model.recommend_all(source, columns=columns), three)
    assert model.recommend_all(tmp_path / "users.csv").user_id.tolist()[:3] == ["4"] * 3  # cells of a text are texts
    capsys.readouterr()
    some = model.recommend_all([4, 2.5, "nobody"])
    assert some.user_id.tolist() == [4] * 3 + ["nobody"] * 3 and some.cold.tolist() == [False] * 3 + [True] * 3
    said = capsys.readouterr().err
    assert "1 of 3 users skipped" in said and "float 2.5" in said
    assert "1 of 3 users are unknown: the most popular items are recommended: 'nobody'" in said
    with pytest.raises(DataError, match=r"no column 'user_id'. Columns found: 'a'.*user_id and item_id"):
        model.recommend_all({"a": [1]})
    for wrong in (users, [4, 5]):
        with pytest.raises(DataError, match=r"`recommend` takes one user.*`recommend_all\(users\)`"):
            model.recommend(wrong)


def test_a_table_of_interactions_is_answered_user_by_user_with_its_items(model, capsys):
    new = pandas.DataFrame({"user_id": ["x", "x", 4], "item_id": [1, 3, 5], "rating": [5, 1, 2]})
    made = model.recommend_all(new)
    assert made.user_id.tolist() == ["x"] * 3 + [4] * 3
    assert made.item_id.tolist()[:3] == model.recommend(recent=[1, 3])["items"]
    assert made.item_id.tolist()[3:] == model.recommend(4, [5])["items"]
    assert "each item is treated as a positive interaction, regardless of its rating" in capsys.readouterr().err


def test_who_has_had_everything_gets_nothing_and_is_told(model, capsys):
    made = model.recommend_all(pandas.DataFrame({"user_id": ["a", "b"], "recent": [[*range(20)], [1]]}))
    assert made.user_id.tolist() == ["b"] * 3
    assert "1 of 2 users get no recommendations: they have interacted with all items: 'a'" in capsys.readouterr().err


def test_one_command_for_all_users_or_those_of_a_table(model, run, tmp_path):
    made = model.recommend_all()
    assert "40 predictions" in run("--output", tmp_path / "all.parquet").out
    written = pandas.read_parquet(tmp_path / "all.parquet")
    pandas.testing.assert_frame_equal(written[["user_id", "item_id", "rank"]], made[["user_id", "item_id", "rank"]])
    np.testing.assert_allclose(written.score, made.score, rtol=1e-5)
    FRAME.tail(7).to_csv(tmp_path / "some.csv", index=False)
    run(tmp_path / "some.csv", "--output", tmp_path / "some.jsonl")
    some = pandas.read_json(tmp_path / "some.jsonl", lines=True)
    assert some.user_id.tolist() == [38] * 3 + [39] * 3  # once each, though there are seven records
    assert some.item_id.tolist() == made.item_id.tolist()[-6:]
    _, user, cold, head, *rows = run('{"user_id": 4}').out.splitlines()
    assert (user.split(), cold.split()) == (["user_id:", "4"], ["cold:", "False"])
    assert head.split() == ["item_id", "score", "rank"] and [row.split()[2] for row in rows] == ["1", "2", "3"]


def test_a_model_of_ratings_ranks_in_python_and_answers_pairs_by_record(monkeypatch, tmp_path, capsys):
    rated = FRAME.assign(rating=[1 + place % 5 for place in range(len(FRAME))])
    model = built(rated, objective="ratings", network="mf", width=4)
    made = model.recommend_all([4], k=2)
    assert made.item_id.tolist() == model.recommend(4, k=2)["items"]
    assert model.rows.by_record and not dlkit.Recommender().rows.by_record
    monkeypatch.setattr(dlkit, "load", lambda folder: model)
    monkeypatch.setattr(cli, "check_early", lambda given: None)
    assert main(["predict", "model"]) == 2
    assert "predicts for pairs: give a table of user_id and item_id" in capsys.readouterr().err
    rated.head(3).to_csv(tmp_path / "pairs.csv", index=False)
    output = tmp_path / "out.csv"
    assert (
        main(["predict", "model", str(tmp_path / "pairs.csv"), "--output", str(output), "--keep-columns", "item_id"])
        == 0
    )
    written = pandas.read_csv(output)
    assert list(written) == ["item_id", "rating", "cold"] and len(written) == 3


def test_users_without_ids_are_no_users_that_are_known():
    nameless = built({"recent": [[]] * 10, "next": [[1, 2, 3]] * 5 + [[2, 3, 4]] * 5})
    with pytest.raises(DataError, match="trained without user ids"):
        nameless.recommend_all()
