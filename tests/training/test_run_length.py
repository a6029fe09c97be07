"""How many steps a run makes: chosen by the data, given, or decided once by the minutes that it may take."""

import dataclasses
import time
import types

import keras
import numpy as np
import pytest
from interrupt_training import InterruptTraining

import dlkit
from dlkit.errors import HparamError
from dlkit.run_length import DefaultEpochs, check_length
from dlkit.training import time_budget
from dlkit.training.plan import Plan, make_plan
from dlkit.training.score_epochs import ScoredEpochs
from dlkit.training.time_budget import Costs

TEXTS = {"text": ["nice film", "dull film", "what a day", "not now"] * 10, "label": ["a", "b", "a", "b"] * 10}
PER_EPOCH = 5  # steps: 40 rows, 8 a batch
QUICK = {"verbose": 0, "strategy": "one"}


def task_of(**hparams):
    return dlkit.SentimentClassifier(**{"batch_size": 8, "character_ngrams": False, "seed": 3, **hparams})


def weights(task):
    return [variable.numpy() for variable in task.stages_.network.variables]


def assert_same(left, right):
    assert left.history_ == right.history_
    for one, other in zip(weights(left), weights(right), strict=True):
        np.testing.assert_array_equal(one, other)


# Chosen by the data.


@pytest.mark.parametrize(
    ("steps_per_epoch", "preset", "epochs"),
    [
        (1, "", 200),  # enough steps for a small set
        (7, "", 30),
        (6, "", 34),
        (400, "", 30),
        (500, "", 28),
        (10_000, "", 1),  # few passes for a large one
        (10**6, "", 1),
        (100, "tuned", 3),
        (100, "frozen", 30),
    ],
)
def test_small_sets_get_enough_steps_and_large_ones_few_passes(steps_per_epoch, preset, epochs):
    assert DefaultEpochs(30, fewest=200, most=14_000, tuned=3).choose(steps_per_epoch, preset) == epochs


def test_the_expensive_steps_of_presets_have_a_minimum_of_their_own():
    rule = DefaultEpochs(3, fewest=300, most=6_000, frozen=15, fewest_preset=15)
    assert [rule.choose(5, preset) for preset in ("", "tuned", "frozen")] == [60, 3, 15]
    assert "but at least 300 (15 for presets) and at most 6,000 training steps" in rule.hparam().metadata["help"]


def test_the_choice_is_recorded_and_tasks_that_overfit_stop_early():
    task = task_of(learning_rate=0.0, batch_size=4)
    task.fit(TEXTS, TEXTS, **QUICK)
    assert task.epochs == 0
    wanted = {"steps": 300, "steps_per_epoch": 10, "epochs": 30, "patience": 18, "decided_by": "data", "minutes": 0.0}
    assert task.plan_ == wanted
    assert len(task.history_["loss"]) == 19  # the first epoch, and 18 that were no better


@pytest.mark.parametrize(
    ("length", "said"),
    [
        ((3, 1.0, 0), r"expected one of `minutes`, .*Received: minutes=1.0 and epochs=3. Leave out"),
        ((0, 1.0, 4), "Received: minutes=1.0 and steps=4"),
        ((3, 0.0, 4), "Received: steps=4 and epochs=3"),
        ((0, -1.0, 0), "`minutes` must be a positive number of minutes. Received: -1.0"),
        ((0, float("nan"), 0), "`minutes` must be a positive number"),
        ((0, 0.0, -1), "`steps` must be a positive number of training steps. Received: -1"),
        ((0, 0.0, 1.5), "`steps` must be a positive number of training steps. Received: 1.5"),
    ],
)
def test_lengths_that_cannot_be_meant(length, said):
    with pytest.raises(HparamError, match=said):
        check_length(*length)


def test_a_run_refuses_two_lengths_before_it_reads():
    with pytest.raises(HparamError, match="Received: minutes=1 and epochs=3"):
        task_of(epochs=3).fit("nowhere.csv", minutes=1)


# Decided by the minutes.


@pytest.mark.parametrize(
    ("seconds", "steps"),
    [
        (20.0, 0),  # 20 - 5 - 3: less than one epoch's own costs and a step
        (18.9, 0),
        (19.1 + 1.0, 1),
        (33.0, 10),  # 25 s: 10 steps of 1 s and 11 s beside them, and 4 s that are too few
        (55.0, 20),  # 47 s: two such epochs and 5 s
        (66.0, 26),  # 58 s: two such epochs, 11 s and 5 steps, and one that rounding leaves
    ],
)
def test_the_steps_that_fit(seconds, steps):
    costs = Costs(start=5.0, step=1.0, epoch=11.0, end=3.0)
    assert abs(costs.steps(seconds, 10) - steps) <= 1


def test_looks_at_the_score_are_paid_for():
    costs = Costs(start=0.0, step=1.0, epoch=0.0, end=0.0, score=5.0, scored=ScoredEpochs())
    assert costs.steps(200.0, 10) == 200 - 9 * 5  # 20 epochs, a look after every second but the last


