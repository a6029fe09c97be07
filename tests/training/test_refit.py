"""Training on all rows in the end, for as many passes as a run with validation has chosen."""

import types

import numpy as np
import pytest
from interrupt_training import InterruptTraining

import dlkit
from dlkit.errors import HparamError
from dlkit.training.plan import make_plan, read_plan
from dlkit.training.refit import combine_rows

TEXTS = {"text": ["nice film", "dull film", "what a day", "not now"] * 10, "label": ["a", "b", "a", "b"] * 10}
QUICK = {"verbose": 0, "strategy": "one"}
STEPS = 5 + 5  # of each run: 36 and 40 rows, 8 a batch, in two epochs


def task_of(**hparams):
    return dlkit.SentimentClassifier(
        **{"batch_size": 8, "character_ngrams": False, "epochs": 2, "refit": True, **hparams}
    )


def weights(task):
    return [variable.numpy() for variable in task.stages_.network.variables]


@pytest.fixture(scope="module")
def whole():
    task = task_of()
    task.fit(TEXTS, **QUICK)
    return task


def test_all_rows_are_trained_on_for_the_passes_of_the_best_epoch(whole):
    assert whole.fingerprint_["rows"] == 40
    assert whole.fingerprint_["validation"] is None
    best = whole.selection_["best_epoch"]["epoch"]
    assert whole.selection_["passes"] == best
    assert whole.plan_["steps"] == 5 * best
    assert len(whole.history_["loss"]) == best
    assert "val_loss" in whole.selection_["history"]


def test_it_is_the_run_without_validation_of_so_many_epochs(whole):
    plain = task_of(refit=False, validation_split=0.0, epochs=whole.selection_["best_epoch"]["epoch"])
    plain.fit(TEXTS, **QUICK)
    assert plain.history_ == whole.history_
    for one, other in zip(weights(plain), weights(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_separate_validation_rows_are_added():
    task = task_of()
    train, validation = task.read(TEXTS), task.read({name: values[:8] for name, values in TEXTS.items()})
    assert len(combine_rows(train, validation)) == 48


def test_killed_in_either_run_it_goes_on_in_the_same(whole, tmp_path):
    folder = tmp_path / "model"
    for steps in (3, STEPS + 2):
        with pytest.raises(KeyboardInterrupt):
            task_of().fit(
                TEXTS,
                save=folder,
                resume="auto",
                checkpoint_every=1,
                callbacks=[InterruptTraining(steps)],
                **QUICK,
            )
    assert read_plan(folder)["decided_by"] == "epochs"  # of what was asked for, as a resumed run asks again
    task = task_of()
    task.fit(TEXTS, save=folder, resume="auto", checkpoint_every=1, **QUICK)
    assert task.history_ == whole.history_
    assert task.selection_ == whole.selection_
    for one, other in zip(weights(task), weights(whole), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_part_of_a_pass_stays_a_part(whole):
    whole.selection_["passes"] = 1.5
    assert make_plan(whole, 40, 0, 0, {}, int).steps == 60


def test_series_with_separate_validation_are_refused():
    rows = types.SimpleNamespace(by_record=False)
    with pytest.raises(HparamError, match="held out"):
        combine_rows(rows, rows)
