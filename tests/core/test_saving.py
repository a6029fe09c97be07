"""Saved models are replaced only if asked, wholly, by one at a time, and a reader never finds a half."""

import contextlib
import json
import math
import shutil

import keras
import pytest
from interrupt_training import InterruptTraining

import dlkit
from dlkit import DlkitError, model_folder
from dlkit.durable import LOCK_FILE, hold_lock
from dlkit.training.checkpoint_files import CheckpointFiles

HPARAMS = {"network": "mlp", "epochs": 2, "batch_size": 8, "character_ngrams": False}
STEPS = 8  # of a run: 32 rows
QUIET = {"verbose": 0, "strategy": "one", "checkpoint_every": 1}


def rows(first=0, count=32):
    sample = dlkit.SentimentClassifier.samples()["train"]
    return {name: list(values[first : first + count]) for name, values in sample.items()}


def task(**hparams):
    return dlkit.SentimentClassifier(**{**HPARAMS, **hparams})


class Trains(keras.callbacks.Callback):
    """Counts steps."""

    steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.steps += 1


def fit(folder, data=None, steps=None, **options):
    """Fits into a folder, stopped after some steps if given. Returns the steps that were trained."""
    hparams = {name: options.pop(name) for name in list(options) if name in ("learning_rate", "patience", "cache_mb")}
    counted = Trains()
    stop = [] if steps is None else [InterruptTraining(steps)]
    data, arguments = data or rows(), {"validation": rows(100, 16), "save": folder, **QUIET, **options}
    with pytest.raises(KeyboardInterrupt) if stop else contextlib.nullcontext():
        task(**hparams).fit(data, callbacks=[*stop, counted], **arguments)
    return counted.steps


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("models") / "finished"
    assert fit(folder) == STEPS
    return folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of the same run, stopped after a checkpoint."""
    folder = tmp_path_factory.mktemp("models") / "stopped"
    assert fit(folder, steps=5, resume="auto") == 5  # where there is nothing, it starts
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "m")


@pytest.fixture
def left(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "m")


def bytes_of(folder):
    model = dlkit.load(folder)  # whose random generators begin anew
    weights = [v.numpy().tobytes() for v in model.stages_.network.variables if v.name != "seed_generator_state"]
    return weights, model.history_


def test_save_refuses_to_replace_as_fit_does(copied):
    model, before = dlkit.load(copied), bytes_of(copied)
    (copied / "stages-mine").mkdir()  # somebody's own
    with pytest.raises(DlkitError, match=r"already holds a saved model.*overwrite=True"):
        model.save(copied)
    with pytest.raises(DlkitError, match=r"already holds a saved model.*overwrite=True"):
        fit(copied)
    model.save(copied, overwrite=True)
    assert bytes_of(copied) == before
    known = {"dlkit.json", "config.yaml", "stages", "checkpoints"}
    assert {path.name.partition("-")[0] for path in copied.iterdir()} == known
    assert len(list(copied.glob("stages-*"))) == 2
    assert (copied / "stages-mine").is_dir()


def test_two_at_once_are_refused_by_name(copied):
    model = dlkit.load(copied)
    with hold_lock(copied / LOCK_FILE):
        for write in (lambda: model.save(copied, overwrite=True), lambda: fit(copied, overwrite=True)):
            with pytest.raises(DlkitError, match=r"is being written by process \d+ on "):
                write()
    assert not (copied / LOCK_FILE).exists()


def test_a_model_that_is_replaced_while_it_is_read_is_read_again(copied, monkeypatch):
    other, read, times = dlkit.load(copied), model_folder._read_stages, []

    def replaced(folder, index, package):
        times.append(index["stages"])
        if len(times) < 3:
            other.save(folder, overwrite=True)
        return read(folder, index, package)

    monkeypatch.setattr(model_folder, "_read_stages", replaced)
    assert dlkit.load(copied).predict("good") == other.predict("good")
    assert len(set(times)) == 3
    shutil.rmtree(copied / times[-1])  # but one that is broken is told
    with pytest.raises(DlkitError, match="cannot be read"):
        dlkit.load(copied)


def test_an_overwrite_that_is_stopped_leaves_the_finished_model_and_can_go_on(copied):
    before = bytes_of(copied)
    fit(copied, steps=5, learning_rate=0.01, overwrite=True)
    assert bytes_of(copied) == before
    assert (copied / "run.json").is_file()
    assert fit(copied, learning_rate=0.01, resume=True) == STEPS - 4
    assert bytes_of(copied) != before
    assert dlkit.load(copied).learning_rate == 0.01
    assert len(list(copied.iterdir())) == 4  # index, options, stages and checkpoints


@pytest.mark.parametrize("layout", ["today's", "of before"])
def test_resume_auto_goes_on_and_ends_at_once(finished, left, capsys, layout):
    if layout == "of before":  # there was one index alone
        (left / "run.json").rename(left / "dlkit.json")
    with pytest.raises(DlkitError, match="holds an interrupted run"):
        dlkit.load(left)
    assert fit(left, resume="auto") == STEPS - 4
    assert bytes_of(left) == bytes_of(finished)
    index = (left / "dlkit.json").read_bytes()
    assert fit(left, resume="auto" if layout == "today's" else True, cache_mb=1, verbose=2) == 0
    assert "is finished: nothing is left to train" in capsys.readouterr().out
    assert (left / "dlkit.json").read_bytes() == index


@pytest.mark.parametrize("kind", ["left", "copied"])
def test_resume_auto_refuses_other_options_and_data(request, kind):
    folder = request.getfixturevalue(kind)
    with pytest.raises(DlkitError, match=r"started with learning_rate=0.002, not 0.5"):
        fit(folder, learning_rate=0.5, resume="auto")
    with pytest.raises(DlkitError, match="started with other training data"):
        fit(folder, rows(40), resume="auto")
    with pytest.raises(DlkitError, match="started with other validation data"):
        fit(folder, validation=rows(120, 16), resume="auto")


def test_with_overwrite_another_run_is_replaced_where_it_would_be_refused(copied):
    assert fit(copied, resume="auto", overwrite=True) == 0
    assert fit(copied, rows(40), resume="auto", overwrite=True) == STEPS


def test_a_finished_run_without_checkpoints_is_not_trained_as_if_it_had_just_begun(copied):
    CheckpointFiles(copied / "checkpoints", 1).clear()
    assert fit(copied, resume="auto") == 0
    with pytest.raises(DlkitError, match="has no checkpoint to resume from"):
        fit(copied, resume="auto", patience=5)


def test_other_words_for_resume(tmp_path):
    with pytest.raises(DlkitError, match=r'`resume` must be True, False or "auto". Received: \'yes\''):
        fit(tmp_path / "m", resume="yes")


def test_a_finished_run_is_known_by_hyperparameters_that_json_writes_as_lists(tmp_path):
    from types import SimpleNamespace

    from dlkit.training.fit import Run, _is_done

    task = dlkit.Forecaster(quantile_levels=(0.1, 0.5, 0.9))
    names = ["preprocess", "network", "postprocess"]
    index = {
        "format": 2,
        "finished": True,
        "stages": "stages-1",
        "names": names,
        "dlkit": "",
        "task": "forecasting",
        "fitted": {},
    }
    (tmp_path / "dlkit.json").write_text(json.dumps({**index, "hparams": task.hparams}))
    run = Run(SimpleNamespace(is_chief=True), 0.0, save=tmp_path, resume=True)
    assert _is_done(task, run)
    assert not _is_done(dlkit.Forecaster(quantile_levels=(0.2, 0.5)), run)


def test_a_metric_that_some_epochs_lack_is_null_in_the_file(text_model, tmp_path):
    model = dlkit.load(text_model)
    model.history_ = {**model.history_, "val_skill": [math.nan, 0.5]}
    model.save(tmp_path / "model")
    saved = json.loads((tmp_path / "model" / "dlkit.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert saved["fitted"]["history_"]["val_skill"] == [None, 0.5]
    first, second = dlkit.load(tmp_path / "model").history_["val_skill"]
    assert math.isnan(first)
    assert second == 0.5


def test_signatures_are_made_again_once_the_task_is_calibrated(text_model):
    model = dlkit.load(text_model)
    before = model.served()
    assert model.served() is before
    model.calibration_ = {"widths": [1.0]}
    after = model.served()
    assert after is not before
    assert model.served() is after
