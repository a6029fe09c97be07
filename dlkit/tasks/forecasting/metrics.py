"""Forecasts against what came, beside naive ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def score_forecasts(
    ids: Sequence[str],
    histories: Sequence[np.ndarray],
    following: Sequence[np.ndarray],
    answers: Mapping[str, Sequence[np.ndarray]],
    season: int,
    scales: Mapping[str, float],
    window: int = 0,
) -> dict[str, Any]:
    """Metrics over all origins and known steps, and in `compared` the same of the naive forecasts.

    `mae`, `rmse` and `pinball` are in the series' units; `smape` is in percent, of the mean of both sizes (Makridakis,
    1993), over the steps whose value is not 0: of a 0 it is 200 % of any forecast but 0; `mase` is the mean error over
    that of the seasonal naive forecast inside the training part (Hyndman and Koehler, 2006), the mean over each series
    and then over series. `coverage_80` is the share of values inside the interval from the lowest to the highest
    quantile, named by what it should be, in percent; `crossing` counts quantiles below a lower one. `skill` is 1 less
    the ratio of `mase` to that of the better naive forecast; of `mae` where no series has a scale. Where naive
    forecasts make no error it is 0, or -1 if the model makes one. What has no value is None, and `notes` says why.

    Args:
        ids: of each row's series.
        histories: (any,) of each row, NaN where a value is missing.
        following: (any,) what came, NaN where it is not known.
        answers: `forecast`: (horizon,) each, `quantiles`: (horizon, levels), and `levels`: (levels,).
        season: positive integer, in steps.
        scales: of series by id: the mean error of the seasonal naive forecast inside the training part. A series that
            is not there is scaled by its history.
        window: the steps that the model reads; a note tells of histories that have fewer.
    """
    horizon = len(answers["forecast"][0])
    truth = np.full((len(ids), horizon), np.nan)
    for row, values in enumerate(following):
        truth[row, : min(horizon, len(values))] = np.asarray(values, float)[:horizon]
    scale = np.array(
        [scales.get(name) or scale_of(history, season) for name, history in zip(ids, histories, strict=True)]
    )
    filled = [_filled(np.asarray(history, float)) for history in histories]
    forecasts = {
        "forecaster": np.stack([np.asarray(row, float) for row in answers["forecast"]]),
        "seasonal naive": np.stack([seasonal_naive(history, season, horizon) for history in filled]),
        "naive": np.stack([seasonal_naive(history, 1, horizon) for history in filled]),
    }
    compared = {name: _errors(truth, made, scale, ids) for name, made in forecasts.items()}
    quantiles = np.stack([np.asarray(row, float) for row in answers["quantiles"]])
    levels = np.asarray(answers["levels"][0], float)
    known = np.isfinite(truth)
    error = truth[..., None] - quantiles
    compared["forecaster"]["pinball"] = (
        float(np.maximum(levels * error, (levels - 1) * error)[known].mean()) if known.any() else None
    )
    inside = (quantiles[..., 0] <= truth) & (truth <= quantiles[..., -1])
    own = compared["forecaster"]
    notes = _notes(own, truth, scale, ids, [len(history) for history in histories], window)
    return {
        **own,
        f"coverage_{round(100 * (levels[-1] - levels[0]))}": float(inside[known].mean()) if known.any() else None,
        "crossing": int((np.diff(quantiles, axis=-1) < 0).sum()),
        "skill": _skill(compared),
        "baseline_skill": 0.0,
        "origins": len(ids),
        "compared": compared,
        **({"notes": notes} if notes else {}),
    }


def _skill(compared: Mapping[str, Mapping[str, float | None]]) -> float:
    by = "mae" if compared["forecaster"]["mase"] is None else "mase"
    own, *naive = (compared[name][by] or 0.0 for name in ("forecaster", "naive", "seasonal naive"))
    if min(naive) > 0:
        return 1.0 - own / min(naive)
    return -1.0 if own > 0 else 0.0


def _notes(
    own: Mapping[str, float | None],
    truth: np.ndarray,
    scale: np.ndarray,
    ids: Sequence[str],
    lengths: Sequence[int],
    window: int,
) -> list[str]:
    """What a reader of the metrics must know: what has no value, and histories that are too short."""
    notes = []
    constant = sorted({name for name, size in zip(ids, scale, strict=True) if not np.isfinite(size)})
    if constant:
        notes.append(
            f"{len(constant)} of {len(set(ids))} series are constant before the forecast origin and have no mase: "
            f"{', '.join(map(repr, constant[:3]))}{', ...' if constant[3:] else ''}"
        )
    zeros = float((truth == 0).sum() / max(1, np.isfinite(truth).sum()))
    if own["smape"] is None:
        notes.append("all values are 0, for which smape is undefined")
    elif zeros > 0:
        notes.append(f"{zeros:.0%} of the values are 0 and are excluded from smape")
    short = [length for length in lengths if length < window]
    if short:
        notes.append(
            f"{len(short)} of {len(lengths)} backtest windows have less history than the model's context of "
            f"{window} steps, the shortest {min(short)}: if the data covers the test period only, include the "
            "preceding history"
        )
    return notes


def scale_of(values: np.ndarray, season: int) -> float:
    """The mean absolute difference to the value one season before; to the value before where there is no such pair; NaN
    for none."""
    values = np.asarray(values, float)
    for back in (season, 1):
        steps = np.abs(values[back:] - values[:-back])
        steps = steps[np.isfinite(steps)]
        if len(steps) and steps.mean() > 0:
            return float(steps.mean())
    return float("nan")


def seasonal_naive(history: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """The last season again and again; of a history shorter than a season, its last value: (horizon,)."""
    if len(history) < season:
        season = 1
    return np.resize(history[-season:], horizon)


def _errors(truth: np.ndarray, forecast: np.ndarray, scale: np.ndarray, ids: Sequence[str]) -> dict[str, float | None]:
    known = np.isfinite(truth)
    error = np.abs(np.where(known, forecast - truth, 0.0))
    counted = known & (truth != 0)
    relative = error[counted] / ((np.abs(forecast) + np.abs(truth)) / 2)[counted]
    rows = error.sum(1) / np.maximum(known.sum(1), 1) / scale
    rows[~known.any(1)] = np.nan
    series: dict[str, list[float]] = {}
    for name, value in zip(ids, rows, strict=True):
        series.setdefault(name, []).append(value)
    means = [np.mean(values) for values in map(_finite, series.values()) if len(values)]
    return {
        "mae": float(error[known].mean()) if known.any() else None,
        "rmse": float(np.sqrt(np.square(error[known]).mean())) if known.any() else None,
        "smape": float(100 * relative.mean()) if counted.any() else None,
        "mase": float(np.mean(means)) if means else None,
    }


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, float)
    return array[np.isfinite(array)]


def _filled(history: np.ndarray) -> np.ndarray:
    """Missing values as the one before; 0 where there is none at all."""
    there = np.isfinite(history)
    if not there.any():
        return np.zeros(1)
    places = np.maximum.accumulate(np.where(there, np.arange(len(history)), -1))
    return history[places[places >= 0]]
