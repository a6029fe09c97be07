"""Test that no model breaks or is lost when processes and threads that use it are killed at any moment.

python benchmarks/safe.py savers [--rounds N]
python benchmarks/safe.py overwrite [--kills N]
python benchmarks/safe.py again [--kills N] [--tasks TASK ...]
python benchmarks/safe.py threads [--rounds N] [--tasks TASK ...]

savers: four processes save to one folder, five times each, while this one loads from it.
overwrite: a finished model is trained over by `--overwrite`, killed by SIGKILL at random moments; the model must load,
the one before or the one that was finished.
again: one command with `--resume auto` is killed after checkpoints and started again, until it ends: are the bytes of
its weights and its history those of the command that nobody killed? And does it then end without training?
threads: in a fresh process eight threads load a model and predict, all at once, before TensorFlow is imported.
But for those, processes are forked from one that has imported TensorFlow and computed nothing, which saves its start.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import print_machine

HPARAMS = {  # networks that are quick, random changes where a task has them
    "image_classification": ["--network", "lenet", "--flip", "horizontal", "--shift", "1"],
    "object_detection": ["--width", "8", "--image-size", "64", "--mosaic", "0.5", "--flip", "horizontal"],
    "image_segmentation": ["--width", "8", "--depth", "2", "--image-size", "64", "--crop", "0.64", "--flip", "none"],
    "question_answering": ["--width", "16", "--rnn-units", "8"],
    "translation": ["--width", "16", "--blocks", "1"],
    "forecasting": ["--ensemble-size", "1"],
}
SEED, THREADS = 7, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("savers", "overwrite", "again", "threads", "in-threads"))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--model", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.what == "in-threads":
        in_threads(Path(given.model))
        return
    from dlkit.lazy import keras, load_tensorflow
    from dlkit.tasks import task_names

    load_tensorflow()
    _ = keras.Model  # imported now, for all children
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        path, tasks = Path(folder), given.tasks or task_names()
        if given.what == "savers":
            savers(path, given.rounds or 50)
        elif given.what == "overwrite":
            overwrite(path, given.kills or 20)
        for task in tasks if given.what == "again" else []:
            again(task, path, given.kills or 5)
        for task in tasks if given.what == "threads" else []:
            threads(task, path, given.rounds or 20)


def forked(work: Callable[[], Any]) -> int:
    """Start a function in a forked process, whose exit code is that of the function; return its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = work() or 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def command(task: str, save: Path, *options: str) -> Callable[[], int]:
    """Return the `dlkit train` command on the built-in sample."""
    from dlkit.cli.main import main as dlkit

    argv = [
        "train",
        task,
        "--save",
        str(save),
        "--strategy",
        "one",
        "--seed",
        str(SEED),
        *HPARAMS.get(task, []),
        *options,
    ]
    return lambda: dlkit(argv)


def savers(folder: Path, rounds: int) -> None:
    import dlkit
    from dlkit import DlkitError

    if ended(forked(command("sentiment", folder / "source", "--epochs", "1"))):
        raise SystemExit("no model to save")
    model = dlkit.load(folder / "source")
    expected, target = model.predict("a good film"), folder / "target"
    model.save(target)
    codes, reads, begun = Counter(), Counter(), time.perf_counter()

    def save(number: int) -> int:
        """Five times; gives how often it was let."""
        moments, let = random.Random(number), 0
        for _ in range(5):
            time.sleep(moments.uniform(0, 0.3))
            with contextlib.suppress(DlkitError):
                model.save(target, overwrite=True)
                let += 1
        return let

    for number in range(rounds):
        children = {forked(lambda n=number * 4 + k: save(n)) for k in range(4)}
        while children:
            try:
                reads["right" if dlkit.load(target).predict("a good film") == expected else "WRONG"] += 1
            except Exception as error:
                reads[f"BROKEN: {error}"] += 1
            for child in list(children):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    children.remove(child)
                    let = os.waitstatus_to_exitcode(status)
                    codes.update(saved=let, refused=5 - let)
    left = sorted(path.name for path in target.iterdir())
    print(f"savers: {rounds} rounds, {dict(codes)}; reads meanwhile: {dict(reads)}; left in the folder: {left}; "
          f"{time.perf_counter() - begun:.0f} s")  # fmt: skip


