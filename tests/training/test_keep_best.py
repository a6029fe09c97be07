"""The epoch that a run keeps, when it stops, and how good the kept model is said to be."""

import contextlib
import json

import keras
import numpy as np
import pytest

import dlkit
from dlkit.cli.show import show_history
from dlkit.errors import DataError
from dlkit.serving.verify import read_contract
from dlkit.training.keep_best import KeepBest
from dlkit.training.trainer import Trainer

TEXTS = {"text": ["nice", "dull"] * 20, "label": ["a", "b"] * 20}
FIT = {"verbose": 0, "strategy": "one"}


class Epochs:
    """A network whose one weight is the epoch, told what validation found after each."""

    def __init__(self, stopping):
        self.stopping, self.stop_training, self.weights = stopping, False, [np.array(-1)]
        stopping.set_model(self)

    def averaged(self):
        return contextlib.nullcontext()

    def keep_averages(self):
        pass

    def get_weights(self):
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights):
        self.weights = weights

    def run(self, found, first=0):
        """Returns the epochs done and the weight of the end."""
        for epoch, (accuracy, loss) in enumerate(found, start=first):
            self.weights = [np.array(epoch)]
            self.stopping.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": loss, "loss": 1.0})
            if self.stop_training:
                break
        self.stopping.on_train_end()
        return epoch + 1, int(self.weights[0])


@pytest.mark.parametrize(
    ("found", "patience", "done", "kept"),
    [
        ([(0.9, 0.5), (0.9, 0.3), (0.9, 0.4)], 9, 3, 1),  # a tie
        ([(0.9, 0.5), (0.9, 0.4), (0.9, 0.3), (0.9, 0.2)], 1, 4, 3),  # an epoch that improves the loss alone counts
        ([(0.9, 0.2), (0.9, 0.4), (0.9, 0.3), (0.9, 0.1)], 2, 3, 0),
        ([(0.8, 0.2), (0.9, 0.4), (0.8, 0.1)], 9, 3, 1),  # the metric comes first
        ([(np.nan, np.nan), (0.2, 0.9), (0.1, 0.9)], 9, 3, 1),
    ],
)
def test_the_best_of_a_tie_is_kept(found, patience, done, kept):
    assert Epochs(KeepBest("accuracy", patience)).run(found) == (done, kept)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_what_was_put_back_goes_on_as_if_never_stopped(cut):
    found = [(0.8, 0.9), (0.9, 0.5), (0.9, 0.3), (0.9, 0.4), (0.9, 0.35), (0.9, 0.2)]
    whole = Epochs(KeepBest("accuracy", 2)).run(found)
    assert whole == (5, 2)
    first, second = KeepBest("accuracy", 2), KeepBest("accuracy", 2)
    Epochs(first).run(found[:cut])
    second.restore(json.loads(json.dumps(first.state())), first.best_weights)
    assert Epochs(second).run(found[cut:], first=cut) == whole


def test_epochs_that_were_not_measured_are_neither_better_nor_the_last_to_wait_for():
    epochs = Epochs(KeepBest("accuracy", 3))
    stopping = epochs.stopping
    for epoch, accuracy in enumerate([None, 0.5, None, None, None, 0.4]):
        epochs.weights = [np.array(epoch)]
        stopping.on_epoch_end(epoch, {"val_loss": 1.0} | ({} if accuracy is None else {"val_accuracy": accuracy}))
        assert epochs.stop_training == (epoch == 5)  # four epochs after the best one; none is judged unmeasured
    assert stopping.best_epoch == 1


def test_the_state_of_a_checkpoint_is_restored():
    stopping = KeepBest("accuracy", 2)
    stopping.restore({"wait": 1.0, "best": 0.9, "best_loss": 0.1, "best_epoch": 3.0}, [np.array(3)])
    assert Epochs(stopping).run([(0.8, 0.1)], first=4) == (5, 3)


def tie(monkeypatch, losses):
    """Makes the epochs of a run tie in `accuracy`, with these losses."""
    evaluate, calls = Trainer.evaluate, []

    def told(self, *given, **options):
        found = evaluate(self, *given, **options)
        if not options.get("_use_cached_eval_dataset"):
            return found
        calls.append(0.5)
        return {**found, "accuracy": 0.5, "loss": losses[len(calls) - 1]}

    monkeypatch.setattr(Trainer, "evaluate", told)


