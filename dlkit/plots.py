"""Pictures, by matplotlib, which is an extra."""

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
    """A matplotlib figure of this size in inches, with no display. A notebook shows it where it ends a cell.

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

    class Picture(Figure):
        """A figure that pyplot does not know, and that shows itself all the same."""

        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return Picture


def save_figure(figure: Any, path: str | Path) -> None:
    """Writes a figure as a picture; the suffix says of which kind.

    Raises:
        DlkitError: the file cannot be written, or there is no such kind.
    """
    path = Path(path)
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in kinds:
        raise DlkitError(f"an image file must end in one of .{', .'.join(kinds)}. Received: {path}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    except OSError as error:
        raise write_error(path, error) from error


def plot_learning_rates(rates: Sequence[float], losses: Sequence[float], chosen: float, path: Path) -> None:
    """The losses of a learning-rate range test over the rates, and the chosen rate."""
    figure = new_figure(7, 4)
    axes = figure.subplots()
    axes.plot(rates, losses)
    axes.axvline(chosen, color="tab:red", linestyle="--", label=f"chosen: {chosen:.2g}")
    highest = np.nanmax(np.where(np.isfinite(losses), losses, np.nan)[: max(len(losses) // 2, 1)])
    axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed", ylim=(None, 1.2 * highest))
    axes.legend()
    save_figure(figure, path)


def plot_history(history: Mapping[str, Sequence[float]], kept: int) -> Any:
    """A figure of each metric over the epochs, in training and validation, with the epoch whose weights are kept.

    Args:
        history: metric name to one value per epoch; those of validation begin with `val_`.
        kept: the epoch whose weights are kept, counted from 1.
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
            epochs = range(last - len(values) + 1, last + 1)
            axes.plot(epochs, values, color=color, marker="o" if len(values) < 30 else "", markersize=3, label=label)
            if len(values) and not len(history.get(f"val_{name}", ())):
                break
        axes.axvline(kept, color="0.4", linestyle="--", linewidth=1, label=f"best: epoch {kept}")
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8, frameon=False)
    for axes in grid[len(names) :]:
        axes.axis("off")
    return figure
