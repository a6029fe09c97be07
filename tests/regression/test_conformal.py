"""Intervals of a stated coverage, on data whose distribution is known."""

import numpy as np
import pytest

from dlkit.lazy import tf
from dlkit.regression.conformal import ConformalIntervals, conformal_quantile


def test_conformal_intervals_cover_as_stated():
    random = np.random.default_rng(0)
    layer = ConformalIntervals(num_targets=2)
    widths = random.uniform(0.5, 2.0, (4000, 2))
    truth = random.standard_normal((4000, 2)) * widths * [3.0, 0.2]
    truth[:3900, 1][random.uniform(size=3900) < 0.5] = np.nan
    center = np.zeros_like(truth)
    counts = layer.calibrate(center[:2000], widths[:2000], widths[:2000], truth[:2000], coverage=0.9)["rows"]
    assert counts[0] == 2000 and 900 < counts[1] < 1100
    lower, upper = (
        bound.numpy() for bound in layer(*(tf.constant(each[2000:], tf.float32) for each in (center, widths, widths)))
    )
    covered = (truth[2000:] > lower) & (truth[2000:] < upper)
    assert np.mean(covered[:, 0]) == pytest.approx(0.9, abs=0.03)
    assert np.mean(covered[np.isfinite(truth[2000:, 1]), 1]) == pytest.approx(0.9, abs=0.03)


def test_few_rows_leave_a_target_uncalibrated():
    layer = ConformalIntervals(num_targets=1)
    few = np.ones((5, 1))
    assert layer.calibrate(few, few, few, 9 * few, coverage=0.9)["rows"] == [5]
    assert layer.factors.numpy().tolist() == [1.0]


def test_the_conformal_quantile_is_of_one_row_more():
    assert conformal_quantile(np.arange(1.0, 100.0), 0.9) == 90.0
    assert conformal_quantile(np.array([3.0, 1.0]), 0.9) == 3.0


def test_intervals_cover_new_rows_of_any_distribution():
    random = np.random.default_rng(0)
    covered = []
    for _ in range(200):
        rows = random.exponential(size=300)
        scores = np.maximum(-rows[:100], rows[:100] - 1)
        moved = conformal_quantile(scores, 0.9)
        covered.append(((-moved <= rows[100:]) & (rows[100:] <= 1 + moved)).mean())
    assert 0.89 < np.mean(covered) < 0.92


def test_intervals_that_are_too_wide_shrink_to_the_prediction_and_no_further():
    layer = ConformalIntervals(num_targets=1)
    ones = np.ones((50, 1))
    layer.calibrate(0 * ones, 9 * ones, 9 * ones, np.linspace(-1, 1, 50)[:, None], coverage=0.9)
    assert 0.05 < layer.factors.numpy()[0] < 0.12
    layer.calibrate(0 * ones, ones, ones, 0 * ones, coverage=0.9)
    assert layer.factors.numpy()[0] == 0


def test_factors_that_were_found_before_are_taken():
    layer = ConformalIntervals(num_targets=2)
    layer.set_factors([1.0, 3.0])
    _, upper = layer(tf.zeros((1, 2)), tf.ones((1, 2)), tf.ones((1, 2)))
    assert upper.numpy()[0].tolist() == pytest.approx([1.0, 3.0], rel=2e-3)
