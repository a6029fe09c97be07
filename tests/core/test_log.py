"""The logger `dlkit`: prints as ever where the program has set up nothing, and is silenced and redirected as any."""

import ast
import io
import logging
import sys
from pathlib import Path

import pytest

import dlkit
from dlkit.log import logger
from dlkit.report import Report

COMMANDS = ("cli", "recipe.py", "prove.py")  # what prints because it is a command


@pytest.fixture
def report():
    report = Report("a.csv", facts={"rows": {"train": 1200}}, remarks=["1 row left out"])
    report.add_warning("labels look alike", ["line 3"])
    return report


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(logger, "handlers", list(logger.handlers))
    monkeypatch.setattr(logging.getLogger(), "handlers", list(logging.getLogger().handlers))
    yield
    logger.setLevel(logging.INFO)


def test_infos_are_printed_to_stdout_and_warnings_to_stderr(report, capsys):
    report.show()
    out, err = capsys.readouterr()
    assert out == "data: a.csv\n  rows: train 1,200\n"
    assert err == "a.csv: 1 row left out\nwarning: a.csv: labels look alike (line 3).\n"


@pytest.mark.parametrize(("level", "left"), [(logging.WARNING, 2), (logging.ERROR, 0)])
def test_a_level_silences(report, capsys, level, left):
    logging.getLogger("dlkit").setLevel(level)
    report.show()
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == left


def test_a_handler_of_the_program_takes_the_place_of_the_terminal(report, capsys):
    kept = io.StringIO()
    logger.addHandler(logging.StreamHandler(kept))
    report.show()
    assert kept.getvalue().startswith("data: a.csv\n")
    assert capsys.readouterr() == ("", "")


def test_where_the_root_logs_to_the_terminal_nothing_is_shown_twice(report, capsys):
    root = logging.StreamHandler(sys.stderr)
    root.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(root)
    report.show()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "INFO dlkit data: a.csv"
    assert len(err.splitlines()) == 4
    logging.getLogger().handlers.remove(root)
    logging.getLogger().addHandler(logging.StreamHandler(io.StringIO()))  # keeps, and shows nothing
    report.show()
    assert capsys.readouterr().out.startswith("data: a.csv\n")


def test_the_library_does_not_print():
    root = Path(dlkit.__file__).parent
    printing = [
        str(path)
        for path in root.rglob("*.py")
        if not {path.name, path.relative_to(root).parts[0]} & set(COMMANDS)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert printing == [str(root / "log.py")]
