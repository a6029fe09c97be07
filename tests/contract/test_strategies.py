"""The same seed and the same batches give the same run on one device, on two, and in two processes."""

import json
from pathlib import Path

import numpy as np
import pytest
import worker
from test_networks import NETWORKS

from dlkit import model_folder

CLOSE = 1e-5  # of the largest magnitude of a tensor; measured 1e-7 to 6e-6
# The least magnitude that counts: where the parts of a gradient cancel, as those of a bias of keys do, Adam makes steps
# of what rounding leaves. Measured: 5e-7 apart.
LEAST = 0.1


@pytest.fixture(scope="module")
def one(task_class):
    return worker.fit(worker.small_task(task_class.task_name()), "one")


@pytest.fixture(scope="module")
def two_processes(task_class, tmp_path_factory, two_workers):
    """What two workers wrote, each in a folder of its own."""
    folder = tmp_path_factory.mktemp(task_class.task_name())
    two_workers(folder, Path(worker.__file__), task_class.task_name(), folder)
    return [folder / "0", folder / "1"]


def saw(folder):
    """What a worker saw, as `worker.fit` gives it."""
    seen = json.loads((folder / "seen.json").read_text())
    for kind in ("weights", "trained"):
        with np.load(folder / f"{kind}.npz") as file:
            seen[kind] = [file[name] for name in file.files]
    return seen


def least(name):
    """The difference of a metric that does not count: of a share of pixels, a few of half a million that were tied."""
    return 1e-9 if name.endswith("loss") else 5e-5


def assert_same_run(seen, expected):
    assert seen["history"].keys() == expected["history"].keys()
    for name, values in expected["history"].items():
        np.testing.assert_allclose(seen["history"][name], values, rtol=CLOSE, atol=least(name), err_msg=name)
    for kind in ("weights", "trained"):
        for number, (left, right) in enumerate(zip(seen[kind], expected[kind], strict=True)):
            largest = max(np.abs(right).max(initial=0), LEAST)
            np.testing.assert_allclose(left, right, rtol=0, atol=CLOSE * largest, err_msg=f"{kind} {number}")
    for name, value in expected["inside"]["metrics"].items():
        assert seen["inside"]["metrics"][name] == pytest.approx(value, rel=CLOSE, abs=least(name)), name
    for left, right in zip(seen["inside"]["answers"], expected["inside"]["answers"], strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=CLOSE * np.abs(right).max())


@pytest.mark.core("sentiment")
def test_one_device_trains_and_stops_early(one):
    assert len(one["history"]["loss"]) == len(one["history"]["val_loss"]) == 2 < worker.EPOCHS
    assert np.isfinite(one["history"]["loss"]).all()
    assert any((kept != last).any() for kept, last in zip(one["weights"], one["trained"], strict=True))
    assert all(len(output) == 8 for output in one["inside"]["answers"])


@pytest.mark.core("sentiment")
def test_a_run_that_differs_is_seen(one):
    for kind in ("weights", "trained"):
        moved = [array * (1 + 3 * CLOSE) for array in one[kind]]  # the larger ones show it
        with pytest.raises(AssertionError):
            assert_same_run({**one, kind: moved}, one)
    swapped = {**one["inside"], "answers": [output[::-1] for output in one["inside"]["answers"]]}
    with pytest.raises(AssertionError):
        assert_same_run({**one, "inside": swapped}, one)


@pytest.mark.core("sentiment")
def test_two_devices_train_as_one_does(one, task_class):
    assert_same_run(worker.fit(worker.small_task(task_class.task_name()), "mirrored:2"), one)


@pytest.mark.core("sentiment")
@pytest.mark.parametrize("index", [0, 1])
def test_two_processes_train_stop_evaluate_and_predict_as_one_device_does(index, one, two_processes):
    assert_same_run(saw(two_processes[index]), one)


@pytest.mark.core("sentiment")
def test_only_the_first_of_two_processes_writes(two_processes, task_class):
    first, second = two_processes
    own = {"weights.npz", "trained.npz", "seen.json"}
    assert {path.name for path in second.iterdir()} == own
    assert {path.name for path in first.iterdir()} == {*own, "model", "saved", "servable"}
    written = sorted(path.name for path in (first / "model" / "checkpoints").iterdir())
    plan = model_folder.read_model(task_class, first / "model").plan_
    steps = plan["steps_per_epoch"] * len(saw(first)["history"]["loss"])
    assert written == [f"step-{step:012d}.npz" for step in range(1, steps + 1)]
    for folder in ("model", "saved"):
        assert model_folder.read_model(task_class, first / folder).history_["loss"] == saw(first)["history"]["loss"]
    assert len(list(first.glob("servable/*/saved_model.pb"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_16_bits_agree_to_their_own_precision(task_class, precision):
    first, second = (
        worker.fit(worker.small_task(task_class.task_name(), epochs=1, precision=precision), strategy, rows=50)
        for strategy in ("one", "mirrored:2")
    )
    # bfloat16 keeps 8 bits of a number, 4e-3 of it.
    assert second["history"]["loss"] == pytest.approx(first["history"]["loss"], rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [100, 128])  # batches of 25 or of 32 rows
def test_batches_of_one_size_train_on_two_devices_as_on_one(rows, task_class):
    one, two = (worker.fit(worker.small_task(task_class.task_name()), on, rows) for on in ("one", "mirrored:2"))
    assert_same_run(two, one)


@pytest.mark.slow
def test_averages_are_those_of_one_device(task_class):
    one, two = (worker.fit(worker.small_task(task_class.task_name(), ema=0.9), on) for on in ("one", "mirrored:2"))
    assert_same_run(two, one)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "network"), NETWORKS)
def test_every_network_trains_on_two_devices_as_on_one(name, network):
    hparams = {
        "lenet": {"image_size": 12},  # the sample's 8 pixels are too few for it
        "deeplab_v3": {"learning_rate": 0.001},  # by 0.01 rounding grows from 1e-7 to 2e-5 in two epochs
    }.get(network, {})
    one, two = (worker.fit(worker.small_task(name, network=network, **hparams), on) for on in ("one", "mirrored:2"))
    assert_same_run(two, one)
