"""What the last two versions saved loads, answers as then, goes on, and is proven: the rule of docs/resume.md.

They are the changelog's "A house by task" (`by_task`) and the version before it (`by_layers`), the commits e667202 and
3837b1d: a small classifier of texts, the same run stopped after some steps, and its export.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving_tools import assert_close_to_saved

import dlkit
from dlkit.serving.verify import verify

SAVED = Path(__file__).parent / "saved_by_older.tar.xz"
VERSIONS = ("by_layers", "by_task")


@pytest.mark.parametrize("version", VERSIONS)
def test_models_answer_as_then(version, saved):
    folder, answers = saved
    then = answers[version]
    assert_close_to_saved(dlkit.load(folder / version / "model").predict(then["texts"]), then["answers"])


@pytest.mark.parametrize("version", VERSIONS)
def test_stopped_runs_go_on_to_the_history_of_those_that_were_not_stopped(version, saved):
    folder, answers = saved
    then, save = answers[version], folder / version / "stopped"
    task = dlkit.SentimentClassifier(**{**dlkit.load(folder / version / "model").hparams, **then["hparams"]})
    task.fit(then["rows"], save=save, resume="auto", verbose=0, strategy="one")
    for name, values in then["history"].items():
        assert task.history_[name] == pytest.approx(values, rel=1e-5), name
    assert dlkit.load(save).predict(then["texts"]) == task.predict(then["texts"])


@pytest.mark.slow  # a process of its own each
@pytest.mark.parametrize("version", VERSIONS)
def test_exports_are_proven(version, saved):
    assert verify(saved[0] / version / "servable")["ok"]


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


def test_threads_of_a_fresh_process_load_and_answer_and_a_graph_is_traced_once(saved):
    folder, answers = saved
    then, env = answers["by_task"], {**os.environ, "PYTHONPATH": str(Path(dlkit.__file__).parents[1])}
    command = [sys.executable, "-c", THREADS, folder / "by_task" / "model", then["texts"][0]]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=300)
    counts, answer = done.stdout.splitlines()
    assert counts == "12 1 ['serving_default']", done.stdout + done.stderr
    assert_close_to_saved(eval(answer), then["answers"][0])