@pytest.fixture
def budget(monkeypatch):
    """Makes every run with minutes one of 12 steps, two of them in a last epoch; its trial is run all the same."""
    measure, trials = time_budget._measure, []

    def told(*given):
        trials.append(measure(*given) if not trials else None)
        return Costs(start=0.0, step=1e-9, epoch=0.0, end=0.0)

    monkeypatch.setattr(time_budget, "_measure", told)
    monkeypatch.setattr(time_budget.Costs, "steps", lambda costs, seconds, per_epoch: 12)
    monkeypatch.setattr(time_budget, "MIN_TRIAL_SECONDS", 0.1)
    fit, calls = keras.Model.fit, []
    monkeypatch.setattr(keras.Model, "fit", lambda *given, **options: calls.append(fit) or fit(*given, **options))
    yield trials
    assert len(calls) == 4  # of runs: what trackers patch sees no trial


def test_decided_steps_repeat_the_run_and_a_resumed_run_keeps_them(budget, tmp_path):
    options = {"ema": 0.9, "dropout": 0.3, "schedule": "one_cycle"}
    whole = task_of(**options)
    whole.fit(TEXTS, TEXTS, minutes=0.1, save=tmp_path / "whole", **QUICK)
    assert len(budget) == 1
    assert budget[0].step > 0 and budget[0].epoch > 0 and budget[0].start > 0 and budget[0].end > 0
    assert len(whole.history_["loss"]) == 3
    kept = {"steps": 12, "steps_per_epoch": PER_EPOCH, "epochs": 3, "patience": 0, "decided_by": "minutes"}
    assert whole.plan_ == {**kept, "minutes": 0.1}
    assert dlkit.load(tmp_path / "whole").plan_ == whole.plan_
    assert "\n  minutes: 0.0\n  steps: 12\n" in (tmp_path / "whole" / "config.yaml").read_text()

    repeated = task_of(**options)
    repeated.fit(TEXTS, TEXTS, steps=12, **QUICK)
    assert_same(repeated, whole)

    with pytest.raises(KeyboardInterrupt):
        stopped = {"save": tmp_path / "killed", "checkpoint_every": 2, "callbacks": [InterruptTraining(11)]}
        task_of(**options).fit(TEXTS, TEXTS, minutes=0.1, **stopped, **QUICK)
    budget.clear()
    time.sleep(0.1)
    resumed = task_of(**options)
    resumed.fit(TEXTS, TEXTS, minutes=0.1, save=tmp_path / "killed", resume=True, **QUICK)
    assert_same(resumed, whole)
    assert not budget  # nothing was timed again
    for other in ({"minutes": 0.2}, {"steps": 13}):
        with pytest.raises(dlkit.DlkitError, match=r"was started with (minutes=0.1, not 0.2|steps=12, not 13)"):
            task_of(**options).fit(TEXTS, TEXTS, save=tmp_path / "killed", resume=True, **other, **QUICK)


def test_a_budget_that_nothing_fits_into_says_what_would(monkeypatch):
    monkeypatch.setattr(time_budget, "_measure", lambda *given: Costs(start=60.0, step=1.0, epoch=1.0, end=58.0))
    trial = types.SimpleNamespace(steps_per_epoch=5)
    with pytest.raises(HparamError, match=r"`minutes` must be at least 2\.1 .*Received: 0.5"):
        time_budget.find_steps_within(task_of(), trial, 0.5, time.perf_counter(), types.SimpleNamespace(workers=1))
    begun = time.perf_counter() - 60
    assert time_budget.find_steps_within(task_of(), trial, 4, begun, types.SimpleNamespace(workers=1)) in range(45, 61)


@pytest.mark.parametrize("before", [{}, {"steps": 7, "minutes": 0.0, "epochs": 2, "decided_by": "epochs"}])
def test_a_run_that_was_not_decided_by_minutes_is_timed(before):
    task = task_of()
    assert make_plan(task, 5, 1.0, 0, before, lambda: 9) == Plan(9, 5, 0, "minutes", 1.0)


def test_a_resumed_run_keeps_the_epochs_that_were_chosen():
    before = {**dataclasses.asdict(Plan(40, 5, 4, "data")), "epochs": 8}
    assert make_plan(task_of(), 10, 0.0, 0, before, lambda: 9).steps == 80
    assert make_plan(task_of(epochs=2), 10, 0.0, 0, before, lambda: 9) == Plan(20, 10, 0)  # and no patience
    assert make_plan(task_of(patience=3), 10, 0.0, 0, before, lambda: 9).patience == 3


@pytest.mark.slow
def test_a_run_takes_the_minutes_that_it_is_given(tmp_path):
    task, begun = task_of(), time.perf_counter()
    task.fit(TEXTS, TEXTS, minutes=0.7, save=tmp_path / "m", **QUICK)
    assert time.perf_counter() - begun == pytest.approx(0.7 * 60, rel=0.1)
