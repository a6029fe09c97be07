"""Runs that are given minutes: how long do they take, and do killed ones end with the bytes of one nobody killed?

python benchmarks/budget.py minutes [--minutes 2 10] [--tasks TASK ...]
python benchmarks/budget.py again [--kills N] [--minutes 0.5] [--tasks TASK ...]

minutes: each task is trained on its built-in sample, without options but `--minutes`; the time is that from the start
of `fit` to its end, with all that it does: report, encoding, compilation, validation, checkpoints, saving.
again: one command with `--minutes`, `--ema 0.99` and `--resume auto` is killed after checkpoints and started again,
until it ends. Then one with the `--steps` that it decided runs and is not killed: are weights and history its bytes?
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import safe
from machine import print_machine

LIMIT = 0.1  # of the minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("minutes", "again"))
    parser.add_argument("--minutes", type=float, nargs="+")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--tasks", nargs="+")
    given = parser.parse_args()
    from dlkit.lazy import keras, load_tensorflow
    from dlkit.tasks import task_names

    load_tensorflow()
    _ = keras.Model  # imported now, for all children
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        for task in given.tasks or task_names():
            for minutes in given.minutes or ([2, 10] if given.what == "minutes" else [0.5]):
                if given.what == "minutes":
                    measure(task, Path(folder) / f"{task}-{minutes}", minutes)
                else:
                    again(task, Path(folder), minutes, given.kills)


def measure(name: str, save: Path, minutes: float) -> None:
    """Prints the minutes that a run takes."""
    told = save.with_suffix(".json")

    def work() -> None:
        from dlkit.tasks import find_task

        task = find_task(name)()
        samples, begun = task.samples(), time.perf_counter()
        task.fit(samples["train"], samples["validation"], minutes=minutes, save=save, strategy="one")
        spent = (time.perf_counter() - begun) / 60
        told.write_text(json.dumps({"spent": spent, "epochs": len(task.history_["loss"]), **task.plan_}))

    if safe.ended(safe.forked(work)):
        raise SystemExit(f"{name}: the run failed")
    found = json.loads(told.read_text())
    off = found["spent"] / minutes - 1
    print(
        f"{name}: asked {minutes:g} minutes, taken {found['spent']:.2f} ({off:+.1%}"
        f"{'' if abs(off) <= LIMIT else ', OFF'}); {found['steps']} steps, {found['epochs']} epochs",
        flush=True,
    )


def again(task: str, folder: Path, minutes: float, kills: int) -> None:
    """Kills and resumes a run with a budget, and compares it with the unkilled run of its steps."""
    killed, whole = folder / f"{task}-killed", folder / f"{task}-whole"
    usual = ("--ema", "0.99", "--checkpoint-every", "2")
    same_command = safe.command(task, killed, *usual, "--minutes", str(minutes), "--resume", "auto")
    done = safe.kill_again_and_again(same_command, killed, kills)
    code = safe.ended(safe.forked(same_command))
    plan = json.loads((killed / "dlkit.json").read_text())["fitted"]["plan_"]
    if safe.ended(safe.forked(safe.command(task, whole, *usual, "--steps", str(plan["steps"])))):
        raise SystemExit(f"{task}: the unkilled run failed")
    same = safe.digest(killed) == safe.digest(whole) != ""
    print(
        f"{task}: {plan['steps']} steps by {plan['decided_by']}, killed {done} times, ended with {code}: "
        f"{'' if same else 'NOT '}the bytes of the unkilled run",
        flush=True,
    )


if __name__ == "__main__":
    main()
