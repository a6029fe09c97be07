"""Compare tasks with their default options and a number of minutes with the tuned options of their recipes.

python benchmarks/default_minutes.py trees|tissue|traffic|weekly|ranking|ratings [--minutes M] [--seeds 0] [--recipe]

The defaults are trained for M minutes, by default about the time that the tuned options need on two cores, and the
metrics of the served predictions on the test data are printed; nothing is chosen on these. With `--recipe`, the tuned
options are trained first, and the defaults are given the minutes that this took. Options that say what is wanted, as
the horizon of a forecast, are the same. The tuned options are those of `detection.py`, `segmentation.py`,
`forecasting.py` and `recommendation.py`, where the figures of more seeds come from.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import detection
import forecasting
import recommendation
import segmentation
from machine import print_machine

import dlkit

LOWER_IS_BETTER = ("mase", "rmse")


def forecasts(data: str) -> tuple[Any, Any]:
    return forecasting.split_data(data, forecasting.BACKTESTS[data], held_out=False)


def trained_on_all(hparams: dict[str, Any]) -> dict[str, Any]:
    return {"validation_split": 0.0, **hparams}


# Of each data: the task, its data, what is wanted, the tuned options, the metric, and about how many minutes they take.
Case = tuple[Any, Callable[[], tuple[Any, Any]], dict[str, Any], dict[str, Any], str, float]
RATINGS = {"objective": "ratings"}
CASES: dict[str, Case] = {
    "trees": (
        dlkit.ObjectDetector,
        lambda: detection.sources("trees"),
        {},
        {**detection.HPARAMS["trees"], "epochs": 100},
        "AP50",
        11.4,
    ),
    "tissue": (
        dlkit.ImageSegmenter,
        lambda: segmentation.sources("tissue"),
        {},
        {**segmentation.HPARAMS["tissue"], "epochs": 24},
        "mean_iou",
        3.7,
    ),
    "traffic": (
        dlkit.Forecaster,
        lambda: forecasts("traffic"),
        forecasting.BACKTESTS["traffic"],
        trained_on_all(forecasting.HPARAMS["traffic"]),
        "mase",
        3.0,
    ),
    "weekly": (
        dlkit.Forecaster,
        lambda: forecasts("weekly"),
        forecasting.BACKTESTS["weekly"],
        trained_on_all(forecasting.HPARAMS["weekly"]),
        "mase",
        1.0,
    ),
    "ranking": (
        dlkit.Recommender,
        lambda: recommendation.load_split("per_user_random_75_25", 42, False),
        {"min_rating": 0.0, "top_k": recommendation.K},
        {"network": "two_tower", **recommendation.RANKING_NETWORKS["two_tower"]},
        "ndcg",
        0.5,
    ),
    "ratings": (
        dlkit.Recommender,
        lambda: recommendation.load_split("random_80_20", 0, False),
        RATINGS,
        {"network": "svdpp", **recommendation.RATING_NETWORKS["svdpp"]},
        "rmse",
        0.8,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=CASES)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--recipe", action="store_true")
    given = parser.parse_args()
    print_machine()
    task, sources, wanted, tuned, metric, usual = CASES[given.data]
    train, test = sources()
    found, expected = [], []
    for seed in given.seeds:
        minutes = given.minutes or usual
        if given.recipe:
            value, minutes = run(
                f"{given.data}, tuned, seed {seed}", task(**wanted, **tuned, seed=seed), train, test, metric
            )
            expected.append(value)
        name = f"{given.data}, defaults, {minutes:.2f} minutes, seed {seed}"
        found.append(run(name, task(**wanted, seed=seed), train, test, metric, minutes=minutes)[0])
    if expected:
        ratio = statistics.mean(found) / statistics.mean(expected)
        gain = (1 / ratio if metric in LOWER_IS_BETTER else ratio) - 1
        print(f"{given.data}: the defaults are {abs(gain):.1%} {'better' if gain > 0 else 'worse'}")


def run(name: str, task: Any, train: Any, test: Any, metric: str, **options: Any) -> tuple[float, float]:
    """Print the metric of a task on test data; return it, and the minutes of training."""
    begun = time.perf_counter()
    task.fit(train, strategy="one", verbose=0, **options)
    minutes = (time.perf_counter() - begun) / 60
    value = float(task.evaluate(test)[metric])
    print(f"{name}: {metric} {value:.4f}, {task.plan_.get('steps')} steps in {minutes:.2f} minutes", flush=True)
    return value, minutes


if __name__ == "__main__":
    main()
