"""Every network of every task: trains, exports with its proof, and answers as it did in Python."""

import pytest
from serving_tools import assert_served_as_predicted, lint
from train_and_export import train_and_export

from dlkit.data.read import read
from dlkit.hparams import choices_of
from dlkit.tasks import find_task, task_names

NETWORKS = [
    (name, network)
    for name in task_names()
    for network in choices_of(find_task(name)).get("network", ())
    if not network.endswith(":")
]


@pytest.fixture(scope="module", params=NETWORKS, ids="-".join)
def exported(request, tmp_path_factory):
    """A task with one of its networks, and the version that it exported."""
    name, network = request.param
    folder = tmp_path_factory.mktemp(network)
    task = train_and_export(name, folder, network=network, **({"image_size": 12} if network == "lenet" else {}))
    return task, folder / name / "1"


@pytest.mark.slow
def test_a_network_trains_and_exports(exported):
    task, version = exported
    assert task.history_["loss"]
    assert (version / "saved_model.pb").is_file()


@pytest.mark.slow
def test_the_loader_of_the_server_takes_every_network(exported, tools, cload, tmp_path):
    task, version = exported
    assert lint(tools, version)["problems"] == []
    table = read(task.samples()["test"], {**task.inputs, **task.target}).take(range(3))
    assert_served_as_predicted(task, version, cload, table, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", task_names())
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_16_bits_train_and_export(name, precision, tmp_path):
    train_and_export(name, tmp_path, precision=precision)
