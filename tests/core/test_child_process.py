"""Interpreters that dlkit starts run nothing that lies in the working directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlkit.child_process import child_environment, python_command
from dlkit.cli import launch
from dlkit.serving import verify

ROOT = Path(__file__).parents[2]
SAYS = "import os, sys; sys.stdout.write('HOSTILE'); sys.stdout.flush(); os._exit(7)"


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A working directory with modules of the names of others, in it and where a relative PYTHONPATH leads."""
    for folder in (tmp_path, tmp_path / "lib"):
        folder.mkdir(exist_ok=True)
        for name in ("numpy", "queue", "json", "tensorflow", "sitecustomize", "dlkit"):
            (folder / f"{name}.py").write_text(SAYS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "lib", "./lib", str(ROOT), ""]))
    return tmp_path


def test_what_is_relative_is_no_entry(hostile, monkeypatch):
    assert child_environment(A="b")["PYTHONPATH"] == str(ROOT)
    assert child_environment(A="b")["A"] == "b"
    monkeypatch.setenv("PYTHONPATH", "lib")
    assert child_environment()["PYTHONPATH"] in (str(ROOT), "")  # its own folder, where dlkit is not installed
    monkeypatch.delenv("PYTHONPATH")
    assert child_environment().get("PYTHONPATH", str(ROOT)) == str(ROOT)


def test_a_child_imports_what_is_installed(hostile):
    code = "import dlkit, json, numpy, queue; print(numpy.__file__, queue.__file__, dlkit.__file__)"
    done = subprocess.run(
        python_command("-c", code), env=child_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and str(hostile) not in done.stdout
    # Without, it would run what lies there: the check can fail.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 7 and done.stdout == "HOSTILE"


def test_the_proof_starts_so(hostile, monkeypatch):
    started = []

    def run(command, **options):
        started.append((command, options["env"]["PYTHONPATH"]))
        return subprocess.CompletedProcess(command, 0, 'report: {"ok": true}\n', "")

    monkeypatch.setattr(verify.subprocess, "run", run)
    assert verify.run_proof(hostile, ["of_mine"])["ok"]
    ((command, path),) = started
    assert command[:4] == [sys.executable, "-P", "-m", "dlkit.serving.prove"]
    assert command[4:] == ["--worker", "--library=of_mine", str(hostile)]
    assert path == str(ROOT)


def test_a_proof_in_a_hostile_folder_gets_as_far_as_the_export(hostile, monkeypatch):
    monkeypatch.setattr(verify, "subprocess", subprocess)  # a process of its own, and none that is forked
    (hostile / "1").mkdir()
    report = verify.run_proof(hostile / "1")
    assert "SavedModel that dlkit did not export" in report["problems"][0]


def test_workers_start_so(hostile):
    assert (sys.executable, "-P", "-m", "dlkit") == launch.PROGRAM
    assert [env["PYTHONPATH"] for env in launch.worker_environments(2)] == [str(ROOT)] * 2
    words = ["launch", "--workers", "2", "--", "train", "sentiment", "--column", "text"]
    code = (
        f"import os, sys; os.environ['PYTHONPATH'] = ':lib'; from dlkit.cli.main import main; sys.exit(main({words}))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # the first one is not ours to start
    done = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "HOSTILE" not in done.stdout
    assert "[1] error: --column must be NAME=COLUMN" in done.stderr
