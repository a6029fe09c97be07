"""Compare `Forecaster` with its default options and other libraries: MASE and RMSE in backtest windows.

    python benchmarks/default_series.py SERIES.csv [--horizon 12] [--windows 3] [--step-size 12] [--season-length 12]
                                        [--seeds 0 1 2] [--minutes 5] [--peers PYTHON] [HPARAM=VALUE ...]

The table has the columns `unique_id`, `ds` and `y`. The backtest windows are the ends of the series; dlkit is trained
once, before the first of them. `--peers` is the Python of an environment with statsforecast, lightgbm and scikit-learn,
which runs `series_peers.py`. MASE is scaled by the seasonal differences before the first window, and is the mean over
the series; RMSE is that of all values.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import print_machine
from timing import hparams_of

import dlkit

PEERS = Path(__file__).with_name("series_peers.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", type=Path)
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--horizon", type=int, default=12)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--step-size", type=int, default=12)
    parser.add_argument("--season-length", type=int, default=12, help="of the peers and of MASE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=0.0, help="the time budget of each fit; 0 for none")
    parser.add_argument("--peers", metavar="PYTHON", help="Python with statsforecast, lightgbm and scikit-learn")
    given = parser.parse_intermixed_args()
    print_machine()
    run_dlkit(given)
    if given.peers:
        run_peers(given)


def run_dlkit(given: argparse.Namespace) -> None:
    """Print the errors of `Forecaster` for each seed."""
    scores = []
    for seed in given.seeds:
        task = dlkit.Forecaster(
            horizon=given.horizon,
            backtest_windows=given.windows,
            step_size=given.step_size,
            seed=seed,
            **hparams_of(given.hparams),
        )
        train, test = dlkit.split(str(given.series), task)
        begun = time.process_time()
        task.fit(train, minutes=given.minutes, verbose=0, strategy="one")
        seconds = time.process_time() - begun
        made = task.predict_table(test)["forecast"]
        truth = [np.asarray(values, float)[: given.horizon] for values in test.columns["future_y"]]
        ids = [str(name) for name in test.columns["unique_id"]]
        past = dict(zip(map(str, train.columns["unique_id"]), train.columns["y"], strict=True))
        mase, rmse = measure(ids, made, truth, past, given.season_length)
        scores.append(mase)
        print(
            f"dlkit, seed {seed}: MASE {mase:.4f}, RMSE {rmse:.4f}; {task.plan_['steps']} steps, "
            f"{seconds:.0f} s of CPU",
            flush=True,
        )
    print(f"dlkit, mean of {len(scores)} seeds: MASE {statistics.mean(scores):.4f}", flush=True)


def run_peers(given: argparse.Namespace) -> None:
    """Print the errors of other libraries, on the same windows."""
    import pandas

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "forecasts.csv"
        options = ("horizon", "windows", "step_size", "season_length")
        flags = [f"--{name.replace('_', '-')}={getattr(given, name)}" for name in options]
        begun = time.perf_counter()
        subprocess.run([given.peers, str(PEERS), str(given.series), str(out), *flags], check=True)
        seconds = time.perf_counter() - begun
        made = pandas.read_csv(out, parse_dates=["ds", "cutoff"])
    frame = pandas.read_csv(given.series, parse_dates=["ds"])
    first = made.groupby("unique_id").cutoff.min()
    past = {name: own[own.ds <= first[name]].y.to_numpy(float) for name, own in frame.groupby("unique_id")}
    windows = list(made.sort_values("ds").groupby(["unique_id", "cutoff"]))
    ids, truth = [key[0] for key, _ in windows], [own.y.to_numpy(float) for _, own in windows]
    for name in made.columns.difference(["unique_id", "ds", "cutoff", "y"], sort=False):
        mase, rmse = measure(ids, [own[name].to_numpy(float) for _, own in windows], truth, past, given.season_length)
        print(f"{name}: MASE {mase:.4f}, RMSE {rmse:.4f}", flush=True)
    print(f"all of them: {seconds:.0f} s", flush=True)


def measure(
    ids: list[Any], made: Any, truth: list[np.ndarray], past: dict[Any, Any], season: int
) -> tuple[float, float]:
    """Return MASE, the mean over series, and RMSE over all values.

    Args:
        ids: the series of each window.
        made, truth: forecasts and true values of each window, (horizon,) each.
        past: by series, the values before the first window, which scale MASE.
        season: length of the season whose differences scale MASE.
    """
    errors: dict[Any, list[float]] = {}
    for name, forecast, values in zip(ids, made, truth, strict=True):
        own = np.asarray(past[name], float)
        scale = np.nanmean(np.abs(own[season:] - own[:-season]))
        errors.setdefault(name, []).append(float(np.nanmean(np.abs(np.asarray(forecast) - values)) / scale))
    squares = np.square(np.stack([np.asarray(forecast) for forecast in made]) - np.stack(truth))
    return statistics.mean(map(statistics.mean, errors.values())), float(np.sqrt(np.nanmean(squares)))


if __name__ == "__main__":
    main()
