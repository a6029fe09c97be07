"""The baselines of `forecasting.py`: naive forecasts, and LightGBM with lags and calendar features."""

from __future__ import annotations

from typing import Any

import numpy as np

BOOSTING_ROUNDS = 400
SEASONS_BACK = 4  # seasons of lags
DAY, WEEK = 24, 168  # hours


def forecast_naive(
    train: Any, test: Any, horizon: int, season_length: int, frequency: Any, covariate: str | None
) -> list[np.ndarray]:
    """Repeat the last value."""
    return [np.repeat(row[-1], horizon) for row in _fill_rows(test.columns["y"])]


def forecast_seasonal_naive(
    train: Any, test: Any, horizon: int, season_length: int, frequency: Any, covariate: str | None
) -> list[np.ndarray]:
    """Repeat the last season."""
    return [np.resize(row[-season_length:], horizon) for row in _fill_rows(test.columns["y"])]


def forecast_same_weekday(
    train: Any, test: Any, horizon: int, season_length: int, frequency: Any, covariate: str | None
) -> list[np.ndarray]:
    """Repeat the value a week ago, of hourly series."""
    return [row[len(row) - WEEK :][:horizon] for row in _fill_rows(test.columns["y"])]


def forecast_mean_of_weekdays(
    train: Any, test: Any, horizon: int, season_length: int, frequency: Any, covariate: str | None
) -> list[np.ndarray]:
    """Average the last four same weekdays, of hourly series."""
    rows = _fill_rows(test.columns["y"])
    return [np.mean([row[len(row) - WEEK * week :][:horizon] for week in range(1, 5)], 0) for row in rows]


def forecast_light_gbm(
    train: Any, test: Any, horizon: int, season_length: int, frequency: Any, covariate: str | None
) -> list[np.ndarray]:
    """Train one LightGBM model on all series and steps: seasonal and recent lags, less the last value, and calendar."""
    import lightgbm

    rows, values = [], []
    step_size = horizon if season_length == DAY else 1
    columns = train.columns
    for row, history in enumerate(_fill_rows(columns["y"])):
        future = None if covariate is None else np.asarray(columns[covariate][row])
        timestamps = np.asarray(columns["ds"][row])
        last = len(history) - horizon
        for cutoff in range(last, _longest_lag(season_length, horizon) - 1, -step_size):
            past = history[:cutoff]
            rows.append(_features(past, timestamps[cutoff - 1], horizon, season_length, frequency, future, cutoff))
            values.append((history[cutoff : cutoff + horizon] - past[-1]) / _scale(past, season_length))
    model = lightgbm.train(
        {"objective": "l1", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 20, "verbose": -1, "seed": 0},
        lightgbm.Dataset(np.concatenate(rows), np.concatenate(values)),
        BOOSTING_ROUNDS,
    )
    forecasts = []
    columns = test.columns
    for row, history in enumerate(_fill_rows(columns["y"])):
        future = None if covariate is None else np.asarray(columns[covariate][row])
        timestamp = np.asarray(columns["ds"][row])[-1]
        features = _features(history, timestamp, horizon, season_length, frequency, future, len(history))
        forecasts.append(history[-1] + model.predict(features) * _scale(history, season_length))
    return forecasts


def _features(
    history: np.ndarray,
    timestamp: Any,
    horizon: int,
    season_length: int,
    frequency: Any,
    covariate: np.ndarray | None,
    cutoff: int,
) -> np.ndarray:
    last, scale = history[-1], _scale(history, season_length)
    ahead = np.arange(horizon)
    timestamps = timestamp + (ahead + 1) * np.timedelta64(frequency.seconds, "s")
    days = timestamps.astype("datetime64[D]").astype(int)
    parts = [ahead, timestamps.astype("datetime64[h]").astype(int) % 24, (days + 3) % 7]
    parts += [
        timestamps.astype("datetime64[M]").astype(int) % 12,
        days - timestamps.astype("datetime64[Y]").astype("datetime64[D]").astype(int),
    ]
    lags = [season_length * back for back in range(1, SEASONS_BACK + 1)] + (
        [WEEK * back for back in range(1, SEASONS_BACK + 1)] if season_length == DAY else []
    )
    parts += [(history[len(history) - lag + ahead] - last) / scale for lag in lags]
    recent = history[-24:] if season_length == DAY else history[-12:]
    parts += [np.full(horizon, (value - last) / scale) for value in (*recent[:-1], history[-season_length:].mean())]
    if covariate is not None:
        parts.append(covariate[cutoff : cutoff + horizon])
        parts += [covariate[cutoff - lag + ahead] for lag in lags]
    return np.stack(parts, 1).astype(np.float64)


def _longest_lag(season_length: int, horizon: int) -> int:
    return max(SEASONS_BACK * season_length, SEASONS_BACK * WEEK if season_length == DAY else 0) + horizon


def _scale(history: np.ndarray, season_length: int) -> float:
    return float(history[-SEASONS_BACK * season_length :].std()) or 1.0


def _fill_rows(rows: Any) -> list[np.ndarray]:
    from dlkit.tasks.forecasting.metrics import fill_forward

    return [fill_forward(np.asarray(row, np.float64)) for row in rows]


PEERS = {
    "naive": forecast_naive,
    "seasonal naive": forecast_seasonal_naive,
    "same weekday": forecast_same_weekday,
    "mean of four weekdays": forecast_mean_of_weekdays,
    "LightGBM": forecast_light_gbm,
}

HOURLY_PEERS = ("same weekday", "mean of four weekdays")
