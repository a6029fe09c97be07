"""Check what MLflow's autologging records of a run that is killed by SIGKILL and resumed.

python benchmarks/tracking.py [--kills N] [--seed N]

Each run is a process on the sample of reviews, with `mlflow.keras.autolog()` and a checkpoint after every third step.
It kills itself after a seeded random step, and is started again by the same call, `resume="auto"`, until it has ended.
Needs the extra `tracking`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import print_machine

EPOCHS, BATCH = 6, 32  # 10 steps an epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3, help="times that one run is killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", nargs=2, metavar=("FOLDER", "STEPS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    if given.train:
        train(Path(given.train[0]), int(given.train[1]))
        return
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder, chance = Path(name), random.Random(given.seed)
        steps = [chance.randrange(4, 20) for _ in range(given.kills)]
        for step in steps:
            if start(folder, step) != -signal.SIGKILL:
                raise SystemExit("a run ended before it was killed")
        if start(folder, -1):
            raise SystemExit("the last run failed")
        tell(folder, steps)


def start(folder: Path, step: int) -> int:
    command = [sys.executable, __file__, "--train", folder, str(step)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode


def train(folder: Path, steps: int) -> None:
    import keras
    import mlflow

    import dlkit

    class Kill(keras.callbacks.Callback):
        done = 0

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            self.done += 1
            if self.done == steps:
                os.kill(os.getpid(), signal.SIGKILL)

    mlflow.set_tracking_uri((folder / "mlruns").as_uri())
    mlflow.keras.autolog(log_models=False, log_datasets=False)
    task = dlkit.SentimentClassifier(epochs=EPOCHS, batch_size=BATCH, dropout=0.2)
    sample: dict[str, Any] = task.samples()
    task.fit(
        sample["train"],
        sample["validation"],
        save=folder / "model",
        resume="auto",
        strategy="one",
        checkpoint_every=3,
        callbacks=[Kill()],
        verbose=0,
    )


def tell(folder: Path, steps: list[int]) -> None:
    import mlflow

    import dlkit

    mlflow.set_tracking_uri((folder / "mlruns").as_uri())
    task, client = dlkit.load(folder / "model"), mlflow.MlflowClient()
    runs = mlflow.search_runs(output_format="list")
    params = runs[0].data.params
    logged = {m.step: m.value for m in client.get_metric_history(runs[0].info.run_id, "val_loss")}
    same = sum(logged.get(epoch) == value for epoch, value in enumerate(task.history_["val_loss"]))
    options = sum(params.get(name) == str(value) for name, value in task.hparams.items())
    print(
        f"killed by SIGKILL {len(steps)} times, after {', '.join(map(str, steps))} steps of a process: {len(runs)} run "
        f"of MLflow, {runs[0].info.status}; {same} of {EPOCHS} epochs with the history's values; {options} of "
        f"{len(task.hparams)} hyperparameters"
    )


if __name__ == "__main__":
    main()
