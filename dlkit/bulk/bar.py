"""A bar of progress for rows that are answered."""

from __future__ import annotations

import sys
import time
from typing import Any

from dlkit.bulk.digests import count_of
from dlkit.data.table import Table


class Bar:
    """A bar of progress on a terminal's stderr, with rows a second; and what readers remark."""

    def __init__(self, data: Any, verbose: bool):
        self.data, self.verbose = data, verbose
        self._shown: Any = None

    def __enter__(self) -> Bar:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Shown

        console = Console(stderr=True)
        rate = TextColumn("{task.fields[rate]}")
        parts = ("answering", BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
        self._shown = Shown(*parts, console=console, disable=not (self.verbose and console.is_terminal), transient=True)
        self._task = self._shown.add_task("", total=count_of(self.data) if not self._shown.disable else None, rate="")
        self._shown.start()
        self._begun, self._done = time.monotonic(), 0
        return self

    def __exit__(self, *error: Any) -> None:
        self._shown.stop()

    def advance(self, rows: int) -> None:
        """So many rows more are answered."""
        if self._shown and not self._shown.disable:
            self._done += rows
            rate = self._done / max(time.monotonic() - self._begun, 1e-3)
            self._shown.update(self._task, advance=rows, rate=f"{rate:,.0f} rows/s")

    def remark(self, table: Table) -> None:
        """Prints what there is to say of how a table was read."""
        for remark in table.remarks if self.verbose else ():
            print(f"{table.source}: {remark}", file=sys.stderr)
