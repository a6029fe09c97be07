"""What a network must be to be trained in parts of a batch."""

import dataclasses

import keras
import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import HparamError
from dlkit.training.compile_network import compile_network
from dlkit.training.strategies import Distribution

TWO_PARTS = Distribution(tf.distribute.get_strategy(), "two parts", parts=2)


def small(**hparams):
    model = dlkit.SentimentClassifier(epochs=1, **hparams)
    model.fit({"text": ["good", "bad"] * 4, "label": ["a", "b"] * 4}, verbose=0)
    return model


@pytest.fixture(scope="module")
def model():
    return small(network="mlp", validation_split=0.0)


def test_the_trainer_gets_the_parts(model):
    trainer, _ = compile_network(model, 1, TWO_PARTS)
    assert trainer._parts == 2
    assert compile_network(model, 1)[0]._parts == 1


def test_layers_that_normalize_by_the_batch_are_refused(model, monkeypatch):
    x = keras.Input((3,), name="x")
    network = keras.Model({"x": x}, {"y": keras.layers.BatchNormalization(name="norm")(x)})
    monkeypatch.setattr(model, "stages_", dataclasses.replace(model.stages_, network=network))
    with pytest.raises(HparamError, match=r"cores:2.*'norm', a BatchNormalization.*Use strategy=\"one\""):
        compile_network(model, 1, TWO_PARTS)


def test_a_batch_has_a_row_for_each_part(monkeypatch):
    monkeypatch.setattr("dlkit.training.strategies.resolve_strategy", lambda *_: TWO_PARTS)
    with pytest.raises(HparamError, match=r"`batch_size` must be at least 2, a row for each"):
        dlkit.SentimentClassifier(batch_size=1).fit(dlkit.SentimentClassifier.samples()["train"], verbose=0)
