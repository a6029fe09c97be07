"""Models, stopped runs and exports of an earlier format are refused in a sentence; and threads that load one model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dlkit
from dlkit.cli.main import main
from dlkit.errors import DlkitError, ExportError
from dlkit.serving.verify import verify

TEXT = "a good film"


def in_format_1(file):
    """Marks an index or a contract as one that dlkit 0.1.0 wrote."""
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 1, "dlkit": "0.1.0"}))


@pytest.fixture
def older(text_model, tmp_path):
    """A model of format 1."""
    folder = Path(shutil.copytree(text_model, tmp_path / "older"))
    in_format_1(folder / "dlkit.json")
    return folder


@pytest.fixture
def older_run(older):
    """A stopped run of format 1."""
    (older / "dlkit.json").rename(older / "run.json")
    return older


REFUSED = r"older was saved by dlkit 0\.1\.0 in format 1; this dlkit reads format 2\. Train the model again"


def test_a_model_is_refused(older):
    with pytest.raises(DlkitError, match=REFUSED):
        dlkit.load(older)
    with pytest.raises(DlkitError, match=REFUSED):
        dlkit.SentimentClassifier().fit({"text": ["a", "b"], "label": ["x", "y"]}, init_from=older, verbose=0)


@pytest.mark.parametrize("command", [["info"], ["predict", "good"], ["export", "servables"]])
def test_commands_refuse_it(older, command, capsys):
    assert main([command[0], str(older), *command[1:]]) == 2
    assert "in format 1; this dlkit reads format 2" in capsys.readouterr().err


@pytest.mark.parametrize("resume", [True, "auto"])
def test_a_stopped_run_is_refused(older_run, resume):
    with pytest.raises(DlkitError, match=REFUSED):
        dlkit.SentimentClassifier().fit({"text": ["a", "b"], "label": ["x", "y"]}, save=older_run, resume=resume)
    assert (older_run / "run.json").is_file()


def test_an_export_is_refused(text_model, tmp_path):
    version = dlkit.load(text_model).export(tmp_path / "servable")
    in_format_1(version / "assets.extra" / "dlkit.json")
    with pytest.raises(ExportError, match=r"has format 1, written by dlkit .*; this dlkit reads format 2"):
        verify(version)


THREADS = """
import sys, threading
import dlkit
folder, text, count = sys.argv[1], sys.argv[2], 6
answers, together = [], threading.Barrier(count)
def work(task=None):
    together.wait()
    try:
        answers.append(repr((task or dlkit.load(folder)).predict(text)))
    except BaseException as error:
        answers.append(repr(error))
def all_at_once(*given):
    threads = [threading.Thread(target=work, args=given) for _ in range(count)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
all_at_once()
from dlkit.serving.signature import Signature
traced, trace = [], Signature._trace
Signature._trace = lambda self: (traced.append(self.name), trace(self))[1]
all_at_once(dlkit.load(folder))  # one model, asked by all for the first time
print(len(answers), len(set(answers)), traced)
print(*set(answers))
"""


@pytest.mark.slow  # `python benchmarks/safe.py threads` does the same for each task
def test_threads_of_a_fresh_process_load_and_predict_and_a_graph_is_traced_once(text_model):
    env = {**os.environ, "PYTHONPATH": str(Path(dlkit.__file__).parents[1])}
    command = [sys.executable, "-c", THREADS, text_model, TEXT]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=300)
    counts, answer = done.stdout.splitlines()
    assert counts == "12 1 ['serving_default']", done.stdout + done.stderr
    assert answer == repr(dlkit.load(text_model).predict(TEXT))