def overwrite(folder: Path, kills: int) -> None:
    model, moments = folder / "model", random.Random(SEED)
    if ended(forked(command("sentiment", model, "--epochs", "1"))):
        raise SystemExit("no model to train over")
    whole, tally = digest(model), Counter()
    over = command("sentiment", model, "--epochs", "12", "--overwrite", "--checkpoint-every", "2")
    begun = time.perf_counter()
    ended(forked(command("sentiment", folder / "timed", "--epochs", "12", "--checkpoint-every", "2")))
    span = time.perf_counter() - begun
    for _ in range(kills):
        child = forked(over)
        time.sleep(moments.uniform(0.2, 1.0) * span)
        os.kill(child, signal.SIGKILL)
        code, run = ended(child), (model / "run.json").is_file()
        now = digest(model)
        kind = "the old one" if now == whole else "the new one, finished" if now and not run else "LOST OR BROKEN"
        tally[f"{kind}, killed {'while training' if run else 'before it or at its end'}" if code else kind] += 1
        whole = now
    print(f"overwrite: killed at {kills} moments of {span:.0f} s: the model is {dict(tally)}")


def digest(model: Path) -> str:
    """Return the digest of a loaded model's weights and history; "" if it cannot be loaded."""
    into = model.with_name(f"{model.name}.digest")

    def work() -> None:
        import dlkit

        task = dlkit.load(model)
        variables = [v for v in task.stages_.network.variables if v.name != "seed_generator_state"]  # which begin anew
        weights = b"".join(variable.numpy().tobytes() for variable in variables)
        into.write_text(hashlib.sha256(weights + json.dumps(task.history_).encode()).hexdigest())

    into.unlink(missing_ok=True)
    return into.read_text() if not ended(forked(work)) else ""


def again(task: str, folder: Path, kills: int) -> None:
    options = ("--epochs", "2", "--checkpoint-every", "2", "--resume", "auto")
    whole, killed = folder / f"{task}-whole", folder / f"{task}-killed"
    if ended(forked(command(task, whole, *options))):
        raise SystemExit(f"{task}: the unkilled run failed")
    same_command = command(task, killed, *options)
    done = kill_again_and_again(same_command, killed, kills)
    code = ended(forked(same_command))
    same = digest(killed) == digest(whole) != ""
    before, index = newest(killed), (killed / "dlkit.json").stat().st_mtime_ns
    at_once = ended(forked(same_command)) == 0 and (killed / "dlkit.json").stat().st_mtime_ns == index
    print(
        f"{task}: killed {done} times, ended with {code}: {'' if same else 'NOT '}the bytes of the unkilled run; "
        f"once more: {'nothing trained, code 0' if at_once and newest(killed) == before else 'TRAINED OR FAILED'}",
        flush=True,
    )


def kill_again_and_again(same_command: Callable[[], int], save: Path, kills: int) -> int:
    """Starts a command, and kills it after a checkpoint, so many times or until it ends; returns how often."""
    moments, done = random.Random(SEED), 0
    for _ in range(kills):
        before, child = newest(save), forked(same_command)
        while newest(save) <= before and not os.waitpid(child, os.WNOHANG)[0]:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.2))
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            break  # it had ended
        done += ended(child) == -signal.SIGKILL
    return done


def newest(save: Path) -> str:
    return max((path.name for path in save.glob("checkpoints/step-*.npz")), default="")


def threads(task: str, folder: Path, rounds: int) -> None:
    import numpy as np

    model = folder / task
    if ended(forked(command(task, model, "--epochs", "1"))):
        raise SystemExit(f"{task}: no model to load")

    def answer() -> None:
        import dlkit

        loaded = dlkit.load(model)
        values = [{name: column.from_request(row[name]) for name, column in loaded.inputs.items()}
                  for row in loaded.examples_[:2]]  # fmt: skip
        np.save(model / "values.npy", np.array([values, loaded.predict(values)], object), allow_pickle=True)

    if ended(forked(answer)):
        raise SystemExit(f"{task}: no answers to compare with")
    tally = Counter()
    for _ in range(rounds):
        one = [sys.executable, __file__, "in-threads", "--model", str(model)]
        done = subprocess.run(one, capture_output=True, text=True, timeout=600, check=False)
        tally[done.stdout.strip() or f"FAILED: {done.stderr[-300:]}"] += 1
    print(f"{task}: {rounds} fresh processes: {dict(tally)}", flush=True)


def in_threads(model: Path) -> None:
    import threading

    import numpy as np

    import dlkit

    values, expected = np.load(model / "values.npy", allow_pickle=True)
    together, right, wrong = threading.Barrier(THREADS), [], []

    def work() -> None:
        together.wait()
        try:
            got = dlkit.load(model).predict(list(values))
            (right if repr(got) == repr(list(expected)) else wrong).append(got)
        except BaseException as error:
            wrong.append(error)

    started = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    print(f"{len(right)} of {THREADS} answers right" + "".join(f"; {error!r:.200}" for error in wrong[:2]))


if __name__ == "__main__":
    main()
