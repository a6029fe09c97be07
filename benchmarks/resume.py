"""Kill runs by SIGKILL at random steps and resume them, and compare weights and history with an uninterrupted run.

python benchmarks/resume.py [--kills N] [--tasks TASK ...] [--workers N] [--seed N] [--ema DECAY]

Each run is a process of its own on the task's built-in sample: 4 epochs with dropout and, for images, random changes; a
checkpoint after every third step. It is killed in the middle of a seeded random step, then another process resumes it
and ends it. Compared are the bytes of all weights, seed generators included, and of the history.
With --workers 2 one of two worker processes is killed, and the seconds are told until the other ends, with which
code; then both are started again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time

from machine import print_machine
from workers import start_workers

EPOCHS, BATCH, ROWS = 4, 16, 200
HPARAMS = {  # random changes of images, and networks that are quick
    "image_classification": {"flip": "horizontal", "shift": 1, "mixup_alpha": 0.2},
    "object_detection": {"width": 8, "image_size": 64, "flip": "horizontal", "mosaic": 0.5, "mixup": 0.2},
    "image_segmentation": {"width": 8, "depth": 2, "image_size": 64, "flip": "horizontal", "crop": 0.64},
    "question_answering": {"width": 16, "rnn_units": 8},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--workers", type=int, default=1, choices=(1, 2))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ema", default="0", help="decay of the averages of the weights (default: %(default)s: none)")
    parser.add_argument("--train", nargs=4, metavar=("TASK", "SAVE", "VICTIM", "STEP"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train:
        task, save, victim, step = given.train
        train(task, save, int(victim), int(step), float(given.ema))
        return
    from dlkit.tasks import task_names

    print_machine()
    steps = random.Random(given.seed)
    for task in given.tasks or task_names():
        kill_and_resume(task, given.kills, given.workers, steps, given.ema)


def kill_and_resume(task: str, kills: int, workers: int, steps: random.Random, ema: str) -> None:
    last = EPOCHS * -(-ROWS // BATCH)
    with tempfile.TemporaryDirectory() as folder:
        expected = finish(task, f"{folder}/whole", workers, ema)
        same, waits = 0, []
        for number in range(kills):
            step, victim = steps.randrange(1, last), steps.randrange(workers)
            save = f"{folder}/{number}"
            waits.append(kill(task, save, workers, victim, step, ema))
            equal = finish(task, save, workers, ema) == expected
            same += equal
            told = f"; the other ended after {waits[-1]:.1f} s" if workers > 1 else ""
            print(
                f"{task}: worker {victim} killed in step {step} of {last}{told}: {'' if equal else 'NOT '}the same",
                flush=True,
            )
    told = f"; the other worker ended after {min(waits):.1f} to {max(waits):.1f} s" if workers > 1 else ""
    print(f"{task}: {same} of {kills} resumed runs are bit-identical{told}", flush=True)


def finish(task: str, save: str, workers: int, ema: str) -> str:
    """Start a run, or resume it, and let it end. Return the digest of its weights and history."""
    started = start_workers(__file__, ["--ema", ema, "--train", task, save, "-1", "0"], workers)
    outputs = [worker.communicate() for worker in started]
    if any(worker.returncode for worker in started):
        raise SystemExit("\n".join(errors for _, errors in outputs))
    return outputs[0][0].splitlines()[-1]


def kill(task: str, save: str, workers: int, victim: int, step: int, ema: str) -> float:
    """Run until the victim kills itself. Return the seconds from then to the end of the last other worker."""
    started = start_workers(__file__, ["--ema", ema, "--train", task, save, str(victim), str(step)], workers)
    started[victim].wait()
    died = time.perf_counter()
    if started[victim].returncode != -signal.SIGKILL:
        raise SystemExit(started[victim].communicate()[1])
    for other in started:
        if other is not started[victim]:
            try:
                _, errors = other.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                raise SystemExit("the other worker hangs") from None
            if other.returncode != 75 or "lost another worker" not in errors:
                raise SystemExit(f"the other worker ended with {other.returncode}:\n{errors}")
    return time.perf_counter() - died


def train(name: str, save: str, victim: int, step: int, ema: float) -> None:
    import sys

    from dlkit.cli.main import run_guarded
    from dlkit.data.read import read
    from dlkit.lazy import keras, load_tensorflow
    from dlkit.tasks import find_task

    load_tensorflow()
    worker = json.loads(os.environ["TF_CONFIG"])["task"]["index"] if "TF_CONFIG" in os.environ else 0

    class Kill(keras.callbacks.Callback):
        done = 0

        def on_train_batch_end(self, batch, logs=None):
            self.done += 1
            if self.done == step and worker == victim:
                os.kill(os.getpid(), signal.SIGKILL)

    hparams = {"epochs": EPOCHS, "batch_size": BATCH, "seed": 7, "patience": 3, "dropout": 0.3, "ema": ema}
    task_class = find_task(name)
    task = task_class(**hparams, **HPARAMS.get(name, {}))
    columns = {**task.inputs, **task.target}
    samples = task.samples()
    table, held_out = (read(samples[part], columns) for part in ("train", "test"))
    table, held_out = (  # again from the first row where a sample has fewer
        part.take([row % len(part) for row in range(rows)]) for part, rows in ((table, ROWS), (held_out, 40))
    )

    def work() -> None:
        task.fit(
            {column: table.columns[column] for column in table.columns},
            {column: held_out.columns[column] for column in held_out.columns},
            save=save,
            resume="auto",
            strategy="multiworker" if "TF_CONFIG" in os.environ else "one",
            checkpoint_every=3,
            callbacks=[Kill()] if victim >= 0 else [],
            verbose=0,
        )

    code = run_guarded(work, debug=False)
    if code == 0 and task.is_chief:
        weights = b"".join(variable.numpy().tobytes() for variable in task.stages_.network.variables)
        print(hashlib.sha256(weights + json.dumps(task.history_).encode()).hexdigest())
    sys.exit(code)


if __name__ == "__main__":
    main()
