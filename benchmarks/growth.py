"""Measure how memory grows when one process calls `fit`, and then `predict`, again and again.

python benchmarks/growth.py [--fits N] [--predicts N] [--epochs N]

For each task a process of its own fits the built-in sample with the default network, first one task again and again,
then, in another process, a new task each time; then it predicts one input at a time. The resident set counts, read as
it is, without a collection of garbage before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from machine import print_machine

SETTLED = 3  # fits after which growth counts: the first ones load libraries and fill pools
WARM = 100  # predicts after which growth of predicts counts
BOUND = 5  # percent


def resident() -> float:
    """Return this process's resident set in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024 / 1e6


def measure(name: str, anew: bool, fits: int, predicts: int, epochs: int) -> None:
    """Print the resident set after the settled fit, the largest after it, and after the last fit, then of predicts."""
    from dlkit.tasks import find_task

    kind = find_task(name)
    samples = kind.samples()
    task = kind(epochs=epochs)
    after_fit = []
    for _ in range(fits):
        if anew:
            task = kind(epochs=epochs)
        task.fit(samples["train"], verbose=0)
        after_fit.append(resident())
    rows = {column: samples["test"][column][0] for column in kind.inputs}
    after_predict = []
    for _ in range(predicts):
        task.predict(rows)
        after_predict.append(resident())
    settled = after_fit[SETTLED - 1 :]
    print(settled[0], max(settled), settled[-1], after_predict[WARM - 1], after_predict[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=20, help="at least 4 (default: %(default)s)")
    parser.add_argument("--predicts", type=int, default=2_000, help="at least 100 (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, help="of each fit (default: %(default)s)")
    parser.add_argument("--measure", nargs=2, metavar=("TASK", "HOW"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fits <= SETTLED or given.predicts < WARM:
        parser.error(f"--fits must be above {SETTLED}, --predicts at least {WARM}")
    if given.measure:
        name, how = given.measure
        return measure(name, how == "new", given.fits, given.predicts, given.epochs)
    from dlkit.tasks import task_names

    print_machine()
    heads = [f"fit {SETTLED}", "largest", f"fit {given.fits}", "growth", f"predict {WARM}", f"predict {given.predicts}"]
    print(f"{'resident MB after':40}" + "".join(f"{head:>13}" for head in (*heads, "growth")), flush=True)
    worst = 0.0
    for name in task_names():
        for how in ("same", "new"):
            command = [sys.executable, __file__, "--measure", name, how]
            command += [f"--fits={given.fits}", f"--predicts={given.predicts}", f"--epochs={given.epochs}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            settled, largest, last, warm, end = (float(word) for word in done.stdout.split())
            fitting, answering = (100 * (now / before - 1) for now, before in ((last, settled), (end, warm)))
            worst = max(worst, 100 * (max(largest, end) / settled - 1))
            label = f"{name}, {how} task each time"
            cells = (
                f"{settled:13.0f}{largest:13.0f}{last:13.0f}{fitting:11.1f} %{warm:13.0f}{end:13.0f}{answering:11.1f} %"
            )
            print(f"{label:40}{cells}", flush=True)
    print(f"the most above fit {SETTLED}, at any time: {worst:.1f} % (allowed: {BOUND} %)")
    return None if worst <= BOUND else sys.exit(1)


if __name__ == "__main__":
    main()
