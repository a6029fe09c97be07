"""From a table of 1,000 monthly series to a table of forecasts: the seconds of the commands, and their errors.

    python benchmarks/forecast_table.py [--series 1000] [--statsforecast PYTHON] [HPARAM=VALUE ...]

The series are synthetic (seeded): a level, a trend, a season and noise, of 60 to 120 months; the 12 months after them
are held out. With the Python of an environment that has statsforecast and pandas, AutoETS and SeasonalNaive of
statsforecast are run on the same file, with one process per core.
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
STATSFORECAST = """
import sys
import pandas
from statsforecast import StatsForecast
from statsforecast.models import AutoETS, SeasonalNaive
frame = pandas.read_csv(sys.argv[1], parse_dates=["ds"])
models = [AutoETS(season_length=12), SeasonalNaive(season_length=12)]
made = StatsForecast(models=models, freq="MS", n_jobs=-1).forecast(df=frame, h=12, level=[80])
made.to_csv(sys.argv[2], index=False)
"""


def make_series(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return synthetic series by id, the last `HORIZON` values of which are to be forecast."""
    random = np.random.default_rng(seed)
    series = {}
    for number in range(count):
        steps = np.arange(random.integers(60, 121) + HORIZON)
        level, trend = 10 ** random.uniform(1, 5), random.normal(0, 0.003)
        season = random.normal(0, 0.1, SEASON)[steps % SEASON] + 0.15 * np.sin(2 * np.pi * steps / SEASON)
        series[f"s{number:04}"] = level * (1 + trend * steps + season + random.normal(0, 0.05, len(steps)))
    return series


def list_months(count: int) -> list[str]:
    """Return the first days of `count` months, the last `HORIZON` of which begin in January 2025."""
    end = np.datetime64("2025-01") + HORIZON
    return np.arange(end - count, end).astype("datetime64[D]").astype(str).tolist()


def write(series: dict[str, np.ndarray], path: Path) -> int:
    """Write the series without their last `HORIZON` values as a long table, and return its number of rows."""
    rows = [
        (name, ds, f"{value:.3f}")
        for name, values in series.items()
        for ds, value in list(zip(list_months(len(values)), values, strict=True))[:-HORIZON]
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("unique_id", "ds", "y"), *rows])
    return len(rows)


def run_timed(command: list[str], name: str) -> float:
    """Run a command, print its wall-clock seconds and its CPU seconds, which other work does not lengthen."""
    begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    seconds = time.perf_counter() - begun
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(f"{name}: {seconds:.1f} s, {busy:.1f} s of CPU", flush=True)
    return seconds


def report(path: Path, columns: list[str], series: dict[str, np.ndarray]) -> None:
    """Print MASE and the coverage of the 80 % interval of columns of forecasts, averaged over series."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    by_series = collections.defaultdict(list)
    for row in rows:
        by_series[row["unique_id"]].append(row)
    assert by_series.keys() == series.keys(), "not every series has a forecast"
    for column in columns:
        errors, inside = [], []
        for name, values in series.items():
            known, truth = values[:-HORIZON], values[-HORIZON:]
            scale = np.abs(known[SEASON:] - known[:-SEASON]).mean()
            made = sorted(by_series[name], key=lambda row: row["ds"])
            assert [row["ds"][:10] for row in made] == list_months(len(values))[-HORIZON:], name
            errors.append(np.abs(np.array([float(row[column]) for row in made]) - truth).mean() / scale)
            low, high = (np.array([float(row[f"{column}-{side}-80"]) for row in made]) for side in ("lo", "hi"))
            inside.append(((truth >= low) & (truth <= high)).mean())
        print(
            f"  {column}: {len(rows)} rows; MASE {np.mean(errors):.4f}; coverage of the 80 % interval: "
            f"{np.mean(inside):.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hparams", nargs="*", metavar="HPARAM=VALUE")
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--statsforecast", metavar="PYTHON", help="Python of an environment with statsforecast")
    given = parser.parse_args()
    print_machine()
    series = make_series(given.series)
    flags = [
        f"--{name.replace('_', '-')}={value}" for name, _, value in (hparam.partition("=") for hparam in given.hparams)
    ]
    with tempfile.TemporaryDirectory() as folder:
        table, model, out = Path(folder) / "series.csv", Path(folder) / "model", Path(folder) / "forecasts.csv"
        print(f"{given.series} series, {write(series, table)} rows, {HORIZON} months ahead")
        dlkit = [sys.executable, "-m", "dlkit"]
        train = [*dlkit, "train", "forecasting", "--data", str(table), "--horizon", str(HORIZON), "--save", str(model)]
        run_timed([*train, *flags], " ".join(["dlkit train forecasting", *flags]))
        run_timed([*dlkit, "predict", str(model), str(table), "--output", str(out)], "dlkit predict")
        report(out, ["yhat"], series)
        if given.statsforecast:
            statsforecast_out = Path(folder) / "theirs.csv"
            run_timed(
                [given.statsforecast, "-c", STATSFORECAST, str(table), str(statsforecast_out)],
                "statsforecast, AutoETS and SeasonalNaive",
            )
            report(statsforecast_out, ["AutoETS", "SeasonalNaive"], series)


if __name__ == "__main__":
    main()
