"""Pictures, by matplotlib, which is an extra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.errors import DlkitError
from dlkit.version import install_hint


def new_figure(width: float, height: float) -> Any:
    """A matplotlib figure of this size in inches, with no display.

    Raises:
        DlkitError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DlkitError(f"pictures need matplotlib: {install_hint('plots')}.") from error
    return Figure(figsize=(width, height), layout="constrained", dpi=120)


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure as a picture; the suffix says of which kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


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
