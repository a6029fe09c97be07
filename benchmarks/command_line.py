"""Count the lines of each task's help, and time how long invalid command lines take to be rejected.

python benchmarks/command_line.py [--runs N]

Each run is a process of its own; a first run of each fills the file cache and does not count. Fails if TensorFlow was
imported for a refusal, a help is longer than 45 lines, or what it leaves out is not in --help-all.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import print_machine

from dlkit.cli.main import TASK_COMMANDS
from dlkit.cli.parser import SHORT_HELP_LINES
from dlkit.tasks import task_names

DLKIT = [sys.executable, "-m", "dlkit"]
APPS = Path(__file__).resolve().parents[1] / "apps"
REFUSED = {
    "train --data": ["train", "sentiment", "--data", "nowhere.csv"],
    "train --validation": ["train", "sentiment", "--validation", "no*.csv"],
    "train --save": ["train", "sentiment", "--save", "file/below"],
    "train --epochs -1": ["train", "sentiment", "--epochs", "-1"],
    "train --config": ["train", "--config", "nowhere.yaml"],
    "check --data": ["check", "forecasting", "--data", "nowhere.csv"],
    "find-lr --data": ["find-lr", "image_segmentation", "--data", "nowhere"],
    "evaluate MODEL": ["evaluate", "nowhere", "--data", "nowhere.csv"],
    "predict MODEL": ["predict", "nowhere", "a text"],
    "export MODEL": ["export", "nowhere", "served"],
    "verify DIRECTORY": ["verify", "nowhere"],
    "server-config DIRECTORY": ["server-config", "nowhere", "--output", "files"],
    "info MODEL": ["info", "nowhere"],
    "launch ... train --data": ["launch", "--workers", "2", "--", "train", "sentiment", "--data", "nowhere.csv"],
}
PROBE = """
import sys
from dlkit.cli.main import main
assert main(sys.argv[1:]) == 2
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of each refusal (default: %(default)s)")
    given = parser.parse_args()
    print_machine()
    print(
        "\n| lines of --help, 80 and 120 columns | " + " | ".join(TASK_COMMANDS) + " | recipe | --help-all of train |"
    )
    print("|---" * (len(TASK_COMMANDS) + 3) + "|")
    for task in task_names():
        commands = [[*DLKIT, command, task] for command in TASK_COMMANDS] + [[sys.executable, str(APPS / f"{task}.py")]]
        everything = _printed([*DLKIT, "train", task, "--help-all"], 80)
        lines = [", ".join(str(_lines(command, columns)) for columns in (80, 120)) for command in commands]
        print(f"| {task} | {' | '.join(lines)} | {everything.count(chr(10))} |")
    print("\n| refused | seconds: median, the longest |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").touch()
        commands = {name: [*DLKIT, *argv] for name, argv in REFUSED.items()}
        commands["recipe --data"] = [sys.executable, str(APPS / "sentiment.py"), "--data", "nowhere.csv"]
        for name, argv in REFUSED.items():
            subprocess.run([sys.executable, "-c", PROBE, *argv], check=True, cwd=folder, stderr=subprocess.DEVNULL)
            commands[name] = [*DLKIT, *argv]
        for name, command in commands.items():
            seconds = [_seconds(command, folder) for _ in range(given.runs + 1)][1:]
            print(f"| {name} | {statistics.median(seconds):.2f}, {max(seconds):.2f} |")


def _printed(command: list[str], columns: int) -> str:
    environment = {**os.environ, "COLUMNS": str(columns)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def _lines(command: list[str], columns: int) -> int:
    short, everything = (_printed([*command, flag], columns) for flag in ("--help", "--help-all"))
    missing = set(re.findall(r"^  --(?:\[no-\])?([\w-]+)", short, re.MULTILINE)) - set(
        re.findall(r"--([\w-]+)", everything)
    )
    if missing or short.count("\n") > SHORT_HELP_LINES:
        raise SystemExit(f"{' '.join(command)} --help: {short.count(chr(10))} lines; not in --help-all: {missing}.")
    return short.count("\n")


def _seconds(command: list[str], folder: str) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if done.returncode != 2:
        raise SystemExit(f"{' '.join(command)} was not refused: {done.stderr.decode()}")
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
