"""The learning-rate range test: which rate it suggests."""

import numpy as np
import pytest

from dlkit.errors import DlkitError
from dlkit.training.find_learning_rate import _steepest

RATES = np.geomspace(1e-6, 10, 100).tolist()
DECADES = np.log10(RATES)


def fall(fastest, end, seed=None, noise=0.0):
    """Losses that fall fastest at a rate, and rise from another one on."""
    losses = 0.7 - 0.3 / (1 + np.exp(-4 * (DECADES - np.log10(fastest))))
    losses = losses + np.maximum(0, DECADES - np.log10(end)) * 3
    return losses + noise * np.random.default_rng(seed).normal(size=len(losses))


@pytest.mark.parametrize("fastest", [1e-4, 1e-3, 1e-2])
def test_the_rate_is_where_the_loss_falls_fastest(fastest):
    assert fastest / 2 < _steepest(RATES, fall(fastest, 10 * fastest).tolist()) < fastest * 2


def test_one_noisy_step_at_the_lowest_loss_is_not_the_steepest():
    losses = fall(1e-2, 1.0)
    low = int(np.searchsorted(RATES, 7.6e-2))
    losses[low - 1] += 0.02
    losses[low] -= 0.02
    losses[low + 1 :] = losses[low] + 0.02 + np.linspace(0, 1, len(losses) - low - 1)
    assert 3e-3 < _steepest(RATES, losses.tolist()) < 4e-2


def test_of_rates_that_do_about_as_well_the_highest_is_taken():
    losses = 2.0 - 0.2 * (DECADES + 4).clip(0, 3) + 5 * (DECADES + 1).clip(0)  # falls alike from 1e-4 to 1e-1
    losses[40:45] -= np.linspace(0, 0.02, 5)  # a little faster at 1e-3
    losses[45:] -= 0.02
    assert 5e-3 < _steepest(RATES, losses.tolist()) < 5e-2


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_not_choose(seed):
    # The slopes between neighbours are those of the noise: 0.03 against a fall of at most 0.02 a step.
    assert 2e-3 < _steepest(RATES, fall(1e-2, 0.3, seed, noise=0.03).tolist()) < 5e-2


@pytest.mark.parametrize("ending", [[np.inf], [np.nan], [1e6, 1e8], []])
def test_a_loss_that_falls_faster_and_faster_until_it_explodes(ending):
    losses = 1.0 - np.exp(2 * (DECADES[:80] - DECADES[79])) * 0.5
    chosen = _steepest(RATES[: 80 + len(ending)], [*losses, *ending])
    assert 1e-2 * RATES[79] < chosen < RATES[79] / 2, "below the last point, and where it falls"


def test_the_number_of_steps_is_free():
    for steps in (20, 50, 400, 1000):
        rates = np.geomspace(1e-6, 10, steps)
        losses = np.interp(np.log10(rates), DECADES, fall(1e-2, 0.3))
        assert 2e-3 < _steepest(rates.tolist(), losses.tolist()) < 5e-2


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 100), np.full(100, 0.7), np.full(100, np.nan), np.arange(3.0)])
def test_a_loss_that_never_fell_is_said(losses):
    with pytest.raises(DlkitError, match="never fell"):
        _steepest(RATES[: len(losses)], losses.tolist())
