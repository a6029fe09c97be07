"""Progress of work that takes more than two seconds, on the standard error of a terminal and in notebooks."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from dlkit.log import logger

DELAY_SECONDS = 2.0  # before anything is drawn
REDRAW_SECONDS = 0.1  # seconds between two looks at what is drawn
_quiet = ContextVar("quiet", default=False)  # true inside of `quiet`, and while something is drawn already


@contextlib.contextmanager
def quiet(enabled: bool = True) -> Iterator[None]:
    """Suppress progress inside, if `enabled`."""
    previous = _quiet.get()
    _quiet.set(previous or enabled)
    try:
        yield
    finally:
        _quiet.set(previous)  # by no token: a generator that reads may be closed in another context


@contextlib.contextmanager
def progress(description: str, total: int | Callable[[], int | None] | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of finished rows; it draws the progress once two seconds have passed.

    Nothing is drawn in files and pipes, below the level of infos of the logger `dlkit`, and inside of another progress.

    Args:
        description: what is done, as "encoding".
        total: how many rows there are, where that is known; or what counts them, once something is drawn.

    Examples:
        >>> with progress("encoding", len(table)) as told:
        ...     for row in range(len(table)):
        ...         told(row + 1)
    """
    drawing = None if _quiet.get() or not logger.isEnabledFor(logging.INFO) else _ProgressDisplay(description, total)
    with quiet():
        try:
            yield drawing.update if drawing else _ignore
        finally:
            if drawing:
                drawing.close()


def _ignore(done: int) -> None:
    """Ignore progress that is not shown."""


class _ProgressDisplay:
    """Displays one progress: a progress bar of rich, or a line that changes in a notebook."""

    def __init__(self, description: str, total: int | Callable[[], int | None] | None):
        self._description, self._count_rows, self._total = description, total, None if callable(total) else total
        self._started = self._last_draw = time.monotonic()
        self._show: Callable[[int, float], None] | None = None
        self._close: Callable[[], None] = lambda: None

    def update(self, done: int) -> None:
        now = time.monotonic()
        if now - self._started < DELAY_SECONDS or now - self._last_draw < REDRAW_SECONDS:
            return
        self._last_draw = now
        if self._show is None:
            self._show = self._open_display()
        self._show(done, done / (now - self._started))

    def close(self) -> None:
        self._close()

    def _open_display(self) -> Callable[[int, float], None]:
        from rich.console import Console

        console = Console(stderr=True)
        if not console.is_jupyter and not console.is_terminal:
            return lambda done, rate: None
        if callable(self._count_rows):
            self._total = self._count_rows()
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
        task = bar.add_task(self._description, total=self._total, rows="")
        bar.start()
        self._close = bar.stop
        return lambda done, rate: bar.update(task, completed=done, rows=self._rows(done, rate))

    def _in_notebook(self) -> Callable[[int, float], None]:
        # rich would need ipywidgets there. What runs in a notebook has IPython imported.
        display: Any = sys.modules["IPython"].display.display
        handle = display({"text/plain": self._description}, raw=True, display_id=True)
        self._close = lambda: handle.update({"text/plain": ""}, raw=True)
        return lambda done, rate: handle.update(
            {"text/plain": f"{self._description}: {self._rows(done, rate)}"}, raw=True
        )

    def _rows(self, done: int, rate: float) -> str:
        of = "" if self._total is None else f" of {self._total:,}"
        return f"{done:,}{of} rows, {rate:,.0f} rows/s"
