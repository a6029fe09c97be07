"""The learning-rate range test: which rate it suggests."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from dlkit.errors import DlkitError
from dlkit.training.find_learning_rate import RangeTest, _find_steepest, _refine, _relative_schedule

RATES = np.geomspace(1e-6, 10, 100).tolist()
DECADES = np.log10(RATES)


def fall(fastest, end, seed=None, noise=0.0):
    """Losses that fall fastest at a rate, and rise from another one on."""
    losses = 0.7 - 0.3 / (1 + np.exp(-4 * (DECADES - np.log10(fastest))))
    losses = losses + np.maximum(0, DECADES - np.log10(end)) * 3
    return losses + noise * np.random.default_rng(seed).normal(size=len(losses))


@pytest.mark.parametrize("fastest", [1e-4, 1e-3, 1e-2])
def test_the_rate_is_where_the_loss_falls_fastest(fastest):
    assert fastest / 2 < _find_steepest(RATES, fall(fastest, 10 * fastest).tolist()) < fastest * 2


def test_one_noisy_step_at_the_lowest_loss_is_not_the_steepest():
    losses = fall(1e-2, 1.0)
    low = int(np.searchsorted(RATES, 7.6e-2))
    losses[low - 1] += 0.02
    losses[low] -= 0.02
    losses[low + 1 :] = losses[low] + 0.02 + np.linspace(0, 1, len(losses) - low - 1)
    assert 3e-3 < _find_steepest(RATES, losses.tolist()) < 4e-2


def test_of_rates_that_do_about_as_well_the_highest_is_taken():
    losses = 2.0 - 0.2 * (DECADES + 4).clip(0, 3) + 5 * (DECADES + 1).clip(0)  # falls alike from 1e-4 to 1e-1
    losses[40:45] -= np.linspace(0, 0.02, 5)  # a little faster at 1e-3
    losses[45:] -= 0.02
    assert 5e-3 < _find_steepest(RATES, losses.tolist()) < 5e-2


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_not_choose(seed):
    # The slopes between neighbours are those of the noise: 0.03 against a fall of at most 0.02 a step.
    assert 2e-3 < _find_steepest(RATES, fall(1e-2, 0.3, seed, noise=0.03).tolist()) < 5e-2


@pytest.mark.parametrize("ending", [[np.inf], [np.nan], [1e6, 1e8], []])
def test_a_loss_that_falls_faster_and_faster_until_it_explodes(ending):
    losses = 1.0 - np.exp(2 * (DECADES[:80] - DECADES[79])) * 0.5
    chosen = _find_steepest(RATES[: 80 + len(ending)], [*losses, *ending])
    assert 1e-2 * RATES[79] < chosen < RATES[79] / 2, "below the last point, and where it falls"


def test_the_number_of_steps_is_free():
    for steps in (20, 50, 400, 1000):
        rates = np.geomspace(1e-6, 10, steps)
        losses = np.interp(np.log10(rates), DECADES, fall(1e-2, 0.3))
        assert 2e-3 < _find_steepest(rates.tolist(), losses.tolist()) < 5e-2


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 100), np.full(100, 0.7), np.full(100, np.nan), np.arange(3.0)])
def test_a_loss_that_never_fell_is_said(losses):
    with pytest.raises(DlkitError, match="never fell"):
        _find_steepest(RATES[: len(losses)], losses.tolist())


@pytest.mark.parametrize("best", [2e-6, 3e-4, 0.013, 0.4, 5.0])
def test_short_trainings_go_downhill_from_the_suggestion_to_the_best_rate(best):
    asked = []

    def loss_at(rate):
        asked.append(rate)
        return abs(math.log10(rate / best)) if rate < 5 * best else math.inf

    settled = _refine(0.013, loss_at)
    assert best / 2 < settled < best * 2
    assert len(asked) == len(set(asked)), "no rate is trained twice"


def test_a_suggestion_that_is_best_stays_and_costs_two_more_trainings():
    asked = []
    assert _refine(0.01, lambda rate: asked.append(rate) or abs(math.log10(rate / 0.01))) == 0.01
    assert len(asked) == 3


def test_where_all_explode_the_suggestion_stays():
    assert _refine(0.01, lambda rate: math.inf) == 0.01


def test_short_trainings_have_the_schedule_of_the_task():
    task = SimpleNamespace(learning_rate=0.5, schedule="one_cycle", warmup=0.0)
    curve = _relative_schedule(task, 100)
    assert curve[0] == pytest.approx(1 / 25) and curve[30] == pytest.approx(1.0) and curve[-1] < 0.01
    task.schedule = "constant"
    assert _relative_schedule(task, 3).tolist() == [1.0, 1.0, 1.0]


def test_what_explodes_is_worse_than_what_does_not():
    whole, broken = RangeTest(np.full(8, 0.1)), RangeTest(np.full(8, 0.1))
    whole.losses, broken.losses = [9.0, 9, 9, 9, 9, 9, 2, 4], [1.0, 1.0, 1.0]
    assert whole.last() == 3.0 and broken.last() == math.inf
