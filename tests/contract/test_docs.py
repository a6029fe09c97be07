"""The recipes and the README do what they say."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import numpy as np
import pytest
from knowledge import of

import dlkit
from dlkit.lazy import tf
from dlkit.tasks import find_task, task_names

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(command, folder):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_task_has_a_recipe():
    assert {path.stem for path in (ROOT / "apps").glob("*.py")} >= set(task_names())


@pytest.mark.slow
@pytest.mark.parametrize("name", task_names())
def test_a_recipe_goes_all_the_way(name, tmp_path):
    done = run([sys.executable, ROOT / "apps" / f"{name}.py", *of(name).RECIPE], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert find_task(name).headline in done.stdout
    assert f"saved_models/{name}/1" in done.stdout
    assert "docker run" in done.stdout
    assert "curl" in done.stdout
    assert (tmp_path / f"saved_models/{name}/1/saved_model.pb").is_file()


def test_the_commands_of_the_readme_run(tmp_path):
    commands = next(block for block in blocks("bash") if "dlkit tasks" in block).strip().splitlines()
    assert len(commands) == 7
    shutil.copy(ROOT / "dlkit" / "tasks" / "sentiment" / "reviews.csv", tmp_path)
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "dlkit"
        done = forked.run(words, module="dlkit", cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stderr == "", command
    assert (tmp_path / "saved_models/reviews/1/saved_model.pb").is_file()


def test_the_first_lines_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for split, count in (("train", 70), ("val", 5), ("test", 5)):
        for label, level in (("cat", 60), ("dog", 180)):
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(level - 50, level + 50, (12, 12, 3)).astype(np.uint8)
                (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    png = (tmp_path / "photos/test/cat/0.png").read_bytes()
    (tmp_path / "cat.jpg").write_bytes(png)
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "photos.csv").write_text("id,image\n7,a.png\n")
    script = tmp_path / "readme.py"
    script.write_text(blocks("python")[0])
    after = runpy.run_path(str(script), {"png_bytes": png, "array": np.zeros((12, 12, 3), np.uint8)})
    assert isinstance(after["model"], dlkit.ImageClassifier)
    assert (tmp_path / "saved_models/photos/1/saved_model.pb").is_file()


def test_the_readme_s_knobs_are_the_tasks_own():
    written = runpy.run_path(str(ROOT / "docs" / "write_knobs.py"))
    named = re.findall(r"Knobs of <code>(\w+)</code>", README)
    assert named and named == [name for name in task_names() if name in named]
    block = README.partition("<!-- knobs -->\n")[2].partition("\n<!-- /knobs -->")[0]
    assert block == "\n".join(map(written["table"], named)), "run: python docs/write_knobs.py"
