"""SIGKILL at random steps, then resume: the bytes of a run that was never killed. Real processes, really killed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dlkit
from dlkit.tasks import task_names

ROOT = Path(__file__).parents[2]


def resume_benchmark(*arguments, **environment):
    command = [sys.executable, ROOT / "benchmarks" / "resume.py", *map(str, arguments)]
    env = {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 5])
def test_a_run_killed_at_random_steps_ends_with_the_same_bytes(task_class, kills):
    printed = resume_benchmark("--tasks", task_class.task_name(), "--kills", kills, "--seed", kills)
    assert f"{kills} of {kills} resumed runs are bit-identical" in printed


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_of_averages_ends_with_the_same_bytes(task_class, workers):
    arguments = ["--tasks", task_class.task_name(), "--kills", 1, "--seed", 3, "--workers", workers, "--ema", 0.99]
    assert "1 of 1 resumed runs are bit-identical" in resume_benchmark(*arguments)


FORGETS = """
from dlkit.training.checkpoint_files import CheckpointFiles

newest = CheckpointFiles.newest

def forgetful(self):
    checkpoint = newest(self)
    if checkpoint:
        last = max((name for name in checkpoint.arrays if name.startswith("variable/")), key=lambda n: int(n[9:]))
        checkpoint.arrays[last] *= 0  # of the optimizer: its last moments
    return checkpoint

CheckpointFiles.newest = forgetful
"""


@pytest.mark.slow
def test_a_run_whose_moments_are_lost_is_found_out(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FORGETS)
    printed = resume_benchmark("--tasks", task_names()[0], "--kills", 1, PYTHONPATH=str(tmp_path))
    assert "0 of 1 resumed runs are bit-identical" in printed


@pytest.mark.slow
def test_one_of_two_workers_killed_at_random_steps(task_class):
    printed = resume_benchmark("--tasks", task_class.task_name(), "--kills", 2, "--seed", 2, "--workers", 2)
    assert "2 of 2 resumed runs are bit-identical" in printed
    assert float(re.search(r"to ([\d.]+) s$", printed.strip())[1]) <= 60


@pytest.mark.slow
def test_a_launch_whose_worker_is_killed_starts_again_and_ends_as_if_it_had_not_been(tmp_path):
    def command(folder, *launch):
        train = ["train", "sentiment", "--save", folder, "--epochs", "30", "--checkpoint-every", "4"]
        return [sys.executable, "-m", "dlkit", "launch", "--workers", "2", *launch, "--", *train]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, timeout=300)
    launched = subprocess.Popen(
        command(tmp_path / "killed", "--restarts", "1"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed" / "checkpoints").glob("step-*.npz")) and time.monotonic() < deadline:
        time.sleep(0.05)
    children = Path(f"/proc/{launched.pid}/task/{launched.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    output, _ = launched.communicate(timeout=300)
    assert launched.returncode == 0, output
    assert "was killed by SIGKILL" in output
    assert "restart 1 of 1: from the last checkpoint" in output
    assert "lost another worker" in output
    whole, killed = (dlkit.load(tmp_path / name) for name in ("whole", "killed"))
    assert killed.history_ == whole.history_