def test_all_that_name_the_kept_epoch_agree(monkeypatch, tmp_path, capsys):
    tie(monkeypatch, [0.5, 0.2, 0.3])
    task = dlkit.SentimentClassifier(epochs=3)
    task.fit(TEXTS, TEXTS, save=tmp_path / "model", **FIT)
    assert task.history_["val_accuracy"] == [0.5] * 3
    assert task.best_epoch_["epoch"] == 2
    show_history(task)
    assert capsys.readouterr().out == "3 epochs, best epoch 2: val_accuracy 0.5000\n"
    assert read_contract(task.export(tmp_path / "served"))["metrics"]["val_loss"] == 0.2
    assert dlkit.load(tmp_path / "model").best_epoch_ == task.best_epoch_


def test_a_model_that_is_no_better_than_the_baseline_is_said(capsys):
    task = dlkit.SentimentClassifier(epochs=1, learning_rate=0.0)
    task.fit({"text": ["x"] * 60, "label": ["a", "a", "b"] * 20}, strategy="one", verbose=2)
    name, base = "accuracy", "baseline_accuracy"
    assert task.best_epoch_[name] <= task.best_epoch_[base]
    assert task.best_epoch_["rows"] == 6
    said = capsys.readouterr().err
    assert said.count("no better than the baseline") == 1
    assert f"{name} {task.best_epoch_[name]:.4f}, {base} {task.best_epoch_[base]:.4f}, on 6 validation rows" in said


def test_a_model_that_learned_is_not_blamed(capsys):
    task = dlkit.SentimentClassifier(epochs=6, learning_rate=0.05)
    task.fit(TEXTS, TEXTS, strategy="one", verbose=2)
    assert "baseline" not in capsys.readouterr().err
    assert task.best_epoch_ == {
        "epoch": task.best_epoch_["epoch"],
        "accuracy": 1.0,
        "baseline_accuracy": 0.5,
        "rows": 40,
    }


def test_without_validation_data_there_is_nothing_to_compare(capsys):
    task = dlkit.SentimentClassifier(epochs=2, validation_split=0.0)
    task.fit(TEXTS, strategy="one", verbose=2)
    assert task.best_epoch_ == {"epoch": 2}
    assert "baseline" not in capsys.readouterr().err


@pytest.mark.slow
def test_at_most_256_rows_are_compared_and_none_that_cannot_be_read(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(4):
            image = np.full((8, 8, 3), 200 if label == "a" else 20, np.uint8)
            keras.utils.save_img(tmp_path / label / f"{number}.png", image)
    (tmp_path / "b" / "3.png").write_bytes(b"hello")
    task = dlkit.ImageClassifier(network="mlp", epochs=1)
    task.fit(str(tmp_path), str(tmp_path), **FIT)
    assert task.best_epoch_["rows"] == 7
    many = {"text": TEXTS["text"] * 10, "label": TEXTS["label"] * 10}
    task = dlkit.SentimentClassifier(epochs=1)
    task.fit(TEXTS, many, **FIT)
    assert task.best_epoch_["rows"] == 256


# Fewer rows than a batch.


def test_fewer_rows_than_a_batch_are_one_batch_and_it_is_said_once(capsys):
    task = dlkit.SentimentClassifier(epochs=2)
    few = {name: values[:10] for name, values in TEXTS.items()}
    assert len(task.fit(few, strategy="one", verbose=2)["loss"]) == 2
    said = "9 training rows are fewer than the batch size of 64: each step uses all of them"
    assert capsys.readouterr().err.count(said) == 1
    task.fit(few, **FIT)
    assert capsys.readouterr().err == ""
    assert task.report_["remarks"].count(said) == 1


@pytest.mark.slow
def test_each_replica_needs_two_rows():
    few = {name: values[:3] for name, values in TEXTS.items()}
    task = dlkit.SentimentClassifier(epochs=1)
    with pytest.raises(DataError, match="3 training rows are fewer than 4, two for each of the 2 replicas"):
        task.fit(few, TEXTS, strategy="mirrored:2", verbose=0)
    four = {name: values[:4] for name, values in TEXTS.items()}
    assert len(task.fit(four, TEXTS, strategy="mirrored:2", verbose=0)["loss"]) == 1
