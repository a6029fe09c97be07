"""Recommenders beyond the plain one through the loader of the server."""

import pytest
from serving_tools import assert_served_as_predicted, lint
from task_contracts import small_hparams

from dlkit.data.read import read
from dlkit.data.table import Table
from dlkit.tasks import find_task
from dlkit.tasks.recommendation.protocols import part
from dlkit.tasks.recommendation.sample import interactions


@pytest.mark.parametrize(
    "network", ["mf", *(pytest.param(name, marks=pytest.mark.slow) for name in ("two_tower", "neumf", "dcn"))]
)
def test_the_loader_of_the_server_takes_ratings(network, tools, cload, tmp_path):
    """The other objective of recommenders, whose graph looks up who had the item too."""
    held = part(interactions(), "random_80_20")
    task = find_task("recommendation")(
        **small_hparams("recommendation", objective="ratings", network=network, epochs=1)
    )
    task.fit(held[0], verbose=0)
    version = task.export(tmp_path / "ratings")
    assert lint(tools, version)["problems"] == []
    table = read(held[1], {**task.inputs, **task.target}).take(range(3))
    assert_served_as_predicted(task, version, cload, table, tmp_path)


def test_the_loader_of_the_server_takes_what_was_disliked_repeats_and_new_items(tools, cload, tmp_path):
    path = tmp_path / "items.csv"
    kinds = dict.fromkeys(interactions()["item_id"])
    path.write_text("item_id,kind\n" + "".join(f"{item},{item.split('-')[0]}\n" for item in [*kinds, "drama-new"]))
    hparams = {"item_features": str(path), "rating_weights": True, "repeats": True, "epochs": 1}
    task = find_task("recommendation")(**small_hparams("recommendation", **hparams))
    task.fit({name: values[:2000] for name, values in interactions().items()}, verbose=0)
    assert task.new_items_ == 1
    assert task.stages_.preprocess.get_layer("reader").passed_count > 0
    version = task.export(tmp_path / "films")
    assert lint(tools, version)["problems"] == []
    table = Table("requests", {"user_id": ["u001", "", "u002"], "recent": [[], ["drama-new"], []]}, str)
    assert_served_as_predicted(task, version, cload, table, tmp_path)
