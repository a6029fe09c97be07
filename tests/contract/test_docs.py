"""The recipes, the README and the pages of the site do what they say."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import fork_server
import numpy as np
import pytest
import yaml
from task_contracts import load_contract

import dlkit
from dlkit.lazy import tf
from dlkit.tasks import find_task, task_names

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def whole(text):
    """A page with the files that it includes."""
    return re.sub(r'^--8<-- "(.+)"$', lambda found: (ROOT / found[1]).read_text(), text, flags=re.MULTILINE)


def without_code(text):
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text):
    """The anchors of a page's headings, as Python-Markdown makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading)).strip() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading.lower()) for heading in plain}


def broken_links(folder, name, text):
    """The links of a page in a folder that lead to no file, or to no heading of a page."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", without_code(text))):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = folder / path if path else folder / name
        if not target.is_file() or (anchor and anchor not in anchors(whole(target.read_text()))):
            broken.append(f"{name}: {link}")
    return broken


def named(navigation):
    """The pages of a navigation, in its order."""
    if isinstance(navigation, str):
        return [navigation]
    values = navigation.values() if isinstance(navigation, dict) else navigation
    return [page for value in values for page in named(value)]


def run(command, folder):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_every_task_has_a_recipe():
    assert {path.stem for path in (ROOT / "apps").glob("*.py")} >= set(task_names())


@pytest.mark.slow
@pytest.mark.parametrize("name", task_names())
def test_a_recipe_goes_all_the_way(name, tmp_path):
    done = run([sys.executable, ROOT / "apps" / f"{name}.py", *load_contract(name).RECIPE_FLAGS], tmp_path)
    assert done.returncode == 0, done.stderr
    # Documents may be cut into windows, and an extra that is not installed may be named, with its command.
    expected = ("and are cut into windows", "windows are padding: the documents are short", "pip install")
    assert [line for line in done.stderr.splitlines() if not any(text in line for text in expected)] == []
    assert find_task(name).primary_metric in done.stdout
    assert f"saved_models/{name}/1" in done.stdout
    assert "docker run" in done.stdout
    assert "curl" in done.stdout
    assert (tmp_path / f"saved_models/{name}/1/saved_model.pb").is_file()


def test_the_commands_of_the_readme_print_what_it_shows(tmp_path):
    shown = next(block for block in blocks("console") if "dlkit train" in block)
    commands = re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", shown, re.MULTILINE)
    assert len(commands) == 3
    for command, output in commands:
        program, *words = shlex.split(command)
        assert program == "dlkit"
        done = fork_server.run(words, module="dlkit", cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stderr == "", command
        printed = alike(done.stdout.replace(str(tmp_path), "/home/you"))
        assert [line for line in output.splitlines() if line != "..." and not alike(line) <= printed] == []
    assert (tmp_path / "saved_models/reviews/1/saved_model.pb").is_file()


def alike(text):
    """The lines of an output, with any number for a number: seconds and last digits are a machine's own."""
    return {re.sub(r"\d+(?:\.\d+)?", "0", line.strip()) for line in text.splitlines()}


def test_the_readme_is_short():
    assert len(README.splitlines()) < 150
    assert len(README.encode()) <= 10_000


@pytest.mark.parametrize("page", ["README.md", pytest.param("docs/index.md", marks=pytest.mark.slow)])
def test_the_first_lines_of_python_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (lines,) = blocks("python", (ROOT / page).read_text())
    after = run_lines(lines, tmp_path, {})
    assert isinstance(after["model"], dlkit.SentimentClassifier)
    assert (tmp_path / "saved_models/first/1/saved_model.pb").is_file()


def run_lines(lines, folder, given):
    """Runs a block of a page, with what the ones before it left, in the working directory."""
    script = folder / "lines.py"
    script.write_text(lines)
    return runpy.run_path(str(script), given)


def page_blocks(name):
    """The blocks of a task's page: the one that trains on the sample, and others, but for those that read `photos/`."""
    first, *others = blocks("python", (DOCS / f"{name}.md").read_text())
    assert ".fit(sample" in first
    return first, [block for block in others if "photos/" not in block]


def test_the_blocks_of_a_task_s_page_run(fitted, tmp_path, monkeypatch):
    """Of a fitted task: what it learned in the first block is another test's."""
    monkeypatch.chdir(tmp_path)
    _, others = page_blocks(fitted.task_name())
    assert others
    for block in others:
        run_lines(block, tmp_path, {"dlkit": dlkit, "model": fitted})


@pytest.mark.slow
@pytest.mark.parametrize("name", task_names())
def test_the_page_of_a_task_runs_from_training_on(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, others = page_blocks(name)
    after = run_lines(first, tmp_path, {})
    for block in others:
        run_lines(block, tmp_path, after)


@pytest.mark.slow
def test_a_page_s_lines_on_photos_run(tmp_path, monkeypatch):
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
    lines = next(
        block for block in blocks("python", (DOCS / "image_classification.md").read_text()) if "photos/" in block
    )
    after = run_lines(lines, tmp_path, {"png_bytes": png, "array": np.zeros((12, 12, 3), np.uint8)})
    assert isinstance(after["model"], dlkit.ImageClassifier)
    assert (tmp_path / "saved_models/photos/1/saved_model.pb").is_file()


def test_every_task_has_a_page_with_its_own_options():
    written = runpy.run_path(str(DOCS / "write_options.py"))
    for name in task_names():
        page = (DOCS / f"{name}.md").read_text()
        assert page.count("<!-- options -->") == 1, name
        assert written["with_options"](name, page) == page, "run: python docs/write_options.py"


def test_every_page_is_in_the_navigation_once():
    assert sorted(named(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page):
    assert broken_links(DOCS, page, whole((DOCS / page).read_text())) == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_links_outside_of_the_site_lead_somewhere(page):
    path = ROOT / page
    assert broken_links(path.parent, path.name, path.read_text()) == []


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "a.md").write_text("# A `b`: c\n")
    text = "[1](a.md#a-b-c) [2](a.md#b) [3](b.md) [4](https://b.c) `[5](c.md)`\n```\n[6](d.md)\n```\n"
    assert broken_links(tmp_path, "c.md", text) == ["c.md: a.md#b", "c.md: b.md"]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocstrings", reason="needs the extra `docs`")
    pytest.importorskip("material", reason="needs the extra `docs`")
    done = run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path], ROOT)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr.replace("DISABLE_MKDOCS_2_WARNING", "")
    pages = {path: path.read_text() for path in tmp_path.rglob("*.html")}
    assert len(pages) >= len(PAGES)
    loads = r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=[\"']?https?://[^>]*>"
    assert [(path.name, found) for path, text in pages.items() for found in re.findall(loads, text)] == []
    outside = re.compile(r"(?:@import|url\()\s*[\"']?https?:")
    styles = [path for path in tmp_path.rglob("*.css") if outside.search(path.read_text())]
    assert styles == []
    assert "Recommender" in pages[tmp_path / "api.html"]
