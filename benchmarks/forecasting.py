"""Backtests of forecasters on an hourly and on weekly series, beside baselines.

python benchmarks/forecasting.py traffic [HPARAM=VALUE ...] [--holidays] [--seeds 0 1 2] [--held-out] [--networks NAME
...]
                                         [--peers NAME ...]
python benchmarks/forecasting.py weekly  [HPARAM=VALUE ...] [--seeds 0 1 2] [--held-out] [--networks NAME ...] [--peers
NAME ...]
python benchmarks/forecasting.py groups  [HPARAM=VALUE ...] [--seeds 0 1 2]
python benchmarks/forecasting.py samples [HPARAM=VALUE ...] [--seeds 0 1 2] [--networks NAME ...]

`traffic` is one series of 17,520 hours, with a horizon of 24 and one backtest window a day in the last 28 days.
`weekly` has nine series of 1,028 weeks, with a horizon of 8 and six backtest windows, 8 weeks apart, from 52 weeks
before the end. MASE, scaled by the training part, and MAE are printed of all models, and of dlkit's also the coverage
of the 80 % interval, the number of crossing quantiles and the seconds of training. With `--held-out` the models are
evaluated on the block before the test part, on which hyperparameters are chosen. With `--holidays` the federal holidays
are a future covariate.

`groups` has two groups of six series of 300 days in one table, with levels of 10 and 10,000 and a noise of 5. The
coverage and the width of the 80 % interval are printed for each group, for a horizon of 7 and eight backtest windows.
`samples` has the built-in airline passengers and sunspots.

LightGBM needs pip install ".[forecasters]".
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
from forecast_peers import HOURLY_PEERS, PEERS
from machine import DATA, print_machine
from timing import hparams_of

from dlkit.version import install_hint

BACKTESTS: dict[str, dict[str, Any]] = {
    "traffic": {"horizon": 24, "backtest_windows": 28, "step_size": 24},
    "weekly": {"horizon": 8, "backtest_windows": 6, "step_size": 8},
}
FILES = {"traffic": "traffic_hourly", "weekly": "eia_weekly"}
USUAL = {"epochs": 20, "patience": 12}
HPARAMS: dict[str, dict[str, Any]] = {
    "traffic": USUAL,
    "weekly": {**USUAL, "static_covariates": "unique_id", "dropout": 0.3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=[*BACKTESTS, "groups", "samples"])
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--holidays", action="store_true")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="*", default=["mlp"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    given = parser.parse_intermixed_args()
    if given.data not in BACKTESTS:
        print_machine()
        if given.data == "groups":
            run_groups(hparams_of(given.hparams), given.seeds)
        else:
            run_samples(hparams_of(given.hparams), given.networks, given.seeds)
        return
    hparams = {**BACKTESTS[given.data], **HPARAMS[given.data], **hparams_of(given.hparams)}
    if given.holidays:
        hparams["future_covariates"] = "holiday"
    print_machine()
    train, test = split_data(given.data, hparams, given.held_out)
    print(f"\n{given.data}: {sum(map(len, train.columns['y']))} training values, {len(test)} backtest windows")
    for name in given.peers:
        if name in HOURLY_PEERS and given.data != "traffic":
            continue
        run_peer(name, train, test, hparams)
    for network in given.networks:
        run_task(network, hparams, train, test, given.seeds)


def split_data(data: str, hparams: dict[str, Any], held_out: bool) -> tuple[Any, Any]:
    import dlkit

    task = dlkit.Forecaster(**hparams)
    train, test = dlkit.split(read_table(data), task)
    return dlkit.split(train, task) if held_out else (train, test)


def read_table(data: str) -> Any:
    """Return the series as a DataFrame, with a column of holidays."""
    import pandas
    from pandas.tseries.holiday import USFederalHolidayCalendar

    frame = pandas.read_csv(DATA / FILES[data] / "series.csv", parse_dates=["ds"])
    if data == "weekly":  # the six horizons take the first 48 of the last 52 weeks
        frame = frame[frame.groupby("unique_id").cumcount(ascending=False) >= 4]
    days = frame["ds"].dt.normalize()
    frame["holiday"] = days.isin(USFederalHolidayCalendar().holidays(days.min(), days.max())).astype(float)
    return frame


NOISE = 5.0
INTERVAL_WIDTH = 2 * 1.2816 * NOISE  # of the 80 % interval of normal noise


def run_groups(hparams: dict[str, Any], seeds: list[int]) -> None:
    """Print the coverage and width of the 80 % interval of series of a low and a high level with equal noise."""
    import pandas

    import dlkit

    random = np.random.default_rng(0)
    levels = {f"{group}{place}": level for group, level in (("low", 10), ("high", 10_000)) for place in range(6)}
    days = pandas.date_range("2020-01-01", periods=300)
    frames = [
        pandas.DataFrame({"unique_id": name, "ds": days, "y": level + NOISE * random.normal(size=len(days))})
        for name, level in levels.items()
    ]
    for seed in seeds:
        task = dlkit.Forecaster(**{"horizon": 7, "backtest_windows": 8, "seed": seed, **hparams})
        train, test = dlkit.split(pandas.concat(frames), task)
        task.fit(train, strategy="one", verbose=0)
        quantiles = np.stack(task.predict_table(test)["quantiles"])
        truth = np.stack([values[:7] for values in test.columns["future_y"]])
        inside = (quantiles[..., 0] <= truth) & (truth <= quantiles[..., -1])
        names = np.array([str(name) for name in test.columns["unique_id"]])
        for group in ("low", "high"):
            rows = np.char.startswith(names, group)
            width = float((quantiles[rows, :, -1] - quantiles[rows, :, 0]).mean())
            print(
                f"seed {seed}, level {levels[f'{group}0']:>6}: coverage {inside[rows].mean():.3f}, "
                f"width {width:.2f}, {width / INTERVAL_WIDTH:.2f} of the true one, {INTERVAL_WIDTH:.2f}",
                flush=True,
            )


def run_samples(hparams: dict[str, Any], networks: list[str], seeds: list[int]) -> None:
    """Evaluate on the built-in samples: airline passengers by their own parts, sunspots by eight backtest windows."""
    import dlkit
    from dlkit.tasks.forecasting.sample import load_sunspots

    years = {"horizon": 4, "backtest_windows": 8, "season_length": 11}
    for network in networks:
        for name in ("airline", "sunspots"):
            scores = []
            for seed in seeds:
                task = dlkit.Forecaster(
                    **{"network": network, "seed": seed, **(years if name == "sunspots" else {}), **hparams}
                )
                begun = time.perf_counter()
                if name == "airline":
                    parts = task.samples()
                    train, validation, test = parts["train"], parts["validation"], parts["test"]
                else:
                    (train, test), validation = dlkit.split(load_sunspots(), task), None
                task.fit(train, validation, strategy="one", verbose=0)
                metrics = task.evaluate(test)
                show(f"{name}, {network}, seed {seed}", metrics, time.perf_counter() - begun)
                scores.append(metrics["mase"])
            print(f"{name}, {network}: MASE {statistics.mean(scores):.4f}, from {min(scores):.4f} to {max(scores):.4f}")


def run_task(network: str, hparams: dict[str, Any], train: Any, test: Any, seeds: list[int]) -> None:
    import dlkit

    scores = []
    for seed in seeds:
        task = dlkit.Forecaster(**{"network": network, "seed": seed, "validation_split": 0.0, **hparams})
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


def run_peer(name: str, train: Any, test: Any, hparams: dict[str, Any]) -> None:
    from dlkit.tasks.forecasting.frequency import Frequency
    from dlkit.tasks.forecasting.metrics import compute_mase_scale, score_forecasts

    horizon, season_length = hparams["horizon"], 24 if hparams["horizon"] == 24 else 52
    frequency = Frequency(seconds=3600 if season_length == 24 else 7 * 86_400)
    begun = time.perf_counter()
    try:
        forecasts = PEERS[name](train, test, horizon, season_length, frequency, hparams.get("future_covariates"))
    except ImportError as error:
        print(f"{name}: {error}. {install_hint('forecasters')}", flush=True)
        return
    seconds = time.perf_counter() - begun
    scales = {
        name: compute_mase_scale(np.asarray(values), season_length)
        for name, values in zip(train.columns["unique_id"], train.columns["y"], strict=True)
    }
    answers = {
        "forecast": forecasts,
        "quantiles": [forecast[:, None] for forecast in forecasts],
        "quantile_levels": [np.array([0.5])],
    }
    columns = test.columns
    metrics = score_forecasts(
        columns["unique_id"],
        columns["y"],
        columns["future_y"],
        answers,
        season_length=season_length,
        mase_scales=scales,
    )
    show(name, {key: metrics[key] for key in ("mase", "mae")}, seconds)


def show(name: str, metrics: dict[str, Any], seconds: float) -> None:
    text = "  ".join(
        f"{key} {metrics[key]:.4f}" for key in ("mase", "mae", "coverage_80", "quantile_crossings") if key in metrics
    )
    print(f"{name:<24} {text}  {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
