"""Progress of what takes more than two seconds, on a terminal's standard error and in notebooks."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from dlkit.log import logger

SECONDS = 2.0  # before anything is drawn
PAUSE = 0.1  # seconds between two looks at what is drawn
_quiet = ContextVar("quiet", default=False)  # true inside of `quiet`, and while something is drawn already


@contextlib.contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Draw nothing inside, if so wanted."""
    before = _quiet.get()
    _quiet.set(before or wanted)
    try:
        yield
    finally:
        _quiet.set(before)  # by no token: a generator that reads may be closed in another context


@contextlib.contextmanager
def progress(doing: str, total: int | Callable[[], int | None] | None = None) -> Iterator[Callable[[int], None]]:
    """Give a function that is told how many rows are done, and draws it once two seconds have passed.

    Nothing is drawn in files and pipes, below the level of infos of the logger `dlkit`, and inside of another progress.

    Args:
        doing: what is done, as "encoding".
        total: how many rows there are, where that is known; or what counts them, once something is drawn.

    Example:
        >>> with progress("encoding", len(table)) as told:
        ...     for row in range(len(table)):
        ...         told(row + 1)
    """
    drawing = None if _quiet.get() or not logger.isEnabledFor(logging.INFO) else _Drawing(doing, total)
    with quiet():
        try:
            yield drawing.told if drawing else _nothing
        finally:
            if drawing:
                drawing.end()


def _nothing(done: int) -> None:
    """What is told of progress that nobody sees."""


class _Drawing:
    """What is seen of one progress: nothing at first, then a bar of rich's, or in a notebook a line that changes."""

    def __init__(self, doing: str, total: int | Callable[[], int | None] | None):
        self._doing, self._given, self._total = doing, total, None if callable(total) else total
        self._begun = self._seen = time.monotonic()
        self._show: Callable[[int, float], None] | None = None
        self._close: Callable[[], None] = lambda: None

    def told(self, done: int) -> None:
        now = time.monotonic()
        if now - self._begun < SECONDS or now - self._seen < PAUSE:
            return
        self._seen = now
        if self._show is None:
            self._show = self._begin()
        self._show(done, done / (now - self._begun))

    def end(self) -> None:
        self._close()

    def _begin(self) -> Callable[[int, float], None]:
        from rich.console import Console

        console = Console(stderr=True)
        if not console.is_jupyter and not console.is_terminal:
            return lambda done, rate: None
        if callable(self._given):
            self._total = self._given()
        return self._in_notebook() if console.is_jupyter else self._on_terminal(console)

    def _on_terminal(self, console: Any) -> Callable[[int, float], None]:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        known = self._total is not None
        bar = Progress(
            TextColumn("{task.description}", markup=False),  # names of data may hold brackets
            *([BarColumn()] if known else []),
            TextColumn("{task.fields[rows]}"),
            *([TimeRemainingColumn()] if known else []),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        task = bar.add_task(self._doing, total=self._total, rows="")
        bar.start()
        self._close = bar.stop
        return lambda done, rate: bar.update(task, completed=done, rows=self._rows(done, rate))

    def _in_notebook(self) -> Callable[[int, float], None]:
        # rich would need ipywidgets there. What runs in a notebook has IPython imported.
        display: Any = sys.modules["IPython"].display.display
        handle = display({"text/plain": self._doing}, raw=True, display_id=True)
        self._close = lambda: handle.update({"text/plain": ""}, raw=True)
        return lambda done, rate: handle.update({"text/plain": f"{self._doing}: {self._rows(done, rate)}"}, raw=True)

    def _rows(self, done: int, rate: float) -> str:
        of = "" if self._total is None else f" of {self._total:,}"
        return f"{done:,}{of} rows, {rate:,.0f} rows/s"
