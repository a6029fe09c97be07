"""Training goes on from a model: on other data, with new labels, stopped and resumed, or refused."""

import shutil

import numpy as np
import pytest
from interrupt_training import InterruptTraining

import dlkit
from dlkit.cli.main import main
from dlkit.errors import DlkitError

HPARAMS = {"network": "cnn", "tokens": "words", "embedding": 8, "max_tokens": 8, "epochs": 2, "batch_size": 8,
         "validation_split": 0.0}  # fmt: skip
WORDS = {"bad": "dull weak poor grim", "good": "fine warm bright kind", "neutral": "plain usual average same"}


def texts(*labels, count=24, seed=0):
    generator = np.random.default_rng(seed)
    chosen = [labels[number % len(labels)] for number in range(count)]
    return {"text": [" ".join(generator.choice(WORDS[label].split(), 4)) for label in chosen], "label": chosen}


def weights(task):
    return [variable.numpy() for variable in task.stages_.network.variables]


def same(left, right):
    return all(np.array_equal(one, other) for one, other in zip(weights(left), weights(right), strict=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "old"
    dlkit.SentimentClassifier(**HPARAMS).fit(texts("bad", "good"), save=folder, verbose=0)
    return folder


def going_on(**hparams):
    return dlkit.SentimentClassifier(**{**HPARAMS, **hparams})


@pytest.mark.slow
def test_at_a_rate_of_zero_the_answers_are_the_models_and_words_stay_known(model):
    task, old = going_on(learning_rate=0.0), dlkit.load(model)
    other = {"text": ["strange new words", *texts("bad", "good")["text"]], "label": ["bad", *["bad", "good"] * 12]}
    task.fit(other, init_from=model, verbose=0)
    asked = texts("bad", "good", seed=3)["text"]
    assert task.predict(asked) == old.predict(asked)
    assert task.init_from_ == {"model": "old", "new_labels": []}
    assert len(task.history_["loss"]) == 2
    assert old.evaluate(other)["accuracy"] == task.evaluate(other)["accuracy"]


def test_new_labels_are_learned_beside_the_models_own_and_said(model, capfd):
    task = going_on(epochs=12, learning_rate=2e-2)
    task.fit(texts("neutral", "good", "bad", count=48), init_from=str(model))
    assert "is initialized from old, with its 2 labels and 1 new ones: 'neutral'" in capfd.readouterr().err
    assert task.labels_ == ["bad", "good", "neutral"]  # new ones come last
    assert task.evaluate(texts("good", "neutral", "bad", seed=5))["accuracy"] > 0.9
    assert any("1 new ones" in remark for remark in task.report_["remarks"])


@pytest.mark.slow
def test_it_goes_on_from_a_fitted_task_which_stays_as_it_was_and_may_be_itself(model):
    old = dlkit.load(model)
    before = weights(old)
    task = going_on()
    task.fit(texts("bad", "good"), init_from=old, verbose=0)
    assert all(np.array_equal(one, other) for one, other in zip(before, weights(old), strict=True))
    assert not same(task, old)
    old.fit(texts("bad", "good"), init_from=old, verbose=0)
    assert same(task, old)  # both began alike


def test_a_run_that_goes_on_is_resumed_to_the_bit_without_its_model(model, tmp_path):
    options = {"verbose": 0, "strategy": "one", "checkpoint_every": 1}
    data = texts("bad", "good", "neutral")
    whole = going_on(seed=4)
    whole.fit(data, init_from=model, verbose=0, strategy="one")
    gone = tmp_path / "gone"
    shutil.copytree(model, gone)
    with pytest.raises(KeyboardInterrupt):
        going_on(seed=4).fit(data, init_from=gone, save=tmp_path / "run", callbacks=[InterruptTraining(4)], **options)
    shutil.rmtree(gone)
    resumed = going_on(seed=4)
    resumed.fit(data, save=tmp_path / "run", resume=True, **options)
    assert same(resumed, whole)
    assert resumed.labels_ == ["bad", "good", "neutral"]
    loaded = dlkit.load(tmp_path / "run")
    assert loaded.init_from_ == {"model": "gone", "new_labels": ["neutral"]}
    assert loaded.predict("plain same") == whole.predict("plain same")


@pytest.mark.slow
def test_changes_on_the_way_keep_the_models_words_or_are_refused(model, tmp_path):
    options = {"verbose": 0, "strategy": "one", "checkpoint_every": 1, "save": tmp_path / "run"}
    data = texts("good", "bad", "neutral")
    with pytest.raises(KeyboardInterrupt):
        going_on().fit(data, init_from=model, callbacks=[InterruptTraining(4)], **options)
    with pytest.raises(DlkitError, match="was initialized from old: embedding would change its network"):
        going_on(embedding=16).fit(data, resume=True, allow_changes=True, **options)
    task = going_on(learning_rate=1e-4)
    task.fit(data, resume=True, allow_changes=True, **options)
    assert task.labels_ == ["bad", "good", "neutral"]
    old, new = (each.stages_.preprocess for each in (dlkit.load(model), task))
    assert old.get_config() == new.get_config()


def test_what_cannot_go_on_is_refused_with_what_differs(model, tmp_path):
    data = texts("bad", "good")
    refused = {
        "embedding=8, not 16": lambda: going_on(embedding=16).fit(data, init_from=model),
        "holds a model of the task 'sentiment', not 'translation'": lambda: dlkit.Translator().fit(
            {"source": ["a"], "target": ["b"]}, init_from=model
        ),
        "is not a saved model": lambda: going_on().fit(data, init_from=tmp_path),
        "is not fitted": lambda: going_on().fit(data, init_from=going_on()),
        "is a model of the task 'translation'": lambda: going_on().fit(data, init_from=dlkit.Translator()),
    }
    for words, call in refused.items():
        with pytest.raises(DlkitError, match=words if "translation'" not in words or "holds" in words else "fitted"):
            call()


@pytest.mark.slow
def test_the_command_takes_the_models_own_hyperparameters(model, tmp_path, capfd):
    data = tmp_path / "new.csv"
    rows = texts("bad", "neutral")
    lines = [f"{text},{label}\n" for text, label in zip(rows["text"], rows["label"], strict=True)]
    data.write_text("".join(["text,label\n", *lines]))
    flags = ["--data", str(data), "--init-from", str(model), "--epochs", "1", "--save", str(tmp_path / "new")]
    assert main(["train", "sentiment", *flags]) == 0
    assert "1 new ones: 'neutral'" in capfd.readouterr().err
    task = dlkit.load(tmp_path / "new")
    assert task.hparams == {**dlkit.load(model).hparams, "epochs": 1}
    assert task.labels_ == ["bad", "good", "neutral"]
    assert main(["train", "sentiment", *flags, "--resume", "auto"]) == 0  # finished: there is nothing left
    assert main(["train", "sentiment", *flags[:-1], str(tmp_path / "other"), "--network", "gru"]) == 2
    assert "network='cnn', not 'gru'" in capfd.readouterr().err
