"""Keras on several workers: what is broken in it, and that the repair is needed, is enough and does no more."""

import json
import re
from pathlib import Path

import keras
import keras_worker
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow import trainer as keras_trainer

from dlkit.errors import DlkitError
from dlkit.training import keras_repair
from dlkit.training.strategies import resolve_strategy

MENDED = "Keras is mended: remove keras_repair"


@pytest.fixture(scope="module")
def seen(tmp_path_factory, two_workers):
    """What each of two workers saw, by what was repaired."""
    folder = tmp_path_factory.mktemp("workers")
    two_workers(folder, Path(keras_worker.__file__), folder)
    return [json.loads((folder / f"{index}.json").read_text()) for index in range(2)]


@pytest.fixture
def unrepaired(monkeypatch):
    """Keras as it was installed, whatever other tests have asked for."""
    monkeypatch.setattr(keras_trainer.TensorFlowTrainer, "_maybe_symbolic_build", keras_repair._symbolic_build)
    monkeypatch.setattr(keras_trainer, "reduce_per_replica", keras_repair._reduce)


def repaired():
    own = keras_trainer.TensorFlowTrainer._maybe_symbolic_build, keras_trainer.reduce_per_replica
    return [
        now is not before for now, before in zip(own, (keras_repair._symbolic_build, keras_repair._reduce), strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repaired", "failure"),
    [
        ("nothing", "unsupported type.*PerReplica"),
        ("metrics", "unsupported type.*PerReplica"),
        ("building", "Invalid reduction dimension 0 for input with 0 dimensions"),
    ],
)
def test_keras_cannot_train_on_several_workers_with_less(seen, repaired, failure):
    for worker in seen:
        assert "failed" in worker[repaired], MENDED
        text = " ".join(worker[repaired]["failed"].split())
        assert re.search(failure, text), f"Keras fails in another way: {text}"


@pytest.mark.slow
def test_repaired_it_trains_evaluates_and_predicts_as_one_process_does(seen):
    expected = keras_worker.train(tf.distribute.get_strategy())
    for worker in seen:
        found = worker["both"]
        assert "failed" not in found, found
        assert found["history"].keys() == expected["history"].keys()
        for name, values in expected["history"].items():
            np.testing.assert_allclose(found["history"][name], values, rtol=1e-5)
        assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-5)
        np.testing.assert_allclose(found["answers"], expected["answers"], rtol=1e-5, atol=1e-6)


def test_keras_cannot_build_from_uneven_parts(unrepaired):
    strategy = resolve_strategy("mirrored:2").strategy  # the collectives of a second one would be taken for its own
    keras_repair.undo_repair()
    batch = tf.data.Dataset.from_tensor_slices((np.ones((7, 3), "float32"), np.ones((7, 1), "float32"))).batch(7)
    with strategy.scope():
        inputs = keras.Input((3,))
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        model.compile("sgd", "mse")
    try:
        model.fit(batch, verbose=0)
    except (ValueError, tf.errors.OpError):
        pass
    else:
        pytest.fail(MENDED)
    keras_repair.repair_keras()
    assert np.isfinite(model.fit(batch, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("version", ["3.14.9", "3.16.0", "4.15.1", "3.150.1"])
def test_another_keras_is_refused(version, unrepaired, monkeypatch):
    monkeypatch.setattr(keras, "__version__", version)
    with pytest.raises(DlkitError, match=rf"needs Keras 3\.15,.* Found: {version}\. Install .*keras==3\.15\.\*"):
        resolve_strategy("mirrored:2")
    assert repaired() == [False, False]
    resolve_strategy("one")


def test_one_device_leaves_keras_alone(unrepaired):
    before = keras_worker.train(tf.distribute.get_strategy())
    resolve_strategy("one")
    assert repaired() == [False, False]
    resolve_strategy("mirrored:2")
    assert repaired() == [True, True]
    assert keras_worker.train(tf.distribute.get_strategy()) == before
    keras_repair.undo_repair()
    assert repaired() == [False, False]
