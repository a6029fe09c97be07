"""Runs are stopped at any step and go on: what is written, when, what is read back, and what is refused."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from interrupt_training import InterruptTraining

import dlkit
from dlkit import DlkitError
from dlkit.errors import HparamError, Preempted
from dlkit.training import checkpoints
from dlkit.training.checkpoint_files import Checkpoint, CheckpointFiles
from dlkit.training.checkpoints import Checkpoints
from dlkit.training.fit import parse_interval
from dlkit.training.trainer import Trainer

STEPS = 5  # of an epoch: 40 rows, 8 a batch
HPARAMS = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "schedule": "constant", "validation_split": 0.0,
         "character_ngrams": False}  # fmt: skip
EVERY = {"verbose": 0, "strategy": "one", "checkpoint_every": 1}


def task_of(**hparams):
    return dlkit.SentimentClassifier(**{**HPARAMS, **hparams})


def names(folder):
    return [path.name for path in sorted(folder.iterdir())]


def name_of(step):
    return f"step-{step:012d}.npz"


# Files.


def checkpoint_of(step):
    generator = np.random.default_rng(step)
    arrays = {f"variable/{n}": generator.normal(size=(2, 3)).astype("float32") for n in range(11)}
    return Checkpoint({"step": step, "history": {"loss": [0.5]}}, {**arrays, "best/0": np.arange(4)})


@pytest.fixture
def files(tmp_path):
    """The files of a run that has written the checkpoints of steps 7 and 12, and keeps two."""
    files = CheckpointFiles(tmp_path / "checkpoints", 2)
    for step in (7, 12):
        files.write(step, checkpoint_of(step))
    return files


def same(left, right):
    return (
        left.state == right.state
        and left.arrays.keys() == right.arrays.keys()
        and all(np.array_equal(left.arrays[name], right.arrays[name]) for name in left.arrays)
    )


def test_a_checkpoint_comes_back_whole(files):
    got = files.newest()
    assert same(got, checkpoint_of(12))
    for number, array in enumerate(got.group("variable")):
        np.testing.assert_array_equal(array, checkpoint_of(12).arrays[f"variable/{number}"])
    assert len(got.group("variable")) == 11
    assert got.group("metric") == []


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_few_are_kept(tmp_path, keep):
    files = CheckpointFiles(tmp_path, keep)
    for step in (2, 10, 9_999, 10_000, 123_456_789):
        files.write(step, checkpoint_of(step))
        assert same(files.newest(), checkpoint_of(step))
    assert names(tmp_path) == [name_of(step) for step in (9_999, 10_000, 123_456_789)[-keep:]]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_run_that_went_back_goes_on_from_what_it_wrote_last(tmp_path, keep):
    files = CheckpointFiles(tmp_path, keep)
    for step in (7, 12, 8):  # other data, allowed: the interrupted epoch began again
        files.write(step, checkpoint_of(step))
    assert same(files.newest(), checkpoint_of(8))


def test_without_files_there_is_no_checkpoint(tmp_path):
    assert CheckpointFiles(tmp_path, 2).newest() is None
    assert CheckpointFiles(tmp_path / "nowhere", 2).newest() is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: .*step-000000000020.npz was not written"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot write .*Permission denied"),
    ],
)
@pytest.mark.parametrize("at", ["arrays", "sync", "rename"])
def test_a_failing_write_leaves_the_ones_before(monkeypatch, files, error, said, at):
    def fail(*given, **options):
        if at == "arrays":
            given[0].write(b"PK half of it")
        raise error

    owner, name = {"arrays": (np, "savez"), "sync": (os, "fsync"), "rename": (Path, "replace")}[at]
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, fail)
        with pytest.raises(DlkitError, match=said):
            files.write(20, checkpoint_of(20))
    assert names(files.folder) == [name_of(7), name_of(12)]
    assert same(files.newest(), checkpoint_of(12))


def test_what_a_kill_left_half_written_is_ignored_then_removed(monkeypatch, files):
    def killed(file, **options):
        file.write(b"PK half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(np, "savez", killed)
        files.write(20, checkpoint_of(20))
    *whole, partial = names(files.folder)
    assert whole == [name_of(7), name_of(12)]
    assert re.fullmatch(r"step-000000000020\.npz\.[0-9a-f]{8}\.partial", partial)
    (files.folder / "notes.partial").touch()  # somebody's own
    assert same(files.newest(), checkpoint_of(12))
    files.write(15, checkpoint_of(15))
    assert names(files.folder) == ["notes.partial", name_of(12), name_of(15)]
    files.clear()
    assert names(files.folder) == ["notes.partial"]


def truncated(data):
    return data[: len(data) // 2]


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGES = [truncated, flipped, lambda data: b"", lambda data: b"hello", lambda data: data[100:], lambda data: data[:-1]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_checkpoint_gives_way_to_the_one_before(files, capsys, damage):
    newest = files.folder / name_of(12)
    newest.write_bytes(damage(newest.read_bytes()))
    assert same(files.newest(), checkpoint_of(7))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{newest} is corrupt: ")
    assert line.endswith(f". Resuming from {name_of(7)}, the previous one.")
    before = files.folder / name_of(7)
    before.write_bytes(damage(before.read_bytes()))
    with pytest.raises(DlkitError, match="no checkpoint can be read") as raised:
        files.newest()
    for path in (newest, before):
        assert f"{path} is corrupt: " in str(raised.value)
    assert "Start over with overwrite=True" in str(raised.value)


def test_whichever_bit_is_flipped_no_checkpoint_is_read_as_another(tmp_path, capsys):
    files, before, newest = CheckpointFiles(tmp_path, 2), Checkpoint({"step": 1}, {}), Checkpoint({"step": 2}, {})
    files.write(1, before)
    files.write(2, newest)
    path, wrong = tmp_path / name_of(2), []
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            try:
                got = files.newest()
            except Exception as error:  # any at all: the run would end where it could have gone on
                wrong.append((place, bit, repr(error)))
                continue
            if not same(got, newest) and not same(got, before):
                wrong.append((place, bit, got))
    capsys.readouterr()
    assert not wrong


@pytest.mark.parametrize("drop", ["variable/10", "best/0", "state"])
def test_an_array_that_the_list_of_the_file_lacks_or_has_too_much_is_no_checkpoint(files, capsys, drop):
    newest = files.folder / name_of(12)
    with np.load(newest) as file:
        arrays = {name: file[name] for name in file.files}
    fewer = {name: array for name, array in arrays.items() if name != drop}
    for changed in (fewer, {**arrays, "best/1": arrays[drop]}):
        np.savez(newest, **changed)
        assert same(files.newest(), checkpoint_of(7))
    assert capsys.readouterr().err.count("Resuming from") == 2


# When they are written.


@pytest.mark.parametrize(
    ("given", "read"), [("200", 200), (200, 200), ("0", 0), ("10m", 600.0), ("0.5m", 30.0), ("2min", 120.0)]
)
def test_intervals_are_steps_or_minutes(given, read):
    got = parse_interval(given)
    assert got == read
    assert type(got) is type(read)


@pytest.mark.parametrize("given", ["0m", "0.0m", "x", "", "-3", -3, "-3m", "1.5", "10 m", "10s", "m"])
def test_intervals_that_are_none(given):
    with pytest.raises(
        HparamError, match=r"`checkpoint_every` must be a number of steps such as 200, or minutes.*Received: "
    ):
        parse_interval(given)


class Clock:
    """Stands in for the time and for the files: a checkpoint takes a second."""

    def __init__(self):
        self.now = 100.0
        self.written = []

    def perf_counter(self):
        return self.now

    def write(self, step, checkpoint):
        assert checkpoint.state["step"] == step
        self.written.append(step)
        self.now += 1.0


@pytest.fixture
def simulated(monkeypatch):
    """Makes the callback of a run of epochs of 4 steps, and goes through the run by a clock of its own."""
    clock = Clock()
    monkeypatch.setattr(checkpoints, "time", clock)
    x = keras.Input((1,))
    trainer = Trainer(x, keras.layers.Dense(1)(x))
    trainer.compile(keras.optimizers.SGD(), loss="mse", jit_compile=False)

    def simulated(every, seconds, epochs, stop_at=None):
        callback = Checkpoints(clock, 4, every, None, {})
        callback.set_model(trainer)
        callback.on_train_begin()
        for epoch in range(epochs):
            callback.on_epoch_begin(epoch)
            for batch in range(4):
                callback.on_train_batch_begin(batch)
                if 4 * epoch + batch == stop_at:
                    callback.request_stop()
                clock.now += seconds
            callback.on_epoch_end(epoch, {"loss": 1.0})
        assert callback.history == {"loss": [1.0] * epochs}
        return clock.written

    simulated.clock = clock
    return simulated


@pytest.mark.parametrize(
    ("every", "seconds", "written"),
    [
        (
            0,
            2.5,
            [4, 20],
        ),  # the first, then by what it cost: a second after 40 seconds is 2.5 %, after 30 it would be 3.3 %
        (0, 10.0, [4, 8, 12, 16, 20, 24, 28, 32]),  # 2.5 % after each epoch
        (0, 0.5, [4]),
        (3, 0.5, [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]),
        (8, 100.0, [8, 16, 24, 32]),
        (20.0, 4.0, [5, 10, 15, 20, 25, 30]),  # whatever they cost
    ],
)
def test_checkpoints_come_when_asked_or_for_3_percent_of_the_time(simulated, every, seconds, written):
    assert simulated(every, seconds, epochs=8) == written


@pytest.mark.parametrize(("at", "step"), [(5, 6), (7, 8)])
def test_a_run_that_is_told_to_stop_ends_after_that_step_with_a_checkpoint(simulated, at, step):
    with pytest.raises(Preempted) as raised:
        simulated(0, 0.5, epochs=8, stop_at=at)
    assert (raised.value.code, raised.value.step) == (143, step)
    assert simulated.clock.written == [4, step]


# Runs.


@pytest.fixture(scope="module")
def rows():
    """40 short texts."""
    sample = dlkit.SentimentClassifier.samples()["train"]
    return {name: list(values[:40]) for name, values in sample.items()}


def stopped(folder, rows, step, **hparams):
    with pytest.raises(KeyboardInterrupt):
        task_of(**hparams).fit(rows, save=folder, callbacks=[InterruptTraining(step)], **EVERY)
    return folder


@pytest.fixture(scope="module")
def stopped_run(rows, tmp_path_factory):
    """The folder of a run of 10 steps, stopped after 7 and a little."""
    return stopped(tmp_path_factory.mktemp("runs") / "stopped", rows, 8)


@pytest.fixture
def copied(stopped_run, tmp_path):
    """A copy of the stopped run, to go on with."""
    return shutil.copytree(stopped_run, tmp_path / "run")


@pytest.mark.parametrize("option", [{"resume": True}, {"checkpoint_every": "10m"}, {"nan_retries": 1}])
def test_options_that_need_a_folder(rows, option):
    with pytest.raises(DlkitError, match=f"`{next(iter(option))}` needs `save`"):
        task_of().fit(rows, **{"strategy": "one", "verbose": 0, **option})


def test_no_checkpoint_at_all_cannot_be_kept(rows, tmp_path):
    with pytest.raises(HparamError, match=r"`max_checkpoints` must be at least 1 checkpoint. Received: 0"):
        task_of().fit(rows, save=tmp_path / "m", max_checkpoints=0, **EVERY)
    assert not (tmp_path / "m").exists()


def test_a_run_goes_on_from_the_checkpoint_before_a_broken_one(rows, copied, tmp_path, capsys):
    assert names(copied / "checkpoints") == [name_of(6), name_of(7)]
    newest = copied / "checkpoints" / name_of(7)
    whole = CheckpointFiles(copied / "checkpoints", 2).newest()
    newest.write_bytes(truncated(newest.read_bytes()))
    first = []

    class Look(InterruptTraining):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_begin(self, batch, logs=None):
            first.append(self.epoch * STEPS + batch)
            super().on_train_batch_begin(batch)

    with pytest.raises(KeyboardInterrupt):
        task_of().fit(rows, save=copied, resume=True, callbacks=[Look(2)], **EVERY)
    assert first[0] == 6
    assert f"{newest} is corrupt: " in capsys.readouterr().err
    assert same(CheckpointFiles(copied / "checkpoints", 2).newest(), whole)  # as if it had never been broken


def other(rows):
    return {name: [*values[1:], values[0]] for name, values in rows.items()}


def test_other_data_are_refused_or_allowed(rows, copied):
    before = CheckpointFiles(copied / "checkpoints", 2).newest()
    with pytest.raises(DlkitError, match=r"started with other training data.*overwrite=True.*allow_changes=True"):
        task_of().fit(other(rows), save=copied, resume=True, **EVERY)
    assert same(CheckpointFiles(copied / "checkpoints", 2).newest(), before)
    callbacks = [InterruptTraining(2)]  # the second epoch began again: stopped in its middle, as before
    with pytest.raises(KeyboardInterrupt):
        task_of().fit(other(rows), save=copied, resume=True, allow_changes=True, callbacks=callbacks, **EVERY)
    history = task_of().fit(other(rows), save=copied, resume=True, **EVERY)  # which are now this run's data
    assert len(history["loss"]) == 2
    assert history["loss"][0] == before.state["history"]["loss"][0]


def test_other_hparams_are_refused_by_name(rows, copied):
    with pytest.raises(
        DlkitError, match=r"started with .*Resume with the same hyperparameters.*allow_changes=True"
    ) as raised:
        task_of(learning_rate=0.5, epochs=7, seed=3).fit(rows, save=copied, resume=True, **EVERY)
    for said in ("learning_rate=0.001, not 0.5", "epochs=2, not 7", "seed=0, not 3"):
        assert said in str(raised.value)
    assert str(raised.value).count(", not ") == 3


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_new_learning_rate_is_really_used(rows, copied, tmp_path, schedule):
    if schedule != "constant":
        copied = stopped(tmp_path / schedule, rows, 8, schedule=schedule)
    before = CheckpointFiles(copied / "checkpoints", 2).newest()
    task = task_of(learning_rate=0.0, schedule=schedule)
    task.fit(rows, save=copied, resume=True, allow_changes=True, **EVERY)
    network = task.stages_.network
    moved = [
        not np.array_equal(variable.numpy(), array)
        for variable, array in zip(network.variables, before.group("variable"), strict=False)
        if variable.trainable
    ]
    assert moved
    assert not any(moved)
    assert dlkit.load(copied).learning_rate == 0.0


def test_other_batches_go_on_where_the_epoch_was(rows, copied):
    history = task_of(batch_size=4).fit(rows, save=copied, resume=True, allow_changes=True, **EVERY)
    assert len(history["loss"]) == 2  # 10 steps an epoch now; one epoch was done


class Poison(keras.callbacks.Callback):
    """Makes a weight NaN before a step, once; notes the learning rate of the steps."""

    def __init__(self, step):
        super().__init__()
        self.step, self.rates = step, []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))
        if len(self.rates) == self.step + 1:
            kernel = self.model.trainable_variables[-1]
            kernel.assign(np.full(kernel.shape, np.nan))


@pytest.mark.parametrize("retries", [0, 1])
def test_a_nan_loss_goes_back_with_half_the_learning_rate(rows, tmp_path, capsys, retries):
    model, task, poison = tmp_path / "m", task_of(), Poison(7)
    options = {**EVERY, "checkpoint_every": 3, "save": model, "callbacks": [poison], "nan_retries": retries}
    said = r"step 8 \(epoch 2, batch 3 of 5\) is not a finite number, at a learning rate of 0\.001\. Its 8 rows begin"
    if not retries:
        with pytest.raises(DlkitError, match=said):
            task.fit(rows, **options)
        assert names(model / "checkpoints") == [name_of(3), name_of(6)]  # step 9 was due, and had NaN in it
        return
    history = task.fit(rows, **options)
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert "Retrying from the last good checkpoint, with learning_rate=0.0005." in error
    assert len(history["loss"]) == 2
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(variable.numpy()).all() for variable in task.stages_.network.weights)
    assert dlkit.load(model).learning_rate == task.learning_rate == 0.0005
    np.testing.assert_allclose(poison.rates[-4:], 0.0005)  # steps 7 to 10


def test_sigterm_ends_a_run_with_143_and_it_goes_on(run, rows, tmp_path):
    data, model = tmp_path / "texts.csv", tmp_path / "model"
    lines = [f'"{text.replace(chr(34), "")}",{label}' for text, label in zip(rows["text"], rows["label"], strict=True)]
    data.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    argv = ["train", "sentiment", "--data", data, "--save", model, "--epochs", 40, "--batch-size", 8,
            "--validation-split", 0, "--no-character-ngrams", "--checkpoint-every", "60m"]  # fmt: skip
    child = subprocess.Popen(
        [sys.executable, "-m", "dlkit", *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        for line in child.stdout:
            if line.startswith("Epoch 3/"):
                child.send_signal(signal.SIGTERM)
                break
        printed = child.communicate(timeout=120)[0]
    finally:
        child.kill()
    assert child.returncode == 143, printed
    assert "Traceback" not in printed
    done = CheckpointFiles(model / "checkpoints", 2).newest().state
    assert names(model / "checkpoints") == [name_of(done["step"])]  # of the step at which the signal came
    assert f"stopped by SIGTERM after step {done['step']}, which is saved" in printed
    assert 2 * STEPS <= done["step"] < 40 * STEPS
    assert len(done["history"]["loss"]) == done["step"] // STEPS
    run(*argv, "--resume")
    losses = dlkit.load(model).history_["loss"]
    assert len(losses) == 40
    assert losses[: done["step"] // STEPS] == done["history"]["loss"]


class StopAfter(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_a_resumed_run_answers_with_what_it_learned_where_answers_take_another_way(tmp_path):
    """`test_time_flip` answers by `decode`, a model around the network, of which a file holds a copy."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (40, 8, 8, 1), np.uint8), np.arange(40) % 2
    hparams = {"network": "mlp", "epochs": 2, "batch_size": 8, "test_time_flip": True, "validation_split": 0.0}
    whole, stopped, resumed = (dlkit.ImageClassifier(**hparams) for _ in range(3))
    whole.fit((images, labels), save=tmp_path / "whole", **EVERY)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit((images, labels), save=tmp_path / "run", callbacks=[StopAfter()], **EVERY)
    resumed.fit((images, labels), save=tmp_path / "run", resume=True, **EVERY)
    expected = [answer["scores"] for answer in whole.predict(list(images[:4]))]
    assert [answer["scores"] for answer in resumed.predict(list(images[:4]))] == expected
    assert [answer["scores"] for answer in dlkit.load(tmp_path / "run").predict(list(images[:4]))] == expected
