"""Figures, made with matplotlib (the extra `plots`)."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.errors import DlkitError, write_error
from dlkit.version import install_hint


def new_figure(width: float, height: float) -> Any:
    """Create a matplotlib figure of a size in inches, without a display. A notebook shows it at the end of a cell.

    Raises:
        DlkitError: matplotlib is not installed.
    """
    return _figure_class()(figsize=(width, height), layout="constrained", dpi=120)


@functools.cache
def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DlkitError(f"plots need matplotlib: {install_hint('plots')}.") from error

    class NotebookFigure(Figure):
        """A figure that is not registered with pyplot and is shown in notebooks."""

        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return NotebookFigure


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure to an image file; the suffix selects the format.

    Raises:
        DlkitError: the file cannot be written, or there is no such kind.
    """
    path = Path(path)
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in formats:
        raise DlkitError(f"an image file must end in one of .{', .'.join(formats)}. Received: {path}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise write_error(path, error) from error


def plot_learning_rates(rates: Sequence[float], losses: Sequence[float], suggested: float, path: Path) -> None:
    """Plot the losses of a learning rate range test and the suggested rate."""
    figure = new_figure(7, 4)
    axes = figure.subplots()
    axes.plot(rates, losses)
    axes.axvline(suggested, color="tab:red", linestyle="--", label=f"suggested: {suggested:.2g}")
    highest = np.nanmax(np.where(np.isfinite(losses), losses, np.nan)[: max(len(losses) // 2, 1)])
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed", ylim=(None, 1.2 * highest))
    axes.legend()
    save_figure(figure, path)


def plot_history(history: Mapping[str, Sequence[float]], best_epoch: int) -> Any:
    """Plot each metric over the epochs, for training and validation, and mark the best epoch.

    Args:
        history: metric name to one value per epoch; those of validation begin with `val_`.
        best_epoch: the epoch whose weights are kept, counted from 1.
    """
    names = list(dict.fromkeys(name.removeprefix("val_") for name in history))
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = new_figure(0.8 + 3.8 * columns, 3.2 * rows)
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, name in zip(grid, names, strict=False):  # the last row may have gaps
        for key, label, color in ((name, "training", "tab:blue"), (f"val_{name}", "validation", "tab:orange")):
            values = history.get(key, ())
            last = max(map(len, history.values()))  # a changed run may have begun some metrics later
            numbers = np.asarray(values, np.float64)
            measured = ~np.isnan(numbers)  # some epochs alone have the score of served answers
            if not measured.any():  # a metric of training alone, or of validation alone
                continue
            epochs = np.arange(last - len(values) + 1, last + 1)[measured]
            axes.plot(
                epochs,
                numbers[measured],
                color=color,
                marker="o" if len(values) < 30 else "",
                markersize=3,
                label=label,
            )
        axes.axvline(best_epoch, color="0.4", linestyle="--", linewidth=1, label=f"best: epoch {best_epoch}")
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8, frameon=False)
    for axes in grid[len(names) :]:
        axes.axis("off")
    return figure
