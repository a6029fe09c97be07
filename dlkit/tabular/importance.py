"""Permutation importance: how much worse predictions are if a column is shuffled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.data.split import evenly_spaced
from dlkit.plots import new_figure, save_figure
from dlkit.rows import Rows

MAX_ROWS = 1000  # rows that are predicted for
MAX_COLUMNS = 30  # columns that a plot shows


def measure_importance(task: Any, rows: Rows, repeats: int, plot: str | Path | None) -> dict[str, dict[str, float]]:
    """Measure by how much the primary metric falls if the cells of a column are shuffled.

    Columns that say the same share their importance: one is a substitute for the other. Source: Breiman, 2001, "Random
    Forests"; with whole columns of the raw table.

    Args:
        task: a fitted task of tables.
        rows: labeled rows, of which at most 1,000 are used, evenly spaced.
        repeats: number of shuffles of each column.
        plot: image file for a plot; None writes none.

    Returns:
        Column to `mean` and `deviation` of the fall over the shuffles, most important first.
    """
    rows.check()
    table = rows.table.take(evenly_spaced(len(rows.table), MAX_ROWS))
    targets = {name: table.raw_column(name, column) for name, column in task.target.items()}
    whole = task.score(targets, task.predict_table(table))[task.primary_metric]
    random, found = np.random.default_rng(task.seed), {}
    for name in task.inputs:
        falls = []
        for _ in range(repeats):
            cells = [table.columns[name][row] for row in random.permutation(len(table))]
            shuffled = replace(table, columns={**table.columns, name: cells})
            falls.append(whole - task.score(targets, task.predict_table(shuffled))[task.primary_metric])
        found[name] = {"mean": float(np.mean(falls)), "deviation": float(np.std(falls))}
    ordered = dict(sorted(found.items(), key=lambda item: -item[1]["mean"]))
    if plot:
        save_figure(_plot(ordered, task.primary_metric), plot)
    return ordered


def _plot(importance: Mapping[str, Mapping[str, float]], metric: str) -> Any:
    """Plot permutation importances as bars, most important first; returns a matplotlib figure."""
    shown = list(importance.items())[:MAX_COLUMNS][::-1]
    figure = new_figure(7, 0.9 + 0.26 * len(shown))
    axes = figure.subplots()
    axes.barh(
        [name for name, _ in shown],
        [each["mean"] for _, each in shown],
        xerr=[each["deviation"] for _, each in shown],
        color="#4477aa",
        ecolor="#333333",
    )
    axes.axvline(0, color="#333333", linewidth=0.8)
    axes.set_xlabel(f"decrease of {metric} if the column is shuffled", fontsize=9)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
