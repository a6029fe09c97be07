"""Measure how long `import dlkit` and the command's help take, compared with importing TensorFlow.

python benchmarks/startup.py [--runs N]

Each run is a process of its own; a first run of each fills the file cache and does not count. Fails if dlkit has
imported TensorFlow or Keras where it must not.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import print_machine

PROGRAM = str(Path(sys.executable).with_name("dlkit"))
LIGHT = {  # the command, and the Python statement that does the same, to be asked what it imported
    "import dlkit": ([sys.executable, "-c", "import dlkit"], "import dlkit"),
    "dlkit --help": ([PROGRAM, "--help"], "main(['--help'])"),
    "dlkit train image_classification --help": (
        [PROGRAM, "train", "image_classification", "--help"],
        "main(['train', 'image_classification', '--help'])",
    ),
}
HEAVY = {"import tensorflow": [sys.executable, "-c", "import tensorflow"], "python": [sys.executable, "-c", ""]}
PROBE = """
import contextlib, io, sys
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    from dlkit.cli.main import main
    {}
print(*({{"tensorflow", "keras"}} & set(sys.modules)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="of each (default: %(default)s)")
    given = parser.parse_args()
    print_machine()
    for name, (_, statement) in LIGHT.items():
        done = subprocess.run([sys.executable, "-c", PROBE.format(statement)], check=True, capture_output=True)
        imported = done.stdout.decode().strip()
        if imported:
            raise SystemExit(f"`{name}` imports {imported}.")
    commands = {name: command for name, (command, _) in LIGHT.items()} | HEAVY
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(given.runs + 1):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if run:
                seconds[name].append(time.perf_counter() - begun)
    for name, values in seconds.items():
        without = ", without TensorFlow and Keras" if name in LIGHT else ""
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"{name:40} {statistics.median(values):5.2f} s ({spread}){without}")


if __name__ == "__main__":
    main()
