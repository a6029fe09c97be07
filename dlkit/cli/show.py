"""What the command line and the recipes print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as Grid

from dlkit.best_epoch import best_epoch_index, metrics_of_epoch
from dlkit.report import facts_text
from dlkit.task import Task

MAX_CONFUSION_CLASSES, MAX_LISTED_CLASSES = 20, 100  # classes
DIGITS, MOST_DIGITS = 5, 12  # of the largest number of a table, and behind the point
MAX_LINE_CHARACTERS = 10_000  # characters of a line


def show_metrics(metrics: dict[str, Any]) -> None:
    """Prints metrics: the numbers, notes on them, those by class, what they are compared with, and the confusion."""
    console = Console(highlight=False)
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    width = max(map(len, numbers))
    for name, value in numbers.items():
        console.print(f"{name:{width}}  {value:.4f}" if isinstance(value, float) else f"{name:{width}}  {value}")
    for note in metrics.get("notes", ()):
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    if 0 < len(metrics.get("per_class", {})) <= MAX_LISTED_CLASSES:
        console.print()
        console.print(_compared(metrics["per_class"]))
    if "compared" in metrics:
        console.print()
        console.print(_compared(metrics["compared"]))
    confusion = metrics.get("confusion")
    if confusion and len(confusion["labels"]) <= MAX_CONFUSION_CLASSES:
        console.print()
        console.print(_confusion(confusion["labels"], confusion["counts"]))


def _compared(rows: dict[str, dict[str, float]]) -> Grid:
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    grid = Grid(box=None, pad_edge=False)
    for name in ("", *names):
        grid.add_column(name, justify="right" if name else "left")
    for row, metrics in rows.items():
        grid.add_row(escape(row), *("" if metrics.get(name) is None else f"{metrics[name]:.4g}" for name in names))
    return grid


def _confusion(labels: list[str], counts: list[list[int]]) -> Grid:
    grid = Grid(title="rows: true label, columns: predicted label", title_justify="left", box=None, pad_edge=False)
    grid.add_column("", style="bold")
    for label in labels:
        grid.add_column(escape(label), justify="right", overflow="fold")
    grid.add_column("recall", justify="right", style="dim")
    for row, label in enumerate(labels):
        cells = [
            f"[green]{count}[/]" if row == column else f"[red]{count}[/]" if count else "[dim]·[/]"
            for column, count in enumerate(counts[row])
        ]
        total = sum(counts[row])
        grid.add_row(escape(label), *cells, f"{counts[row][row] / total:.2f}" if total else "")
    return grid


def show_report(found: dict[str, Any]) -> None:
    """Prints what `Task.check` found."""
    print(facts_text(found["source"], found["statistics"]))
    for kind, name in (("note", "remarks"), ("warning", "warnings"), ("refused", "refusals")):
        for text in found[name]:
            print(f"{kind}: {text}")
    if not found["warnings"] and not found["errors"]:
        print("no problems found")


def show_history(task: Task) -> None:
    """Prints how a training ended."""
    epochs, epoch, name = len(task.history_["loss"]), best_epoch_index(task), f"val_{task.monitor}"
    found = metrics_of_epoch(task.history_, epoch)
    if name not in found:
        print(f"{epochs} epochs, no validation data: the final weights are kept")
        return
    print(f"{epochs} epochs, best epoch {epoch + 1}: {name} {found[name]:.4f}")


def show_export(version: Path) -> None:
    """Prints where an export lies, and how to serve and ask it."""
    from dlkit.serving.server_config import make_serve_commands
    from dlkit.serving.verify import read_contract

    commands = make_serve_commands(version.parent, read_contract(version))
    print(f"exported and verified: {version}\n\nserve it:\n  {commands['serve']}\n\nquery it:\n  {commands['query']}")


def show_proof(report: dict[str, Any]) -> None:
    """Prints what the proof of an export found."""
    print(f"{report['version_dir']}: verified in {report['seconds']} s")
    for name, done in report["signatures"].items():
        worst = max(done["max_error"].values(), default=0.0)
        print(
            f"  {name:16} {done['alone']} single requests, {done['mixed']} mixed batches, {done['probes']} invalid "
            f"shapes rejected, largest difference {worst:.1g}"
        )


def show_prediction(value: Any, answer: dict[str, Any], rows: Sequence[dict[str, Any]] = ()) -> None:
    """Prints one answer in a few lines, or as the table that it makes.

    Args:
        value: what was answered.
        answer: as `Task.present` gives it.
        rows: of a table, as `Rows.answer_rows` makes them of the answer: of several columns of one length it is the
            better view.
    """
    console = Console(highlight=False)
    console.print(f"[bold]{escape(_shortened(str(value)))}[/]", soft_wrap=True)
    if rows and rows[0] is not answer:
        _show_rows(rows)
        return
    for name, item in answer.items():
        console.print(f"  {name}: {_shown(item)}", markup=False, soft_wrap=True)


def _show_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Prints rows with their columns aligned; what is one in all of them, and no measured number, stands before."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    same = [name for name, cells in columns.items() if len(rows) > 1 and cells.count(cells[0]) == len(cells)]
    same = [name for name in same if not isinstance(columns[name][0], float)]
    console = Console(highlight=False, width=MAX_LINE_CHARACTERS)  # a narrow terminal breaks lines, and cuts nothing
    for name in same:
        if columns[name][0] != "":
            console.print(f"  {name}: {columns[name][0]}", markup=False, soft_wrap=True)
    largest = max((abs(cell) for cells in columns.values() for cell in cells if isinstance(cell, float)), default=0.0)
    digits = min(max(0, DIGITS - 1 - math.floor(math.log10(largest))), MOST_DIGITS) if largest else 1
    grid = Grid(box=None, pad_edge=False)
    for name, cells in columns.items():
        if name not in same:
            grid.add_column(escape(name), justify="left" if isinstance(cells[0], str) else "right")
    for row in rows:
        grid.add_row(
            *(
                escape(f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell))
                for name, cell in row.items()
                if name not in same
            )
        )
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))


def _shown(item: Any) -> str:
    if isinstance(item, np.ndarray) and item.ndim == 2:
        return f"{item.shape[0]} x {item.shape[1]} pixels (height x width); --draw DIR draws it, --json prints it"
    if isinstance(item, dict) and all(isinstance(value, float) for value in item.values()):
        return ", ".join(f"{name} {value:.1%}" for name, value in sorted(item.items(), key=lambda pair: -pair[1]))
    if isinstance(item, list):
        return ", ".join(map(_shown, item[:10])) + (f", ... ({len(item)})" if len(item) > 10 else "")
    if isinstance(item, tuple):
        return " ".join(map(_shown, item))
    return f"{item:.4f}" if isinstance(item, float) else str(item)


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
