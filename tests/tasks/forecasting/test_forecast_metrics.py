"""Metrics of forecasts by hand."""

import numpy as np
import pytest

from dlkit.tasks.forecasting.metrics import compute_mase_scale, forecast_seasonal_naive, score_forecasts

HISTORY = np.array([1.0, 5, 2, np.nan, 3, 6])  # with season 2


def scored(**given):
    row = {
        "ids": ["a"],
        "histories": [HISTORY],
        "future_values": [np.array([4.0, 8.0])],
        "answers": {
            "forecast": [np.array([5.0, 6.0])],
            "quantiles": [np.array([[4.0, 5, 9], [5, 6, 7]])],
            "quantile_levels": [np.array([0.1, 0.5, 0.9])],
        },
        "season_length": 2,
        "mase_scales": {"a": 0.5},
    }
    return score_forecasts(**{**row, **given})


def test_errors_by_hand():
    made = scored()
    assert made["mae"] == 1.5
    assert made["rmse"] == pytest.approx(np.sqrt(2.5))
    assert made["smape"] == pytest.approx(100 * (1 / 4.5 + 2 / 7) / 2)
    assert made["mase"] == 3.0
    first, second = [0.1 * 0, 0.5 * 1, 0.1 * 5], [0.1 * 3, 0.5 * 2, 0.9 * 1]
    assert made["pinball"] == pytest.approx(np.mean([*first, *second]))
    assert made["coverage_80"] == 0.5
    assert made["quantile_crossings"] == 0
    assert made["comparison"]["seasonal_naive"]["mae"] == 1.5  # 3 and 6 again
    assert made["comparison"]["naive"]["mae"] == 2.0
    assert made["skill"] == 0.0


def test_quantiles_that_cross_are_counted():
    quantiles = [np.array([[4.0, 5, 4.5], [8, 6, 5]])]
    answers = {
        "forecast": [np.array([5.0, 6.0])],
        "quantiles": quantiles,
        "quantile_levels": [np.array([0.1, 0.5, 0.9])],
    }
    assert scored(answers=answers)["quantile_crossings"] == 3


def test_unknown_steps_do_not_count_and_series_count_alike():
    two = {
        "ids": ["a", "a", "b"],
        "histories": [HISTORY] * 3,
        "future_values": [np.array([4.0, np.nan]), np.array([6.0]), np.array([1.0, 2.0])],
        "answers": {
            "forecast": [np.array([5.0, 6.0])] * 3,
            "quantiles": [np.array([[4.0, 5], [5, 6]])] * 3,
            "quantile_levels": [np.array([0.5, 0.9])] * 3,
        },
        "mase_scales": {"a": 0.5, "b": 2.0},
    }
    made = scored(**two)
    assert made["mae"] == pytest.approx((1 + 1 + 4 + 4) / 4)
    assert made["mase"] == pytest.approx(((1 / 0.5 + 1 / 0.5) / 2 + 4 / 2.0) / 2)


def test_the_scale_is_the_seasonal_naive_error_of_the_training_part():
    assert compute_mase_scale(HISTORY, 2) == pytest.approx((1 + 1) / 2)
    assert compute_mase_scale(np.array([1.0, 4.0]), 12) == 3.0  # shorter than a season
    assert np.isnan(compute_mase_scale(np.array([2.0]), 1))
    assert scored(mase_scales={})["mase"] == 1.5  # of the history: 1


def test_the_seasonal_naive_forecast_goes_on():
    np.testing.assert_array_equal(forecast_seasonal_naive(np.array([1.0, 2, 3]), 2, 5), [2, 3, 2, 3, 2])
    np.testing.assert_array_equal(forecast_seasonal_naive(np.array([7.0]), 2, 2), [7, 7])


def test_a_history_without_values_is_scored():
    assert np.isfinite(scored(histories=[np.array([np.nan])], mase_scales={"a": 1.0})["mase"])


def test_a_constant_has_no_mase_but_a_skill():
    """Without a scale errors themselves are compared; where the naive forecasts make none, any is worse."""
    flat = np.full(6, 3.0)

    def score_of(forecast, future):
        answers = {
            "forecast": [np.array(forecast)],
            "quantiles": [np.stack([np.array(forecast)] * 3, 1)],
            "quantile_levels": [np.array([0.1, 0.5, 0.9])],
        }
        return scored(histories=[flat], future_values=[np.array(future)], answers=answers, mase_scales={})

    for forecast, skill in (([3.0, 3.0], 0.0), ([3.0, 4.0], -1.0)):
        made = score_of(forecast, [3.0, 3.0])
        assert (made["mase"], made["skill"]) == (None, skill)
        assert made["notes"] == ["1 of 1 series are constant before the cutoff and have no mase: 'a'"]
    assert score_of([3.0, 4.0], [3.0, 5.0])["skill"] == 0.5


def test_zeros_are_no_part_of_smape():
    made = scored(future_values=[np.array([0.0, 8.0])])
    assert made["smape"] == pytest.approx(100 * 2 / 7)
    assert made["notes"] == ["50% of the values are 0 and are excluded from smape"]
    made = scored(future_values=[np.zeros(2)])
    assert made["smape"] is None
    assert made["notes"] == ["all values are 0, for which smape is undefined"]


def test_what_is_not_known_has_no_metrics():
    made = scored(future_values=[np.full(2, np.nan)])
    assert (made["mae"], made["mase"], made["skill"]) == (None, None, 0.0)
