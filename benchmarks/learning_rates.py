"""Compare the suggested learning rate with a tenth of it and ten times it, by the validation loss of all tasks.

python benchmarks/learning_rates.py [--tasks sentiment translation] [--seeds 0 1 2]

Each task trains small settings on its built-in sample. Every seed has a range test and a suggestion of its own. The
loss is that of the kept epoch; the columns hold medians over the seeds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from machine import print_machine

from dlkit.tasks import find_task, task_names

FACTORS = (0.1, 1.0, 10.0)
SMALL: dict[str, dict[str, Any]] = {
    "forecasting": {"width": 16, "ensemble_size": 2, "batch_size": 16, "epochs": 4},
    "image_classification": {"epochs": 6},
    "image_segmentation": {"width": 8, "depth": 2, "image_size": 64, "epochs": 6, "flip": "none"},
    "object_detection": {"width": 8, "image_size": 64, "epochs": 6, "flip": "horizontal"},
    "question_answering": {"width": 16, "rnn_units": 8, "max_tokens": 160, "max_question_tokens": 24, "epochs": 4},
    "recommendation": {"width": 16, "hidden_width": 32, "epochs": 15},
    "sentiment": {"epochs": 10},
    "translation": {"width": 32, "blocks": 1, "vocabulary_size": 400, "max_tokens": 24, "epochs": 10},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=task_names(), default=task_names())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    print_machine()
    print(f"{'task':20} {'suggested':>24} {'a tenth':>9} {'suggested':>9} {'ten times':>9}", flush=True)
    for name in given.tasks:
        begun = time.perf_counter()
        rates, losses = _task(name, given.seeds)
        medians = [statistics.median(values) for values in losses]
        suggested = " ".join(f"{rate:.2g}" for rate in rates)
        shown = " ".join(f"{value:9.4f}" for value in medians)
        verdict = "no worse" if medians[1] <= min(medians) else f"worse by {medians[1] / min(medians) - 1:.1%}"
        print(f"{name:20} {suggested:>24} {shown}  {verdict}, {time.perf_counter() - begun:.0f} s", flush=True)
        for factor, values in zip(FACTORS, losses, strict=True):
            print(f"    by seed at {factor:g} times: {' '.join(f'{value:.4f}' for value in values)}", flush=True)


def _task(name: str, seeds: list[int]) -> tuple[list[float], list[list[float]]]:
    """Return the suggestion of each seed; for each factor the validation losses, one a seed."""
    task_class = find_task(name)
    samples, rates = task_class.samples(), []
    losses: list[list[float]] = [[] for _ in FACTORS]
    for seed in seeds:
        hparams = {**SMALL[name], "seed": seed, "monitor": "loss"}
        rate = task_class(**hparams).find_learning_rate(samples["train"])
        rates.append(rate)
        for values, factor in zip(losses, FACTORS, strict=True):
            task = task_class(**{**hparams, "learning_rate": factor * rate})
            history = task.fit(samples["train"], samples["validation"], strategy="one", verbose=0)
            values.append(history["val_loss"][task.best_epoch_["epoch"] - 1])
    return rates, losses


if __name__ == "__main__":
    main()
