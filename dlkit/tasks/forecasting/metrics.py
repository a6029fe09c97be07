"""Metrics of forecasts, beside those of naive forecasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def score_forecasts(
    ids: Sequence[str],
    histories: Sequence[np.ndarray],
    future_values: Sequence[np.ndarray],
    answers: Mapping[str, Sequence[np.ndarray]],
    *,
    season_length: int,
    mase_scales: Mapping[str, float],
    context_length: int = 0,
) -> dict[str, Any]:
    """Compute metrics over all cutoffs and known time steps.

    Args:
        ids: Id of the series of each row.
        histories: (any,) values of each row before the cutoff, NaN where a value is missing.
        future_values: (any,) values of each row after the cutoff, NaN where a value is unknown.
        answers: `forecast`: (horizon,) of each row, `quantiles`: (horizon, quantiles), and `quantile_levels`:
            (quantiles,).
        season_length: Positive integer, in time steps, of the seasonal naive forecast.
        mase_scales: Mean absolute error of the seasonal naive forecast inside the training part, by id of the series. A
            series without one is scaled by its history.
        context_length: Input size of the model, in time steps; a note counts the shorter histories.

    Returns:
        Dict of

        - `mae`, `rmse`, `pinball`: in the units of the series;
        - `smape`: in percent of the mean of both magnitudes (Makridakis, 1993), over the time steps whose value is not
          0: for a 0 it is 200 % of any forecast but 0;
        - `mase`: mean absolute error over that of the seasonal naive forecast inside the training part (Hyndman and
          Koehler, 2006), averaged over each series and then over series;
        - `coverage_80`: fraction of the values between the lowest and the highest quantile, named by its nominal value
          in percent;
        - `quantile_crossings`: number of quantiles below a lower one;
        - `skill`: 1 minus the ratio of `mase` to that of the better naive forecast; of `mae` where no series has a
          scale. Where naive forecasts make no error it is 0, or -1 if the model makes one;
        - `baseline_skill`: 0;
        - `num_windows`: number of backtest windows;
        - `comparison`: the errors of the model and of the naive forecasts, by name;
        - `notes`: why a metric is None, and other remarks; if there are any.
    """
    horizon = len(answers["forecast"][0])
    truth = np.full((len(ids), horizon), np.nan)
    for row, values in enumerate(future_values):
        truth[row, : min(horizon, len(values))] = np.asarray(values, float)[:horizon]
    scale = np.array(
        [
            mase_scales.get(name) or compute_mase_scale(history, season_length)
            for name, history in zip(ids, histories, strict=True)
        ]
    )
    filled = [fill_forward(np.asarray(history, float)) for history in histories]
    forecasts = {
        "forecaster": np.stack([np.asarray(row, float) for row in answers["forecast"]]),
        "seasonal_naive": np.stack([forecast_seasonal_naive(history, season_length, horizon) for history in filled]),
        "naive": np.stack([forecast_seasonal_naive(history, 1, horizon) for history in filled]),
    }
    comparison = {name: _compute_errors(truth, forecast, scale, ids) for name, forecast in forecasts.items()}
    quantiles = np.stack([np.asarray(row, float) for row in answers["quantiles"]])
    levels = np.asarray(answers["quantile_levels"][0], float)
    known = np.isfinite(truth)
    error = truth[..., None] - quantiles
    comparison["forecaster"]["pinball"] = (
        float(np.maximum(levels * error, (levels - 1) * error)[known].mean()) if known.any() else None
    )
    inside = (quantiles[..., 0] <= truth) & (truth <= quantiles[..., -1])
    own = comparison["forecaster"]
    notes = _make_notes(own, truth, scale, ids, [len(history) for history in histories], context_length)
    return {
        **own,
        f"coverage_{round(100 * (levels[-1] - levels[0]))}": float(inside[known].mean()) if known.any() else None,
        "quantile_crossings": int((np.diff(quantiles, axis=-1) < 0).sum()),
        "skill": _compute_skill(comparison),
        "baseline_skill": 0.0,
        "num_windows": len(ids),
        "comparison": comparison,
        **({"notes": notes} if notes else {}),
    }


def _compute_skill(comparison: Mapping[str, Mapping[str, float | None]]) -> float:
    metric = "mae" if comparison["forecaster"]["mase"] is None else "mase"
    own, *naive = (comparison[name][metric] or 0.0 for name in ("forecaster", "naive", "seasonal_naive"))
    if min(naive) > 0:
        return 1.0 - own / min(naive)
    return -1.0 if own > 0 else 0.0


def _make_notes(
    own: Mapping[str, float | None],
    truth: np.ndarray,
    scale: np.ndarray,
    ids: Sequence[str],
    lengths: Sequence[int],
    context_length: int,
) -> list[str]:
    """Return notes on metrics without a value and on histories that are too short."""
    notes = []
    constant = sorted({name for name, size in zip(ids, scale, strict=True) if not np.isfinite(size)})
    if constant:
        notes.append(
            f"{len(constant)} of {len(set(ids))} series are constant before the cutoff and have no mase: "
            f"{', '.join(map(repr, constant[:3]))}{', ...' if constant[3:] else ''}"
        )
    zeros = float((truth == 0).sum() / max(1, np.isfinite(truth).sum()))
    if own["smape"] is None:
        notes.append("all values are 0, for which smape is undefined")
    elif zeros > 0:
        notes.append(f"{zeros:.0%} of the values are 0 and are excluded from smape")
    short = [length for length in lengths if length < context_length]
    if short:
        notes.append(
            f"{len(short)} of {len(lengths)} backtest windows have less history than the model's context length of "
            f"{context_length} steps, the shortest {min(short)}: if the data covers the test period only, include the "
            "preceding history"
        )
    return notes


def compute_mase_scale(values: np.ndarray, season_length: int) -> float:
    """Return the scale of MASE, the mean absolute difference to the value one season before.

    Where there is no such pair, it is that to the value before; NaN where there is none either, or all are equal.

    Args:
        values: (steps,), NaN where a value is missing.
        season_length: Positive integer, in time steps.

    Examples:
        >>> compute_mase_scale(np.array([1.0, 5.0, 2.0, 7.0]), season_length=2)
        1.5
    """
    values = np.asarray(values, float)
    for lag in (season_length, 1):
        differences = np.abs(values[lag:] - values[:-lag])
        differences = differences[np.isfinite(differences)]
        if len(differences) and differences.mean() > 0:
            return float(differences.mean())
    return float("nan")


def forecast_seasonal_naive(history: np.ndarray, season_length: int, horizon: int) -> np.ndarray:
    """Repeat the last season, or the last value of a history that is shorter than a season: (horizon,).

    Examples:
        >>> forecast_seasonal_naive(np.array([1.0, 2.0, 3.0]), season_length=2, horizon=5).tolist()
        [2.0, 3.0, 2.0, 3.0, 2.0]
    """
    if len(history) < season_length:
        season_length = 1
    return np.resize(history[-season_length:], horizon)


def _compute_errors(
    truth: np.ndarray, forecast: np.ndarray, scale: np.ndarray, ids: Sequence[str]
) -> dict[str, float | None]:
    known = np.isfinite(truth)
    error = np.abs(np.where(known, forecast - truth, 0.0))
    nonzero = known & (truth != 0)
    relative = error[nonzero] / ((np.abs(forecast) + np.abs(truth)) / 2)[nonzero]
    scaled = error.sum(1) / np.maximum(known.sum(1), 1) / scale
    scaled[~known.any(1)] = np.nan
    series: dict[str, list[float]] = {}
    for name, value in zip(ids, scaled, strict=True):
        series.setdefault(name, []).append(value)
    means = [np.mean(values) for values in map(_drop_missing, series.values()) if len(values)]
    return {
        "mae": float(error[known].mean()) if known.any() else None,
        "rmse": float(np.sqrt(np.square(error[known]).mean())) if known.any() else None,
        "smape": float(100 * relative.mean()) if nonzero.any() else None,
        "mase": float(np.mean(means)) if means else None,
    }


def _drop_missing(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, float)
    return array[np.isfinite(array)]


def fill_forward(history: np.ndarray) -> np.ndarray:
    """Replace missing values by the value before, and drop those before the first one; a single 0 where all are
    missing."""
    observed = np.isfinite(history)
    if not observed.any():
        return np.zeros(1)
    indices = np.maximum.accumulate(np.where(observed, np.arange(len(history)), -1))
    return history[indices[indices >= 0]]
