"""Compare losses and weights of `mirrored:2` and two worker processes with those of one device, for each task.

python benchmarks/strategies.py [--tasks TASK ...] [--epochs N]

Every training is a process of its own on the task's built-in sample: the same seed, batches of 32 rows that split
evenly (128 rows) or not (100 rows: 12 and 13), validation, gradient clipping, weight decay, class weights where the
task has them, batch normalization where its network has it; dropout off. Printed is the largest difference: of the
losses, relative to each; of the weights, relative to the largest one of each tensor, or to 0.1 where all are smaller.
The 16-bit rows compare the losses alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from machine import print_machine
from workers import start_workers

STEADY = {"optimizer": "sgd", "learning_rate": 0.01}  # adamw's first steps are the signs of gradients, which may cancel
QUICK = {
    "object_detection": {"width": 8, "image_size": 64, **STEADY},
    "image_segmentation": {"width": 8, "depth": 2, "image_size": 64, **STEADY},
}
CASES = {
    "even": (128, {}),
    "uneven": (100, {}),
    "mixed_bfloat16": (100, {"precision": "mixed_bfloat16"}),
    "mixed_float16": (100, {"precision": "mixed_float16"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train", nargs=4, metavar=("TASK", "CASE", "STRATEGY", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        train(*given.train, given.epochs)
        return
    from dlkit.tasks import task_names

    print_machine()
    for task in given.tasks or task_names():
        for case in CASES:
            compare(task, case, given.epochs)


def compare(task: str, case: str, epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for strategy, workers in (("one", 1), ("mirrored:2", 1), ("multiworker", 2)):
            arguments = ["--epochs", str(epochs), "--train", task, case, strategy, f"{folder}/{strategy}.npz"]
            started = start_workers(__file__, arguments, workers)
            outputs = [worker.communicate() for worker in started]
            if any(worker.returncode for worker in started):
                raise SystemExit("\n".join(errors for _, errors in outputs))
        found = {strategy: differences(folder, strategy) for strategy in ("mirrored:2", "multiworker")}
    told = "; ".join(
        f"{strategy}: losses {losses:.0e}" + ("" if case.startswith("mixed") else f", weights {weights:.0e}")
        for strategy, (losses, weights) in found.items()
    )
    print(f"{task}, {case}: {told}", flush=True)


def differences(folder: str, strategy: str) -> tuple[float, float]:
    """Return the largest relative difference of the losses, and of the weights."""
    import numpy as np

    with np.load(Path(folder, "one.npz")) as one, np.load(Path(folder, f"{strategy}.npz")) as other:
        losses = max(np.abs(one[name] / other[name] - 1).max() for name in one.files if name.endswith("loss"))
        weights = max(
            np.abs(one[name] - other[name]).max() / max(np.abs(one[name]).max(), 0.1)
            for name in one.files
            if name.startswith("weight")
        )
    return float(losses), float(weights)


def train(name: str, case: str, strategy: str, file: str, epochs: int) -> None:
    import numpy as np

    from dlkit.data.read import read
    from dlkit.lazy import load_tensorflow
    from dlkit.tasks import find_task

    load_tensorflow()
    task_class = find_task(name)
    rows, special = CASES[case]
    hparams = {
        "dropout": 0.0,
        "class_weights": "balanced",
        "clip_norm": 0.5,
        "weight_decay": 0.01,
        "seed": 3,
        **special,
    }
    known = {name: value for name, value in hparams.items() if name in task_class.__dataclass_fields__}
    task = task_class(**{**known, **QUICK.get(name, {})}, epochs=epochs, batch_size=32)
    columns = {**task.inputs, **task.target}
    samples = task.samples()
    train, test = read(samples["train"], columns).take(range(rows)), read(samples["test"], columns).take(range(33))
    history = task.fit(
        {column: train.columns[column] for column in train.columns},
        {column: test.columns[column] for column in test.columns},
        strategy=strategy,
        verbose=0,
    )
    if task.is_chief:
        variables = [v for v in task.stages_.network.variables if v.name != "seed_generator_state"]
        weights = {f"weight {number}": variable.numpy() for number, variable in enumerate(variables)}
        np.savez(file, **weights, **{metric: np.array(values) for metric, values in history.items()})


if __name__ == "__main__":
    main()
