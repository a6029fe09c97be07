"""Pictures of forecasts: history, fan and actual values, and all cutoffs of a backtest."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from dlkit.data.table import Table
from dlkit.plots import new_figure
from dlkit.tasks.forecasting.columns import stamps_of
from dlkit.tasks.forecasting.frequency import Step

SERIES = 3  # that are drawn, of many
HORIZONS = 5  # of history before a fan


def plot_backtest(table: Table, answers: dict[str, list], step: Step) -> Any:
    """Of the first series, a row each: the last origin with its history and fan, and the forecasts of all origins.

    Args:
        table: rows of a history and what followed.
        answers: the served answers to them.
        step: from one timestamp to the next.

    Returns:
        The figure.
    """
    names = [str(name) for name in table.columns["unique_id"]]
    shown = list(dict.fromkeys(names))[:SERIES]
    figure = new_figure(13, 3.4 * len(shown))
    grid = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(1, 1.4))
    for (fan, backtest), series in zip(grid, shown, strict=True):
        rows = [row for row, name in enumerate(names) if name == series]
        rows.sort(key=lambda row: stamps_of(table.columns["ds"][row])[-1])
        _draw_fan(fan, table, answers, step, rows[-1])
        _draw_backtest(backtest, table, answers, step, rows)
        fan.set_title(textwrap.shorten(series, 60, placeholder=" ..."), loc="left", fontsize=9)
        backtest.set_title(f"{len(rows)} cutoffs" if len(rows) > 1 else "1 cutoff", loc="left", fontsize=9)
        _finish(fan)
        _finish(backtest)
    return figure


def plot_fans(table: Table, answers: dict[str, list], step: Step) -> Any:
    """The figure of some requests: the end of each history, and its forecast between its quantiles."""
    figure = new_figure(8, 3.4 * len(table))
    for row, axes in enumerate(np.ravel(figure.subplots(len(table), 1, squeeze=False))):
        _draw_fan(axes, table, answers, step, row)
        _finish(axes)
    return figure


def _finish(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    axes.tick_params(axis="x", rotation=25)
    axes.legend(fontsize=7, loc="best", frameon=False)


def _draw_fan(axes: Any, table: Table, answers: dict[str, list], step: Step, row: int) -> None:
    history = np.asarray(table.columns["y"][row], float)
    horizon = len(answers["forecast"][row])
    past = history[-HORIZONS * horizon :]
    stamps = stamps_of(table.columns["ds"][row])
    axes.plot(stamps[-len(past) :], past, color="0.35", linewidth=1, label="history")
    ahead = step.after(stamps, horizon)
    quantiles, levels = np.asarray(answers["quantiles"][row]), np.asarray(answers["levels"][row])
    for low in range(len(levels) // 2):
        high = len(levels) - 1 - low
        axes.fill_between(
            ahead,
            quantiles[:, low],
            quantiles[:, high],
            color="tab:blue",
            alpha=0.2 + 0.15 * low,
            linewidth=0,
            label=f"{levels[low]:g} to {levels[high]:g}",
        )
    axes.plot(ahead, answers["forecast"][row], color="tab:blue", linewidth=1.5, label="forecast")
    following = np.asarray(table.columns["following"][row] if "following" in table.columns else (), float)[:horizon]
    if len(following):
        axes.plot(ahead[: len(following)], following, color="black", linewidth=1, linestyle="--", label="actual values")


def _draw_backtest(axes: Any, table: Table, answers: dict[str, list], step: Step, rows: list[int]) -> None:
    truth: dict[Any, float] = {}
    horizon = len(answers["forecast"][rows[0]])
    ends = step.position(np.array([stamps_of(table.columns["ds"][row])[-1] for row in rows]))
    at_once = len(rows) * horizon / (horizon + np.ptp(ends) // step.unit)  # fans that lie on one another
    for place, row in enumerate(rows):
        made = np.asarray(answers["forecast"][row])
        quantiles = np.asarray(answers["quantiles"][row])
        ahead = step.after(stamps_of(table.columns["ds"][row]), len(made))
        following = np.asarray(table.columns["following"][row], float)[: len(made)]
        truth |= dict(zip(ahead[: len(following)].tolist(), following, strict=True))
        axes.plot(ahead, made, color="tab:blue", linewidth=0.9, alpha=0.8, label="" if place else "forecasts")
        axes.fill_between(ahead, quantiles[:, 0], quantiles[:, -1], color="tab:blue", alpha=0.3 / at_once, linewidth=0)
    stamps = sorted(truth)
    axes.plot(stamps, [truth[stamp] for stamp in stamps], color="black", linewidth=1.1, label="actual values")
