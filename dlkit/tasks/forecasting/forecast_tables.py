"""Forecasts of every series of a table, as a table with the column names of Nixtla's libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Id
from dlkit.data.read import read_table
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.graph_predictor import GraphPredictor, import_pandas
from dlkit.log import logger
from dlkit.options import option
from dlkit.tasks.forecasting.columns import to_timestamps
from dlkit.tasks.forecasting.frequency import Frequency
from dlkit.tasks.forecasting.long_tables import read_future_table
from dlkit.tasks.forecasting.nixtla import get_quantile_column
from dlkit.tasks.forecasting.rows import SeriesWindows
from dlkit.tasks.forecasting.tables import move_index_to_column

if TYPE_CHECKING:
    from dlkit.tasks.forecasting.task import Forecaster


def is_single_history(data: Any) -> bool:
    """Return whether data are one history, a dict of lists, and not a table of series."""
    if not isinstance(data, Mapping):
        return False
    first = next(iter(data["ds"]), "") if hasattr(data.get("ds"), "__iter__") else ""
    return np.ndim(data.get("unique_id", "")) == 0 and np.ndim(first) == 0


def forecast_table(
    task: Forecaster,
    data: Any,
    *,
    how: ReadOptions,
    horizon: int | None,
    quantile_levels: Sequence[float] | None,
    future: Any,
) -> Any:
    """Forecast every series of a table; see `Forecaster.forecast`."""
    pandas = import_pandas("a table of forecasts", " `predict_to(data, FILE)` does not need it.")
    horizon = task.horizon if horizon is None else horizon
    levels = [*map(float, task.quantile_levels if quantile_levels is None else quantile_levels)]
    _check_options(task, horizon, levels)
    table = read_table(data, task.inputs, how)
    if future is not None:
        table = _add_future_covariates(task, table, future, how)
    reasons = list[str]()
    windows = SeriesWindows(table, task.timestamps, task.resolve_frequency(table))
    rows = _find_complete_rows(task, windows, reasons)
    requests = table.take(rows)
    requests.columns |= {"horizon": [horizon] * len(rows), "quantile_levels": [levels] * len(rows)}
    signature = task.served()["forecast"]
    answered = list(GraphPredictor(signature, signature.columns).predict_valid(requests, reasons))
    if not answered:
        raise DataError(reasons[0])
    for remark in [*table.remarks, *report_skipped(reasons, len(table), "series", how.strict)]:
        logger.warning(f"{table.source}: {remark}")
    names = ("ds", "forecast", "quantiles")
    answers = {name: np.stack([answer[name][:horizon] for _, answer in answered]) for name in names}
    ids = np.array([requests.columns["unique_id"][row] for row, _ in answered], object)
    columns = {
        "unique_id": np.repeat(ids, horizon),
        "ds": to_timestamps(answers["ds"].ravel().tolist(), task.timestamps.integer_index),
        "yhat": answers["forecast"].ravel(),
    }
    for index, level in enumerate(levels):
        if level != 0.5:
            columns[get_quantile_column(level)] = answers["quantiles"][..., index].ravel()
    return pandas.DataFrame(columns).infer_objects()


def _check_options(task: Forecaster, horizon: int, levels: Sequence[float]) -> None:
    """Raise DataError for a horizon or quantile levels beyond the trained ones."""
    if not 1 <= horizon <= task.horizon:
        raise DataError(
            f"{option('horizon')} must be between 1 and {task.horizon}, the trained horizon. Received: {horizon}. "
            "For more steps, train with a longer horizon."
        )
    low, high = task.quantile_levels[0], task.quantile_levels[-1]
    if not levels or min(levels) < low - 1e-6 or max(levels) > high + 1e-6:
        raise DataError(
            f"{option('quantile_levels')} must be between {low:g} and {high:g}, as in training. Received: {levels}. "
            "For an 80 % interval, use 0.1 and 0.9."
        )


def _find_complete_rows(task: Forecaster, windows: SeriesWindows, reasons: list[str]) -> list[int]:
    """Return the rows whose future covariates are known over the horizon; reasons are added for the others."""
    names = task.timestamps.future_covariates
    rows = []
    for row in range(len(windows.table)):
        known = {name: len(windows.table.columns[name][row]) - windows.get_lengths(row)[0] for name in names}
        incomplete = [name for name, steps in known.items() if steps < task.horizon]
        if not incomplete:
            rows.append(row)
            continue
        ahead = windows.frequency.make_future(np.sort(windows.get_timestamps(row)), task.horizon)
        reasons.append(
            f"{windows.table.where(row)}: {incomplete[0]!r}, a future covariate, has values for "
            f"{max(0, known[incomplete[0]])} of the {task.horizon} steps from {ahead[0]} to {ahead[-1]}. Give all of "
            f"them in `future`, a table with the columns unique_id, ds, {', '.join(names)}, or as rows "
            "at the end of the series with an empty `y`."
        )
    return rows


def _add_future_covariates(task: Forecaster, table: Table, future: Any, how: ReadOptions) -> Table:
    """Add the future covariates of a second table to the histories."""
    names = task.timestamps.future_covariates
    if not names:
        raise DataError(
            "the table `future` holds future covariates, but this model was trained without any. Leave it out, or "
            f"train with {option('future_covariates')}, the names of the columns."
        )
    read = read_future_table(move_index_to_column(future, how.rename.get("ds", "ds")), task.timestamps, how)
    windows = SeriesWindows(table, task.timestamps, task.resolve_frequency(table))
    if read.timestamps.dtype.kind != windows.get_timestamps(0).dtype.kind:
        raise DataError(
            f"{read.source}: the timestamps of `future`, {read.timestamps[0]} and so on, have another type than those "
            f"of the series, {windows.get_timestamps(0)[-1]}. They must match."
        )
    order = np.argsort(read.series_index, kind="stable")
    starts = np.searchsorted(read.series_index[order], np.arange(len(read.ids) + 1))
    indices = {Id().raw(unique_id): index for index, unique_id in enumerate(read.ids)}
    shared = indices.get(b"") if len(indices) == 1 else None  # without ids it holds for all series
    columns = {name: list(cells) for name, cells in table.columns.items()}
    for row, unique_id in enumerate(table.columns["unique_id"]):
        index = indices.get(Id().raw(unique_id), shared)
        if index is None:
            continue
        future_rows = order[starts[index] : starts[index + 1]]
        # Of several rows of one time step the last one counts.
        by_key = dict(zip(_make_keys(windows.frequency, read.timestamps[future_rows]), future_rows, strict=True))
        ahead = windows.frequency.make_future(np.sort(windows.get_timestamps(row)), task.horizon)
        for name in names:
            cells = list(columns[name][row])
            for step, key in enumerate(_make_keys(windows.frequency, ahead), start=windows.get_lengths(row)[0]):
                if key in by_key:
                    cells[step : step + 1] = [read.get_cell(name, by_key[key])]
                elif step >= len(cells):
                    break
            columns[name][row] = cells
    unknown = indices.keys() - {b"", *map(Id().raw, table.columns["unique_id"])}
    remarks = [f"{len(unknown)} of {len(indices)} series of `future` are not in the data"] if unknown else []
    return replace(table, columns=columns, remarks=[*table.remarks, *read.remarks, *remarks])


def _make_keys(frequency: Frequency, timestamps: np.ndarray) -> list[int]:
    """Return numbers that are equal for timestamps of one time step: the month for months, else the exact time."""
    if frequency.months:
        return frequency.to_ordinals(timestamps).tolist()
    exact = timestamps.astype("datetime64[us]") if timestamps.dtype.kind == "M" else timestamps
    return exact.astype(np.int64).tolist()
