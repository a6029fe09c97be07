"""The task of docs/add-a-task.md, as it stands there: its recipe runs, and its checks know of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import task_contracts

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "add-a-task.md").read_text()
# The package of this checkout, with one folder more.
RUN = """
import runpy, sys
import dlkit.tasks
dlkit.tasks.__path__.append(sys.argv[1])
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the files of the guide, at their places."""
    folder = tmp_path_factory.mktemp("guide")
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", GUIDE, re.DOTALL)
    for name, text in blocks:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    assert len(blocks) == 5
    return folder


@pytest.mark.slow
def test_the_recipe_of_the_guide_goes_all_the_way(written, tmp_path):
    command = [sys.executable, "-c", RUN, written / "dlkit" / "tasks", written / "apps" / "text_length.py"]
    done = subprocess.run([*command, "--epochs", "10"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    r2 = float(re.search(r"^r2 +([\d.]+)$", done.stdout, re.MULTILINE)[1])
    assert r2 > 0.9
    assert (tmp_path / "saved_models/text_length/1/saved_model.pb").is_file()
    listed = subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "--max-characters" in listed


def test_the_guide_lists_the_methods_that_may_be_overridden():
    from test_structure import methods_of

    from dlkit.task import Task

    table = GUIDE[GUIDE.index("## What a task can override") : GUIDE.index("## Optional parts")]
    listed = set(re.findall(r"`(\w+)(?:\([^)]*\))?`(?=[^|]*\| )", table))
    assert {name for name, free in methods_of(Task).items() if free} <= listed


def test_a_task_without_a_contract_is_told_what_to_write(written, monkeypatch):
    monkeypatch.setattr(task_contracts, "TASKS", written / "tests" / "tasks")
    assert task_contracts.load_contract.__wrapped__("text_length").LEARNING_HPARAMS == {"epochs": 10}
    with pytest.raises(
        AssertionError, match=r"Write tests/tasks/speech/contract\.py with\n  SMALL_HPARAMS: a dict of hparams"
    ):
        task_contracts.load_contract.__wrapped__("speech")
    (written / "tests/tasks/speech").mkdir(parents=True)
    (written / "tests/tasks/speech/contract.py").write_text(
        "SMALL_HPARAMS = {}\nEDGE_INPUTS = {}\nINVALID_INPUTS = {}\nRECIPE_FLAGS = []\n"
    )
    with pytest.raises(AssertionError, match=r"contract\.py lacks LEARNING_HPARAMS, a dict of hparams with which"):
        task_contracts.load_contract.__wrapped__("speech")
