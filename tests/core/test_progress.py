"""Progress is drawn where a person looks, after two seconds, and nowhere else."""

import io
import logging
import sys
from types import SimpleNamespace

import pytest
import rich.console

from dlkit import progress as module
from dlkit.columns import Text
from dlkit.data.read import read
from dlkit.data.table import Table
from dlkit.lazy import tf
from dlkit.log import logger
from dlkit.progress import progress, quiet
from dlkit.training.encode import encode_table


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def screen(monkeypatch):
    """What a terminal's standard error shows."""
    shown, console = io.StringIO(), rich.console.Console
    terminal = {"file": shown, "force_terminal": True, "width": 120, "color_system": None}
    monkeypatch.setattr(rich.console, "Console", lambda **_: console(**terminal))
    return shown


def work(clock, seconds, total=None):
    with progress("reading a[b].csv", total) as told:
        for second in range(seconds):
            clock.now += 1
            told(1000 * (second + 1))


def test_a_terminal_shows_rows_and_rate_after_two_seconds(clock, screen):
    work(clock, 1)
    assert screen.getvalue() == ""
    work(clock, 4)
    assert "reading a[b].csv" in screen.getvalue()
    assert "4,000 rows, 1,000 rows/s" in screen.getvalue()
    work(clock, 4, total=8000)
    assert "4,000 of 8,000 rows, 1,000 rows/s" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[1A\x1b[2K")  # and leaves nothing behind


def test_where_nobody_looks_nothing_is_drawn(clock, screen, monkeypatch, capsys):
    with quiet():
        work(clock, 4)
    monkeypatch.setattr(logger, "level", logging.WARNING)
    logger.manager._clear_cache()
    work(clock, 4)
    logger.manager._clear_cache()
    assert screen.getvalue() == ""
    monkeypatch.undo()
    work(clock, 4)  # a pipe
    assert capsys.readouterr() == ("", "")


def test_inside_of_another_nothing_is_drawn(clock, screen):
    with progress("all"):
        work(clock, 4)
    assert screen.getvalue() == ""
    work(clock, 4)
    assert screen.getvalue() != ""


def test_a_notebook_shows_one_line_that_changes(clock, monkeypatch):
    lines = []

    def display(data, **options):
        lines.append(data["text/plain"])
        return SimpleNamespace(update=lambda data, **options: lines.append(data["text/plain"]))

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=SimpleNamespace(display=display)))
    monkeypatch.setattr(rich.console, "Console", lambda **_: SimpleNamespace(is_jupyter=True, is_terminal=False))
    work(clock, 3, total=4000)
    assert lines == [
        "reading a[b].csv",
        "reading a[b].csv: 2,000 of 4,000 rows, 1,000 rows/s",
        "reading a[b].csv: 3,000 of 4,000 rows, 1,000 rows/s",
        "",
    ]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_reading_tells_how_many_rows_are_done(monkeypatch, tmp_path, suffix):
    told = []
    monkeypatch.setattr(module._ProgressDisplay, "update", lambda self, done: told.append((self._description, done)))
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"text": ["a"] * 3000}), path)
    else:
        path.write_text("text\n" + "a\n" * 3000 if suffix == ".csv" else '{"text": "a"}\n' * 3000)
    assert len(read(path, {"text": Text()})) == 3000
    assert {doing for doing, _ in told} == {f"reading {path}"}
    assert told[-1][1] >= 2048


def test_encoding_tells_how_many_rows_are_done(monkeypatch):
    told = []
    monkeypatch.setattr(
        module._ProgressDisplay, "update", lambda self, done: told.append((self._description, self._total, done))
    )
    task = SimpleNamespace(cache_mb=1, inputs={"text": Text()}, target={})
    table = Table("a", {"text": ["a"] * 100}, str)
    encode_table(task, table, graph=lambda raw: ({"x": tf.zeros((len(raw["text"]), 1))}, tf.zeros((len(raw["text"]),))))
    assert told == [("encoding", 100, 64), ("encoding", 100, 100)]
