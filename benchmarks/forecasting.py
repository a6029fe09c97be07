"""Forecasting of an hourly and of weekly series by rolling origins, beside its peers.

python benchmarks/forecasting.py traffic [KNOB=VALUE ...] [--holidays] [--seeds 0 1 2] [--held-out] [--networks NAME
...]
                                         [--peers NAME ...]
python benchmarks/forecasting.py weekly  [KNOB=VALUE ...] [--seeds 0 1 2] [--held-out] [--networks NAME ...] [--peers
NAME ...]

`traffic` is one series of 17,520 hours: a horizon of 24, an origin a day in the last 28 days. `weekly` are nine series
of 1,028 weeks: a horizon of 8, six origins every 8 weeks from 52 weeks before the end. Of all that is compared MASE,
with the scale of the training part, MAE, and of dlkit the coverage of the 80 % interval and the quantiles that cross
are printed, with seconds of training. With `--held-out` the test part is left alone, and the block before it is
measured on: knobs are chosen there. With `--holidays` the federal holidays are a covariate that is known ahead.
LightGBM needs pip install "dlkit[forecasters]".
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
from forecast_peers import HOURLY, PEERS
from machine import DATA, print_machine
from timing import knobs_of

PROTOCOLS: dict[str, dict[str, Any]] = {
    "traffic": {"horizon": 24, "origins": 28, "stride": 24},
    "weekly": {"horizon": 8, "origins": 6, "stride": 8},
}
FILES = {"traffic": "traffic_hourly", "weekly": "eia_weekly"}
KNOBS: dict[str, dict[str, Any]] = {"traffic": {}, "weekly": {"static": "unique_id", "dropout": 0.3}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=list(PROTOCOLS))
    parser.add_argument("knobs", nargs="*", metavar="KNOB=VALUE")
    parser.add_argument("--holidays", action="store_true")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="*", default=["mlp"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    given = parser.parse_intermixed_args()
    knobs = {**PROTOCOLS[given.data], **KNOBS[given.data], **knobs_of(given.knobs)}
    if given.holidays:
        knobs["known"] = "holiday"
    print_machine()
    train, test = parts(given.data, knobs, given.held_out)
    print(f"\n{given.data}: {sum(map(len, train.columns['y']))} values to train on, {len(test)} origins to test on")
    for name in given.peers:
        if name in HOURLY and given.data != "traffic":
            continue
        run_peer(name, train, test, knobs)
    for network in given.networks:
        run_task(network, knobs, train, test, given.seeds)


def parts(data: str, knobs: dict[str, Any], held_out: bool) -> tuple[Any, Any]:
    import dlkit

    task = dlkit.Forecaster(**knobs)
    train, test = dlkit.split(table(data), task)
    return dlkit.split(train, task) if held_out else (train, test)


def table(data: str) -> Any:
    """The series as a DataFrame, with a column of holidays."""
    import pandas
    from pandas.tseries.holiday import USFederalHolidayCalendar

    frame = pandas.read_csv(DATA / FILES[data] / "series.csv", parse_dates=["ds"])
    if data == "weekly":  # of the last 52 weeks the six horizons take 48, the first ones
        frame = frame[frame.groupby("unique_id").cumcount(ascending=False) >= 4]
    days = frame["ds"].dt.normalize()
    frame["holiday"] = days.isin(USFederalHolidayCalendar().holidays(days.min(), days.max())).astype(float)
    return frame


def run_task(network: str, knobs: dict[str, Any], train: Any, test: Any, seeds: list[int]) -> None:
    import dlkit

    scores = []
    for seed in seeds:
        task = dlkit.Forecaster(**{"network": network, "seed": seed, "validation_split": 0.0, **knobs})
        begun = time.perf_counter()
        task.fit(train, strategy="one", verbose=0)
        metrics = task.evaluate(test)
        show(f"dlkit {network}, seed {seed}", metrics, time.perf_counter() - begun)
        scores.append(metrics["mase"])
    if len(scores) > 1:
        print(
            f"dlkit {network}: MASE {statistics.mean(scores):.4f}, from {min(scores):.4f} to {max(scores):.4f}",
            flush=True,
        )


def run_peer(name: str, train: Any, test: Any, knobs: dict[str, Any]) -> None:
    from dlkit.tasks.forecasting.frequency import Step
    from dlkit.tasks.forecasting.metrics import scale_of, score_forecasts

    horizon, season = knobs["horizon"], 24 if knobs["horizon"] == 24 else 52
    step = Step(seconds=3600 if season == 24 else 7 * 86_400)
    begun = time.perf_counter()
    try:
        forecasts = PEERS[name](train, test, horizon, season, step, knobs.get("known"))
    except ImportError as error:
        print(f'{name}: {error}. pip install "dlkit[forecasters]"', flush=True)
        return
    seconds = time.perf_counter() - begun
    scales = {
        name: scale_of(np.asarray(values), season)
        for name, values in zip(train.columns["unique_id"], train.columns["y"], strict=True)
    }
    answers = {"forecast": forecasts, "quantiles": [made[:, None] for made in forecasts], "levels": [np.array([0.5])]}
    columns = test.columns
    metrics = score_forecasts(columns["unique_id"], columns["y"], columns["following"], answers, season, scales)
    show(name, {key: metrics[key] for key in ("mase", "mae")}, seconds)


def show(name: str, metrics: dict[str, Any], seconds: float) -> None:
    told = "  ".join(
        f"{key} {metrics[key]:.4f}" for key in ("mase", "mae", "coverage_80", "crossing") if key in metrics
    )
    print(f"{name:<24} {told}  {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
