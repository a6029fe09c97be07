"""Averages of the weights: what they are, on any number of replicas, and where they take the weights' place."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.training.checkpoint_files import CheckpointFiles
from dlkit.training.checkpoints import Checkpoints
from dlkit.training.distribute import split_over_replicas
from dlkit.training.keep_best import KeepBest
from dlkit.training.strategies import resolve_strategy
from dlkit.training.trainer import Trainer


def falling(ema):
    """A network of one weight, 0, which falls by 1 in each step."""
    x = keras.Input((1,))
    answer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(x)
    trainer = Trainer(x, answer, ema=ema)
    trainer.compile(keras.optimizers.SGD(1.0), loss=lambda y, answers: answers, jit_compile=False)
    return trainer


def fit(trainer, steps, **options):
    ones = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.ones((2, 1)))).repeat()
    held_out = tf.data.Dataset.from_tensors((tf.ones((2, 1)), tf.ones((2, 1))))
    return trainer.fit(
        ones, steps_per_epoch=steps, shuffle=False, verbose=0, validation_data=held_out, **options
    ).history


@pytest.mark.parametrize(
    ("ema", "steps", "average"),
    [
        (0.999, 1, -0.9),  # 1/10 of 0, 9/10 of -1
        (0.999, 2, -1.8),  # 2/11 of -0.9, 9/11 of -2
        (0.999, 3, -2.7),  # 3/12 of -1.8, 9/12 of -3
        (0.15, 3, -2.82525),  # 0.15 of (0.15 of -0.9, 0.85 of -2), 0.85 of -3
        (0.05, 2, -1.9475),  # 0.05 of -0.95, 0.95 of -2
    ],
)
def test_the_average_of_a_weight_by_hand(ema, steps, average):
    trainer = falling(ema)
    history = fit(trainer, steps)
    assert trainer.averages[0].numpy().item() == pytest.approx(average, rel=1e-6)
    assert trainer.weights[0].numpy().item() == -steps  # the run goes on with its own
    assert history["val_loss"] == [pytest.approx(average, rel=1e-6)]


def test_the_averages_take_the_place_of_the_weights_once_at_the_end():
    trainer, best = falling(0.999), KeepBest("loss", 9)
    history = fit(trainer, 1, epochs=3, callbacks=[best])
    assert history["val_loss"] == pytest.approx([-0.9, -1.8, -2.7])
    assert best.best_weights[0].item() == pytest.approx(-2.7)
    assert trainer.get_weights()[0].item() == pytest.approx(-2.7)
    assert trainer.evaluate(tf.ones((2, 1)), tf.ones((2, 1)), verbose=0) == pytest.approx(-2.7)


def test_without_a_decay_nothing_is_averaged():
    trainer = falling(0.0)
    fit(trainer, 3)
    assert list(trainer.averages) == []
    trainer.keep_averages()
    assert trainer.get_weights()[0].item() == -3


def test_a_checkpoint_holds_the_averages_and_the_weights(tmp_path):
    files = CheckpointFiles(tmp_path, 2)
    trainer = falling(0.999)
    fit(trainer, 2, callbacks=[Checkpoints(files, 2, 1, None, {"fingerprint": "", "steps": 2, "validation": None})])
    checkpoint = files.newest()
    assert checkpoint.group("average")[0].item() == pytest.approx(-1.8)
    assert checkpoint.group("variable")[0].item() == -2
    other = falling(0.999)
    facts = {"fingerprint": "", "steps": 2, "validation": None}
    Checkpoints(files, 2, 1, None, facts).load(checkpoint, other)
    assert other.averages[0].numpy().item() == pytest.approx(-1.8)
    begun = falling(0.999)  # a run that had none before begins with its weights
    checkpoint.arrays = {name: array for name, array in checkpoint.arrays.items() if not name.startswith("average/")}
    Checkpoints(files, 2, 1, None, facts).load(checkpoint, begun)
    assert begun.averages[0].numpy().item() == -2


def normalized(strategy):
    """A network with statistics, after five steps; and every replica's averages."""
    keras.utils.set_random_seed(1)
    generator = np.random.default_rng(0)
    x = generator.normal(3.0, 2.0, (5, 7, 3)).astype("float32")
    with strategy.scope():
        inputs = keras.Input((3,))
        hidden = keras.layers.BatchNormalization(synchronized=True)(keras.layers.Dense(4)(inputs))
        trainer = Trainer(inputs, keras.layers.Dense(1)(keras.layers.Dropout(1e-9)(hidden)), rows=7, ema=0.9)
        trainer.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices((x, x.sum(axis=2, keepdims=True))).repeat()
    trainer.fit(split_over_replicas(batches, strategy), steps_per_epoch=5, shuffle=False, verbose=0)
    copies = [[copy.numpy() for copy in strategy.experimental_local_results(one)] for one in trainer.averages]
    return trainer, copies


def test_two_replicas_average_as_one_and_alike():
    one, alone = normalized(resolve_strategy("one").strategy)
    two, both = normalized(resolve_strategy("mirrored:2").strategy)
    assert len(alone) == len(one.averaged_variables) == 8  # two kernels and biases, scale, offset, mean, variance
    for (expected,), (first, second) in zip(alone, both, strict=True):
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, expected, rtol=0, atol=1e-5)
    with two.averaged():
        for variable, (first, _) in zip(two.averaged_variables, both, strict=True):
            np.testing.assert_array_equal(variable.numpy(), first)


def test_statistics_of_normalization_are_averaged_too():
    trainer, averages = normalized(resolve_strategy("one").strategy)
    places = [place for place, v in enumerate(trainer.averaged_variables) if v.name.startswith("moving_")]
    assert len(places) == 2
    for place in places:
        trained = trainer.averaged_variables[place].numpy()
        assert np.abs(averages[place][0] - trained).max() > 1e-3
    averaged = {id(variable) for variable in trainer.averaged_variables}
    assert [v.name for v in trainer.variables if id(v) not in averaged] == ["seed_generator_state"]


def test_a_run_without_validation_ends_with_its_averages():
    texts = {"text": ["nice", "dull"] * 20, "label": ["a", "b"] * 20}
    ended = []
    for ema in (0.0, 0.9):
        task = dlkit.SentimentClassifier(epochs=2, batch_size=8, ema=ema, validation_split=0.0)
        task.fit(texts, strategy="one", verbose=0)
        ended.append([variable.numpy() for variable in task.stages_.network.trainable_variables])
    assert any(np.abs(left - right).max() > 1e-4 for left, right in zip(*ended, strict=True))
