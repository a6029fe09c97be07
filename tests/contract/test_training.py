"""The same seed gives the same run; a stopped run goes on where it was; nothing is left over from the run before."""

import keras
import numpy as np
import pytest
from task_contracts import small_hparams

import dlkit

EPOCHS = 3


def made(task_class, **hparams):
    return task_class(**small_hparams(task_class.task_name(), epochs=EPOCHS, batch_size=32, **hparams))


@pytest.fixture(scope="module")
def source(task_class):
    task = task_class()
    table = task.read(task.samples()["train"]).table
    return {name: [table.columns[name][row] for row in range(min(100, len(table)))] for name in table.columns}


@pytest.fixture(scope="module")
def uninterrupted(task_class, source):
    task = made(task_class, seed=7)
    task.fit(source, verbose=0)
    return task


def weights(task):
    return [variable.numpy() for variable in task.stages_.network.variables]


@pytest.mark.core("sentiment")
def test_a_second_fit_starts_clean_and_repeats_the_first(uninterrupted, source):
    first, before = dict(uninterrupted.history_), weights(uninterrupted)
    assert uninterrupted.fit(source, verbose=0) == first
    for left, right in zip(before, weights(uninterrupted), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.core("sentiment")
def test_another_seed_gives_another_run(uninterrupted, task_class, source):
    other = made(task_class, seed=8)
    assert other.fit(source, verbose=0)["loss"] != uninterrupted.history_["loss"]


class InterruptTraining(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.at = [epoch, batch]

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if [self.epoch, batch] == self.at:
            raise KeyboardInterrupt


@pytest.mark.core("sentiment")
@pytest.mark.parametrize(("epoch", "batch", "every"), [(2, 0, 0), (1, 2, 2)])
def test_a_stopped_run_resumes_and_ends_as_if_never_stopped(
    uninterrupted, task_class, source, tmp_path, epoch, batch, every
):
    task, stop = made(task_class, seed=7), [InterruptTraining(epoch, batch)]
    with pytest.raises(KeyboardInterrupt):
        task.fit(source, save=tmp_path / "m", verbose=0, callbacks=stop, checkpoint_every=every)
    if every:  # the newest checkpoint is from inside an epoch of 3 steps
        assert max(path.stem for path in tmp_path.glob("m/checkpoints/*.npz")) == f"step-{4:012d}"
    resumed = made(task_class, seed=7)
    history = resumed.fit(source, save=tmp_path / "m", resume=True, verbose=0)
    assert history == uninterrupted.history_
    for left, right in zip(weights(uninterrupted), weights(resumed), strict=True):
        np.testing.assert_array_equal(left, right)
    assert dlkit.load(tmp_path / "m").history_ == history


@pytest.mark.slow
def test_a_stopped_run_of_averages_resumes_inside_of_its_last_epoch(task_class, source, tmp_path):
    options = {"ema": 0.9, "seed": 7}
    whole, stopped, resumed = (
        task_class(**small_hparams(task_class.task_name(), batch_size=32, **options)) for _ in range(3)
    )
    whole.fit(source, verbose=0, steps=5)
    with pytest.raises(KeyboardInterrupt):  # an epoch has 3 steps
        stopped.fit(
            source, save=tmp_path / "m", verbose=0, steps=5, checkpoint_every=1, callbacks=[InterruptTraining(1, 1)]
        )
    assert resumed.fit(source, save=tmp_path / "m", resume=True, verbose=0) == whole.history_
    for left, right in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.core("sentiment")
def test_resuming_with_other_data_is_refused(task_class, source, tmp_path):
    stop = [InterruptTraining(1, 0)]
    with pytest.raises(KeyboardInterrupt):
        made(task_class).fit(source, save=tmp_path / "m", verbose=0, callbacks=stop)
    other = {name: [*values[1:], values[0]] for name, values in source.items()}
    with pytest.raises(dlkit.DlkitError, match="other training data"):
        made(task_class).fit(other, save=tmp_path / "m", resume=True, verbose=0)


def test_a_saved_model_is_not_replaced_unasked(fitted, task_class, source):
    before = (fitted.folder / "dlkit.json").read_bytes()
    with pytest.raises(dlkit.DlkitError, match="already holds a saved model"):
        made(task_class).fit(source, save=fitted.folder, verbose=0)
    assert (fitted.folder / "dlkit.json").read_bytes() == before
