"""Recommenders that were saved before ratings, repeats, candidates and new items counted answer as they did."""

from pathlib import Path

import pytest
from serving_tools import assert_close, assert_close_to_saved

import dlkit
from dlkit.errors import DataError

SAVED = Path(__file__).parent / "recommenders_saved_before.tar.xz"
ASKED = {"user_id", "recent", "exclude", "k"}
INTERACTIONS = {  # that they were trained on
    "user_id": [f"u{u}" for u in range(12) for _ in range(5)],
    "item_id": [(2 * (7 * u + 3 * p) + u % 2) % 16 for u in range(12) for p in range(5)],
    "rating": [float(1 + (u * 7 + p * 3) % 5) for u in range(12) for p in range(5)],
    "timestamp": [100 * u + p for u in range(12) for p in range(5)],
}


@pytest.mark.parametrize("name", ("two_tower", "ease", "sasrec", "mf-ratings"))
def test_their_answers(name, saved, tmp_path):
    folder, answers = saved
    then = answers[name]
    dlkit.load(folder / name).save(tmp_path / "again")
    for place in (folder / name, tmp_path / "again"):
        model = dlkit.load(place)
        assert_close_to_saved(model.predict(then["inputs"]), then["answers"])
        found = [model.recommend(user, recent, **options) for user, recent, options in then["requests"]]
        assert_close_to_saved(found, then["recommended"])
        metrics = model.evaluate(INTERACTIONS)
        assert_close({key: metrics[key] for key in then["metrics"]}, then["metrics"], rtol=1e-5, atol=1e-7)
    assert set(model.served()["recommend"].inputs) == ASKED  # a request that was enough is enough
    with pytest.raises(DataError, match="saved by a version without `candidates`"):
        model.recommend("u1", candidates=[1])
