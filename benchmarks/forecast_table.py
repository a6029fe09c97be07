"""Measure the way from a table of 1,000 monthly series to a table of forecasts: commands, seconds and errors.

    python benchmarks/forecast_table.py [--series 1000] [--statsforecast PYTHON] [HPARAM=VALUE ...]

The series are made up (seeded): a level, a trend, a season and noise, of 60 to 120 months; the 12 after them are known,
and no part of the table. With the Python of an environment that has statsforecast and pandas, its own call on the same
file stands beside: AutoETS and SeasonalNaive, one process a core.
"""

from __future__ import annotations

import argparse
import collections
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import print_machine

HORIZON, SEASON = 12, 12
THEIRS = """
import sys
import pandas
from statsforecast import StatsForecast
from statsforecast.models import AutoETS, SeasonalNaive
frame = pandas.read_csv(sys.argv[1], parse_dates=["ds"])
models = [AutoETS(season_length=12), SeasonalNaive(season_length=12)]
made = StatsForecast(models=models, freq="MS", n_jobs=-1).forecast(df=frame, h=12, level=[80])
made.to_csv(sys.argv[2], index=False)
"""


def made_up(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Make synthetic series by id; the last `HORIZON` values of each are to be forecast."""
    random = np.random.default_rng(seed)
    series = {}
    for number in range(count):
        steps = np.arange(random.integers(60, 121) + HORIZON)
        level, trend = 10 ** random.uniform(1, 5), random.normal(0, 0.003)
        season = random.normal(0, 0.1, SEASON)[steps % SEASON] + 0.15 * np.sin(2 * np.pi * steps / SEASON)
        series[f"s{number:04}"] = level * (1 + trend * steps + season + random.normal(0, 0.05, len(steps)))
    return series


def months(count: int) -> list[str]:
    """Return the first days of so many months, of which the last is December 2024, and then those of the forecast."""
    end = np.datetime64("2025-01") + HORIZON
    return np.arange(end - count, end).astype("datetime64[D]").astype(str).tolist()


def write(series: dict[str, np.ndarray], path: Path) -> int:
    """Write what is known of the series as a long table; returns how many rows it has."""
    rows = [
        (name, ds, f"{value:.3f}")
        for name, values in series.items()
        for ds, value in list(zip(months(len(values)), values, strict=True))[:-HORIZON]
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("unique_id", "ds", "y"), *rows])
    return len(rows)


def timed(command: list[str], name: str) -> float:
    """Time a command in a separate process: its wall-clock and its processor seconds."""
    begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    seconds = time.perf_counter() - begun
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(f"{name}: {seconds:.1f} s, {busy:.1f} s of processors", flush=True)
    return seconds


def report(path: Path, columns: list[str], series: dict[str, np.ndarray]) -> None:
    """Print the mean over series of the mean absolute scaled error of some columns of forecasts."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    told = collections.defaultdict(list)
    for row in rows:
        told[row["unique_id"]].append(row)
    assert told.keys() == series.keys(), "not every series has a forecast"
    for column in columns:
        errors, inside = [], []
        for name, values in series.items():
            known, truth = values[:-HORIZON], values[-HORIZON:]
            scale = np.abs(known[SEASON:] - known[:-SEASON]).mean()
            made = sorted(told[name], key=lambda row: row["ds"])
            assert [row["ds"][:10] for row in made] == months(len(values))[-HORIZON:], name
            errors.append(np.abs(np.array([float(row[column]) for row in made]) - truth).mean() / scale)
            low, high = (np.array([float(row[f"{column}-{side}-80"]) for row in made]) for side in ("lo", "hi"))
            inside.append(((truth >= low) & (truth <= high)).mean())
        print(
            f"  {column}: {len(rows)} rows; MASE {np.mean(errors):.4f}; in the interval of 80 %: {np.mean(inside):.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--statsforecast", metavar="PYTHON", help="the Python of an environment that has it")
    given = parser.parse_args()
    print_machine()
    series = made_up(given.series)
    flags = [
        f"--{name.replace('_', '-')}={value}" for name, _, value in (hparam.partition("=") for hparam in given.hparams)
    ]
    with tempfile.TemporaryDirectory() as folder:
        table, model, out = Path(folder) / "series.csv", Path(folder) / "model", Path(folder) / "forecasts.csv"
        print(f"{given.series} series, {write(series, table)} rows, {HORIZON} months ahead")
        dlkit = [sys.executable, "-m", "dlkit"]
        train = [*dlkit, "train", "forecasting", "--data", str(table), "--horizon", str(HORIZON), "--save", str(model)]
        timed([*train, *flags], " ".join(["dlkit train forecasting", *flags]))
        timed([*dlkit, "predict", str(model), str(table), "--output", str(out)], "dlkit predict")
        report(out, ["yhat"], series)
        if given.statsforecast:
            theirs = Path(folder) / "theirs.csv"
            timed(
                [given.statsforecast, "-c", THEIRS, str(table), str(theirs)], "statsforecast, AutoETS and SeasonalNaive"
            )
            report(theirs, ["AutoETS", "SeasonalNaive"], series)


if __name__ == "__main__":
    main()
