"""Forecasts of other libraries for `default_series.py`, which runs this with the Python of their environment.

    PYTHON benchmarks/series_peers.py SERIES.csv OUT.csv --horizon 12 --windows 3 --step-size 12 --season-length 12

AutoETS and SeasonalNaive of statsforecast are fitted at each cutoff; with a season of more than 24 steps, AutoETS has
none. LightGBM on 24 lags and least squares on 12 lags are fitted once, before the first cutoff, one model for each step
of the horizon, on the values of each series less its last one, divided by their standard deviation.
"""

from __future__ import annotations

import argparse
import warnings

import lightgbm
import numpy as np
import pandas
from sklearn.linear_model import LinearRegression
from statsforecast import StatsForecast
from statsforecast.models import AutoETS, SeasonalNaive

BOOSTING_ROUNDS, LEARNING_RATE = 200, 0.05
MAX_ETS_SEASON = 24  # with a longer one, AutoETS takes hours
LAGS = {"LightGBM, 24 lags": 24, "least squares, 12 lags": 12}


def forecast_statistical(frame: pandas.DataFrame, given: argparse.Namespace) -> pandas.DataFrame:
    """Return the forecasts of statsforecast: `unique_id`, `ds`, `cutoff` and a column per model."""
    season = given.season_length
    models = [SeasonalNaive(season_length=season), AutoETS(season_length=season if season <= MAX_ETS_SEASON else 1)]
    frequency = pandas.infer_freq(frame[frame.unique_id == frame.unique_id.iloc[0]].ds)
    forecast = StatsForecast(models=models, freq=frequency, n_jobs=1)
    return forecast.cross_validation(
        df=frame, h=given.horizon, n_windows=given.windows, step_size=given.step_size
    ).reset_index()


def forecast_by_lags(series: list[np.ndarray], name: str, given: argparse.Namespace) -> list[np.ndarray]:
    """Return the forecasts of each series, (windows, horizon) each."""
    lags, horizon, length = LAGS[name], given.horizon, (given.windows - 1) * given.step_size + given.horizon
    scales = [values[:-length].std() + 1e-9 for values in series]
    made = [np.empty((given.windows, horizon)) for _ in series]
    for step in range(1, horizon + 1):
        rows, targets = [], []
        for values, scale in zip(series, scales, strict=True):
            for end in range(lags, len(values) - length - step + 1):
                rows.append((values[end - lags : end] - values[end - 1]) / scale)
                targets.append((values[end + step - 1] - values[end - 1]) / scale)
        if name.startswith("LightGBM"):
            model = lightgbm.LGBMRegressor(
                n_estimators=BOOSTING_ROUNDS, learning_rate=LEARNING_RATE, n_jobs=1, verbose=-1
            )
        else:
            model = LinearRegression()
        model.fit(np.array(rows), np.array(targets))
        for values, scale, own in zip(series, scales, made, strict=True):
            ends = len(values) - length + given.step_size * np.arange(given.windows)
            past = np.stack([(values[end - lags : end] - values[end - 1]) / scale for end in ends])
            own[:, step - 1] = values[ends - 1] + scale * model.predict(past)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series")
    parser.add_argument("out")
    for name in ("--horizon", "--windows", "--step-size", "--season-length"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    frame = pandas.read_csv(given.series, parse_dates=["ds"])
    made = forecast_statistical(frame, given).sort_values(["unique_id", "cutoff", "ds"])
    names = sorted(made.unique_id.unique())
    series = [frame[frame.unique_id == name].y.interpolate().to_numpy(float) for name in names]
    for name in LAGS:
        made[name] = np.concatenate([own.ravel() for own in forecast_by_lags(series, name, given)])
    made.drop(columns=["index"], errors="ignore").to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
