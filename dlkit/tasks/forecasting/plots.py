"""Plots of forecasts: history, forecast with its intervals and actual values, and all cutoffs of a backtest."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from dlkit.data.table import Table
from dlkit.plots import new_figure
from dlkit.tasks.forecasting.columns import to_timestamps
from dlkit.tasks.forecasting.frequency import Frequency

MAX_SERIES = 3
HISTORY_HORIZONS = 5  # horizons of history that are drawn before a forecast


def plot_backtest(table: Table, answers: dict[str, list], frequency: Frequency) -> Any:
    """Plot the first series, one row each: the forecast of the last cutoff with its history, and those of all cutoffs.

    Args:
        table: Rows of a history and its future values.
        answers: Dict of the served answers for them.
        frequency: Frequency of the series.

    Returns:
        The figure.
    """
    names = [str(name) for name in table.columns["unique_id"]]
    shown = list(dict.fromkeys(names))[:MAX_SERIES]
    figure = new_figure(13, 3.4 * len(shown))
    grid = figure.subplots(len(shown), 2, squeeze=False, width_ratios=(1, 1.4))
    for (left, right), series in zip(grid, shown, strict=True):
        rows = [row for row, name in enumerate(names) if name == series]
        rows.sort(key=lambda row: to_timestamps(table.columns["ds"][row])[-1])
        _draw_forecast(left, table, answers, frequency, rows[-1])
        _draw_backtest(right, table, answers, frequency, rows)
        left.set_title(textwrap.shorten(series, 60, placeholder=" ..."), loc="left", fontsize=9)
        right.set_title(f"{len(rows)} cutoffs" if len(rows) > 1 else "1 cutoff", loc="left", fontsize=9)
        _finish(left)
        _finish(right)
    return figure


def plot_forecasts(table: Table, answers: dict[str, list], frequency: Frequency) -> Any:
    """Plot requests: the end of each history, and its forecast with its intervals."""
    figure = new_figure(8, 3.4 * len(table))
    for row, axes in enumerate(np.ravel(figure.subplots(len(table), 1, squeeze=False))):
        _draw_forecast(axes, table, answers, frequency, row)
        _finish(axes)
    return figure


def _finish(axes: Any) -> None:
    axes.tick_params(labelsize=8)
    axes.tick_params(axis="x", rotation=25)
    axes.legend(fontsize=7, loc="best", frameon=False)


def _draw_forecast(axes: Any, table: Table, answers: dict[str, list], frequency: Frequency, row: int) -> None:
    history = np.asarray(table.columns["y"][row], float)
    horizon = len(answers["forecast"][row])
    recent = history[-HISTORY_HORIZONS * horizon :]
    timestamps = to_timestamps(table.columns["ds"][row])
    axes.plot(timestamps[-len(recent) :], recent, color="0.35", linewidth=1, label="history")
    ahead = frequency.make_future(timestamps, horizon)
    quantiles, levels = np.asarray(answers["quantiles"][row]), np.asarray(answers["quantile_levels"][row])
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
    future_y = np.asarray(table.columns["future_y"][row] if "future_y" in table.columns else (), float)[:horizon]
    if len(future_y):
        axes.plot(ahead[: len(future_y)], future_y, color="black", linewidth=1, linestyle="--", label="actual values")


def _draw_backtest(axes: Any, table: Table, answers: dict[str, list], frequency: Frequency, rows: list[int]) -> None:
    truth: dict[Any, float] = {}
    horizon = len(answers["forecast"][rows[0]])
    cutoffs = frequency.to_ordinals(np.array([to_timestamps(table.columns["ds"][row])[-1] for row in rows]))
    overlapping = len(rows) * horizon / (horizon + np.ptp(cutoffs) // frequency.ordinal_step)  # intervals per step
    for index, row in enumerate(rows):
        forecast = np.asarray(answers["forecast"][row])
        quantiles = np.asarray(answers["quantiles"][row])
        ahead = frequency.make_future(to_timestamps(table.columns["ds"][row]), len(forecast))
        future_y = np.asarray(table.columns["future_y"][row], float)[: len(forecast)]
        truth |= dict(zip(ahead[: len(future_y)].tolist(), future_y, strict=True))
        axes.plot(ahead, forecast, color="tab:blue", linewidth=0.9, alpha=0.8, label="" if index else "forecasts")
        axes.fill_between(
            ahead, quantiles[:, 0], quantiles[:, -1], color="tab:blue", alpha=0.3 / overlapping, linewidth=0
        )
    timestamps = sorted(truth)
    axes.plot(
        timestamps, [truth[timestamp] for timestamp in timestamps], color="black", linewidth=1.1, label="actual values"
    )
