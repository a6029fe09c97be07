"""Baselines for `forecasting.py`: naive forecasts, and LightGBM with lags and calendar features."""

from __future__ import annotations

from typing import Any

import numpy as np

ROUNDS = 400  # of boosting
BACK = 4  # seasons of lags


def naive(train: Any, test: Any, horizon: int, season: int, step: Any, known: str | None) -> list[np.ndarray]:
    return [np.repeat(row[-1], horizon) for row in _filled(test.columns["y"])]


def seasonal_naive(train: Any, test: Any, horizon: int, season: int, step: Any, known: str | None) -> list[np.ndarray]:
    return [np.resize(row[-season:], horizon) for row in _filled(test.columns["y"])]


def same_weekday(train: Any, test: Any, horizon: int, season: int, step: Any, known: str | None) -> list[np.ndarray]:
    """Forecast each hour by its value a week ago."""
    return [row[len(row) - 168 :][:horizon] for row in _filled(test.columns["y"])]


def four_weekdays(train: Any, test: Any, horizon: int, season: int, step: Any, known: str | None) -> list[np.ndarray]:
    """Forecast each hour by its mean over the last four same weekdays."""
    rows = _filled(test.columns["y"])
    return [np.mean([row[len(row) - 168 * week :][:horizon] for week in range(1, 5)], 0) for row in rows]


def light_gbm(train: Any, test: Any, horizon: int, season: int, step: Any, known: str | None) -> list[np.ndarray]:
    """Return one model of all series and steps: lags of seasons and of the last values, less the last value, and the
    calendar."""
    import lightgbm

    rows, values = [], []
    stride = horizon if season == 24 else 1
    columns = train.columns
    for row, history in enumerate(_filled(columns["y"])):
        covariate = None if known is None else np.asarray(columns[known][row])
        stamps = np.asarray(columns["ds"][row])
        last = len(history) - horizon
        for origin in range(last, _reach(season, horizon) - 1, -stride):
            features = _features(history[:origin], stamps[origin - 1], horizon, season, step, covariate, origin)
            rows.append(features)
            values.append((history[origin : origin + horizon] - history[origin - 1]) / _size(history[:origin], season))
    model = lightgbm.train(
        {"objective": "l1", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 20, "verbose": -1, "seed": 0},
        lightgbm.Dataset(np.concatenate(rows), np.concatenate(values)),
        ROUNDS,
    )
    made = []
    columns = test.columns
    for row, history in enumerate(_filled(columns["y"])):
        covariate = None if known is None else np.asarray(columns[known][row])
        features = _features(
            history, np.asarray(columns["ds"][row])[-1], horizon, season, step, covariate, len(history)
        )
        made.append(history[-1] + model.predict(features) * _size(history, season))
    return made


def _features(
    history: np.ndarray, stamp: Any, horizon: int, season: int, step: Any, covariate: np.ndarray | None, origin: int
) -> np.ndarray:
    last, size = history[-1], _size(history, season)
    ahead = np.arange(horizon)
    stamps = stamp + (ahead + 1) * np.timedelta64(step.seconds, "s")
    days = stamps.astype("datetime64[D]").astype(int)
    parts = [ahead, stamps.astype("datetime64[h]").astype(int) % 24, (days + 3) % 7]
    parts += [
        stamps.astype("datetime64[M]").astype(int) % 12,
        days - stamps.astype("datetime64[Y]").astype("datetime64[D]").astype(int),
    ]
    lags = [season * back for back in range(1, BACK + 1)] + (
        [168 * back for back in range(1, BACK + 1)] if season == 24 else []
    )
    parts += [(history[len(history) - lag + ahead] - last) / size for lag in lags]
    recent = history[-24:] if season == 24 else history[-12:]
    parts += [np.full(horizon, (value - last) / size) for value in (*recent[:-1], history[-season:].mean())]
    if covariate is not None:
        parts.append(covariate[origin : origin + horizon])
        parts += [covariate[origin - lag + ahead] for lag in lags]
    return np.stack(parts, 1).astype(np.float64)


def _reach(season: int, horizon: int) -> int:
    return max(BACK * season, BACK * 168 if season == 24 else 0) + horizon


def _size(history: np.ndarray, season: int) -> float:
    return float(history[-BACK * season :].std()) or 1.0


def _filled(rows: Any) -> list[np.ndarray]:
    from dlkit.tasks.forecasting.metrics import _filled as filled

    return [filled(np.asarray(row, np.float64)) for row in rows]


PEERS = {
    "naive": naive,
    "seasonal naive": seasonal_naive,
    "same weekday": same_weekday,
    "mean of four weekdays": four_weekdays,
    "LightGBM": light_gbm,
}

HOURLY = ("same weekday", "mean of four weekdays")
