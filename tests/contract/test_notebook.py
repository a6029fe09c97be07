"""The notebook of the documentation runs from beginning to end."""

import ast
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def code_cells(path):
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cell(source, names):
    """Runs a cell as a notebook does; returns the value of a last expression, which it would show."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


@pytest.mark.slow
def test_the_notebook_goes_the_whole_way(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names = {}
    shown = [run_cell(source, names) for source in code_cells(DOCS / "walkthrough.ipynb")]
    assert names["metrics"]["accuracy"] > 0.9
    assert names["report"]["ok"]
    assert (names["folder"] / "predictions.png").is_file()
    assert sum(type(value).__name__ == "Figure" for value in shown) == 2
    assert "can be served: True" in capsys.readouterr().out


def test_the_notebook_has_no_stored_outputs():
    cells = json.loads((DOCS / "walkthrough.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    assert [cell["cell_type"] for cell in cells].count("code") >= 9


def test_what_a_cell_shows_is_its_last_expression():
    names = {}
    assert run_cell("a = 2\na + 1", names) == 3
    assert run_cell("b = a", names) is None
    assert names["b"] == 2
