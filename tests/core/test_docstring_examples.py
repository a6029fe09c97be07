"""The examples in docstrings print what they show.

They are collected without importing the modules. Each runs with `dlkit`, `np` and the public names of its module, in a
folder of its own. Examples of a task's methods run after the example that trains one, whose `model` they use.
"""

import ast
import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import dlkit

ROOT = Path(dlkit.__file__).parent
# Modules whose examples train a model or take longer than a second.
SLOW = ("dlkit.text.", "dlkit.vision.decode_image.", "dlkit.training.", "dlkit.task.", "dlkit.tasks.")
# Examples that show a call on the reader's own data, and figures of it.
ILLUSTRATIONS = {"dlkit.split", "dlkit.summary.five_lines", "dlkit.summary.summarize_task"}
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def documented(module, tree, prefix=""):
    """The names of public objects with an example, and their docstrings, in the order of the source."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        name = f"{prefix}{node.name}"
        text = ast.get_docstring(node) or ""
        if ">>>" in text and not any(part.startswith("_") for part in name.split(".")):
            yield f"{module}.{name}", text
        if isinstance(node, ast.ClassDef):
            yield from documented(module, node, f"{name}.")


def all_examples():
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        found |= documented(module, ast.parse(path.read_text()))
    return found


EXAMPLES = all_examples()


def is_slow(name):
    return name.startswith(SLOW)


def module_of(name):
    """The module of an object: the longest part of its name that is a file or a package."""
    parts = name.split(".")
    while not (ROOT.parent.joinpath(*parts).is_dir() or ROOT.parent.joinpath(*parts).with_suffix(".py").is_file()):
        parts = parts[:-1]
    return ".".join(parts)


def run_example(name, names):
    """Runs an example, and returns the names that it leaves."""
    module = importlib.import_module(module_of(name))
    known = {**vars(module), "dlkit": dlkit, "np": np, "table": range(3), **names}
    test = doctest.DocTestParser().get_doctest(EXAMPLES[name], known, name, name, 0)
    said = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=said.append, clear_globs=False)
    assert not runner.summarize(verbose=False).failed, "".join(said)
    return test.globs


def runnable(name):
    """Whether anything of an example runs: whole examples may need a network or minutes."""
    if name in ILLUSTRATIONS:
        return False
    parsed = doctest.DocTestParser().get_examples(EXAMPLES[name])
    return not all(example.options.get(doctest.SKIP) for example in parsed)


METHODS = [name for name in EXAMPLES if name.startswith("dlkit.task.Task.")]
ALONE = [name for name in EXAMPLES if name not in METHODS]


def test_there_are_examples():
    assert {"dlkit.vision.decode_image.DecodeImage", "dlkit.text.words.Words", "dlkit.task.Task.fit"} <= set(EXAMPLES)


@pytest.mark.parametrize("name", [name for name in ALONE if not is_slow(name) and runnable(name)])
def test_example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_example(name, {})


def of_class(name):
    """The examples of a class and of its methods, which share what the first one made."""
    return [name, *(other for other in ALONE if other.startswith(f"{name}."))]


FIRST = [name for name in ALONE if is_slow(name) and name.rpartition(".")[0] not in ALONE and runnable(name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST)
def test_example_that_takes_a_while(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for one in of_class(name):
        left = run_example(one, names)
        names = {key: left[key] for key in ("model", "task", "sample", "samples") if key in left}


@pytest.mark.slow
def test_examples_of_a_task_s_methods(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = run_example("dlkit.task.Task.fit", {})["model"]
    for name in METHODS:
        if name != "dlkit.task.Task.fit":
            run_example(name, {"model": model})


def test_a_wrong_example_is_found(monkeypatch):
    monkeypatch.setitem(EXAMPLES, "dlkit.errors.planted", ">>> 1 + 1\n3\n")
    with pytest.raises(AssertionError, match="Got:"):
        run_example("dlkit.errors.planted", {})
