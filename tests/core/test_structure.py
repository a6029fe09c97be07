"""The rules of the house: a task is one folder, shared code knows no task, nothing runs in a circle, all is typed."""

import ast
import inspect
import os
import subprocess
import sys

import imports
import pytest
from imports import PACKAGE

from dlkit.task import Task
from dlkit.tasks import find_task, task_names


@pytest.fixture(scope="module")
def graph():
    return imports.graph_of(PACKAGE)


def test_no_import_is_part_of_a_circle(graph):
    assert imports.circles(graph) == []


def test_a_task_imports_no_other_and_shared_code_imports_none(graph):
    assert imports.crossings(graph) == []


def test_what_lies_in_a_shared_folder_is_shared(graph):
    assert imports.misplaced(graph) == []


def test_shared_code_names_no_column_of_a_task():
    assert len(imports.columns_of_tasks(PACKAGE)) > 10
    assert imports.named_in_shared_code(PACKAGE) == []


def test_saved_classes_have_names_of_their_own():
    """Keras finds them by the package and the name of the class alone: of two with one name, the later one is built."""
    names = [
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        if any("register_keras_serializable" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    assert len(names) > 50
    assert sorted(names) == sorted(set(names))


def test_every_parameter_has_a_type():
    without, typed = imports.unannotated(PACKAGE)
    assert typed > 3000
    assert without == []


PLANTED = {
    "pack/__init__.py": "",
    "pack/core.py": "def f(x: int):\n    from pack.layers.both import g\n",
    "pack/layers/__init__.py": "",
    "pack/layers/both.py": "",
    "pack/layers/alone.py": "",
    "pack/tasks/__init__.py": "",
    "pack/tasks/a/__init__.py": "",
    "pack/tasks/a/columns.py": "class Boxes:\n    pass\n",
    "pack/tasks/a/task.py": "import pack.layers.alone\nfrom pack.core import f\n",
    "pack/tasks/b/__init__.py": "",
    "pack/tasks/b/task.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pack.tasks.a.task\n",
}


@pytest.fixture
def pack(tmp_path):
    for name, text in PLANTED.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "pack"


def test_planted_violations_are_found(pack):
    graph = imports.graph_of(pack)
    assert imports.circles(graph) == imports.crossings(graph) == imports.named_in_shared_code(pack) == []
    assert imports.misplaced(graph) == ["pack.layers.alone: a"]
    assert imports.unannotated(pack) == ([], 1)
    (pack / "layers" / "both.py").write_text("def g(y):\n    from pack import core\n")
    (pack / "tasks" / "b" / "task.py").write_text("def h(x: int):\n    from pack.tasks.a.task import f\n")
    (pack / "core.py").write_text("from pack.layers.both import g\nfrom pack.tasks.a.columns import Boxes\n")
    graph = imports.graph_of(pack)
    assert imports.circles(graph) == ["pack.core", "pack.layers.both"]
    assert imports.crossings(graph) == [
        "pack.core imports pack.tasks.a.columns",
        "pack.tasks.b.task imports pack.tasks.a.task",
    ]
    assert imports.named_in_shared_code(pack) == ["pack.core names Boxes"]
    assert imports.unannotated(pack)[0] == ["pack.layers.both: g(y)"]


def methods_of(kind):
    """The methods that a class defines: public ones, and whether they may be overridden."""
    return {
        name: not getattr(member, "__final__", False)
        for name, member in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, (classmethod, staticmethod)))
    }


def test_twelve_methods_of_a_task_may_be_overridden_and_its_docstring_lists_them():
    overridable = {name for name, free in methods_of(Task).items() if free}
    assert len(overridable) <= 12
    assert {name for name in overridable if f"`{name}`" not in (Task.__doc__ or "")} == set()


@pytest.mark.parametrize("name", task_names())
def test_a_task_overrides_what_it_may(name):
    kind = find_task(name)
    closed = {name for name, free in methods_of(Task).items() if not free}
    assert closed.isdisjoint(vars(kind))
    assert kind.__mro__[1] is Task


SCRIPT = """
from typing import reveal_type

import dlkit

classifier = dlkit.ImageClassifier(network="resnet", epochs=1)
sentiment = dlkit.SentimentClassifier(tokenizer="words")
detector = dlkit.ObjectDetector(flip="none")
segmenter = dlkit.ImageSegmenter(resize="pad")
translator = dlkit.Translator(beam_width=2)
answerer = dlkit.QuestionAnswerer(top_k=3)
forecaster = dlkit.Forecaster(horizon=3, fill="last")
recommender = dlkit.Recommender(objective="ranking")
molecules = dlkit.MoleculeProperties(network="mpnn")
history = sentiment.fit("reviews.csv", verbose=0)
reveal_type(history["loss"][0])
reveal_type(sentiment.predict("good"))
reveal_type(sentiment.predict(["good", "bad"]))
reveal_type(dlkit.load("model"))
reveal_type(dlkit.Forecaster.load("model"))
reveal_type(forecaster.forecast({"ds": ["2020-01-01"], "y": [1.0]}))
reveal_type(translator.generate(["a"], beam_width=1)[0])
train, test = dlkit.split("reviews.csv", sentiment)
sentiment.export("servable").name.upper()
dlkit.Forecaster(fill="lust")  # error
dlkit.Forecaster(horizons=3)  # error
"""


def test_a_script_type_checks_against_the_package(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--python-version", "3.11", "--ignore-missing-imports", "script.py"]
    env = {**os.environ, "MYPYPATH": str(PACKAGE.parent)}  # type checkers do not see packages installed to be edited
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=env).stdout
    revealed = [
        line.partition("Revealed type is ")[2].strip('"').replace("builtins.", "")
        for line in said.splitlines()
        if "Revealed" in line
    ]
    assert revealed == [
        "float",
        "dict[str, Any]",
        "list[dict[str, Any]]",
        "dlkit.task.Task",
        "dlkit.tasks.forecasting.task.Forecaster",
        "dict[str, Any]",
        "dict[str, Any]",
    ], said
    errors = [line for line in said.splitlines() if "script.py" in line and "error:" in line]
    lines = SCRIPT.splitlines()
    assert [lines[int(line.split(":")[1]) - 1].endswith("# error") for line in errors] == [True, True], said
