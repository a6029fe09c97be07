"""Tables of forecasts: every series of a table goes on, in the form and with the names of Nixtla's libraries."""

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
from dlkit.tasks.forecasting.columns import stamps_of
from dlkit.tasks.forecasting.frequency import Step
from dlkit.tasks.forecasting.long_tables import read_future
from dlkit.tasks.forecasting.nixtla import quantile_column
from dlkit.tasks.forecasting.rows import Windows
from dlkit.tasks.forecasting.tables import with_stamps

if TYPE_CHECKING:
    from dlkit.tasks.forecasting.task import Forecaster


def is_history(data: Any) -> bool:
    """Whether data are one history, a dict of lists, and no table of series."""
    if not isinstance(data, Mapping):
        return False
    first = next(iter(data["ds"]), "") if hasattr(data.get("ds"), "__iter__") else ""
    return np.ndim(data.get("unique_id", "")) == 0 and np.ndim(first) == 0


def forecast_table(
    task: Forecaster, data: Any, *, how: ReadOptions, horizon: int | None, levels: Sequence[float] | None, future: Any
) -> Any:
    """The forecasts of every series of a table; see `Forecaster.forecast`."""
    pandas = import_pandas("a table of forecasts", " `predict_to(data, FILE)` does not need it.")
    horizon = task.horizon if horizon is None else horizon
    levels = [*map(float, task.quantiles if levels is None else levels)]
    _check(task, horizon, levels)
    table = read_table(data, task.inputs, how)
    if future is not None:
        table = _with_future(task, table, future, how)
    reasons = list[str]()
    asked = table.take(rows := _able(task, Windows(table, task.stamps, task.step(table)), reasons))
    asked.columns |= {"horizon": [horizon] * len(rows), "levels": [levels] * len(rows)}
    signature = task.served()["forecast"]
    made = list(GraphPredictor(signature, signature.columns).predict_valid(asked, reasons))
    if not made:
        raise DataError(reasons[0])
    for remark in [*table.remarks, *report_skipped(reasons, len(table), "series", how.strict)]:
        logger.warning(f"{table.source}: {remark}")
    names = ("ds", "forecast", "quantiles")
    answers = {name: np.stack([answer[name][:horizon] for _, answer in made]) for name in names}
    columns = {
        "unique_id": np.repeat(np.array([asked.columns["unique_id"][row] for row, _ in made], object), horizon),
        "ds": stamps_of(answers["ds"].ravel().tolist(), task.stamps.counts),
        "yhat": answers["forecast"].ravel(),
    }
    for place, level in enumerate(levels):
        if level != 0.5:
            columns[quantile_column(level)] = answers["quantiles"][..., place].ravel()
    return pandas.DataFrame(columns).infer_objects()


def _check(task: Forecaster, horizon: int, levels: Sequence[float]) -> None:
    """Raises DataError for a horizon or levels that were not trained."""
    if not 1 <= horizon <= task.horizon:
        raise DataError(
            f"{option('horizon')} must be between 1 and {task.horizon}, the trained horizon. Received: {horizon}. "
            "For more steps, train with a longer horizon."
        )
    low, high = task.quantiles[0], task.quantiles[-1]
    if not levels or min(levels) < low - 1e-6 or max(levels) > high + 1e-6:
        raise DataError(
            f"`levels` must be quantile levels between {low:g} and {high:g}, as in training. Received: {levels}. "
            "For an 80 % interval, use 0.1 and 0.9."
        )


def _able(task: Forecaster, windows: Windows, reasons: list[str]) -> list[int]:
    """The series whose covariates are known for all steps ahead; what the others lack goes to the list."""
    rows = []
    for row in range(len(windows.table)):
        have = {name: len(windows.table.columns[name][row]) - windows.lengths(row)[0] for name in task.stamps.known}
        lacking = [name for name, steps in have.items() if steps < task.horizon]
        if not lacking:
            rows.append(row)
            continue
        ahead = windows.step.after(windows.stamps_of(row), task.horizon)
        reasons.append(
            f"{windows.table.where(row)}: {lacking[0]!r}, a future covariate, has values for "
            f"{max(0, have[lacking[0]])} of the {task.horizon} steps from {ahead[0]} to {ahead[-1]}. Give all of "
            f"them in `future`, a table with the columns unique_id, ds, {', '.join(task.stamps.known)}, or as rows "
            "at the end of the series with an empty `y`."
        )
    return rows


def _with_future(task: Forecaster, table: Table, future: Any, how: ReadOptions) -> Table:
    """Histories with the values of covariates that a second table has for the steps ahead of each series."""
    known = task.stamps.known
    if not known:
        raise DataError(
            "the table `future` holds future covariates, but this model was trained without any. Leave it out, or "
            f"train with {option('known')}, the names of the columns."
        )
    read = read_future(with_stamps(future, how.rename.get("ds", "ds")), task.stamps, how)
    windows = Windows(table, task.stamps, task.step(table))
    if read.stamps.dtype.kind != windows.stamps_of(0).dtype.kind:
        raise DataError(
            f"{read.source}: the timestamps of `future`, {read.stamps[0]} and so on, have another type than those "
            f"of the series, {windows.stamps_of(0)[-1]}. They must match."
        )
    order = np.argsort(read.code, kind="stable")
    starts = np.searchsorted(read.code[order], np.arange(len(read.ids) + 1))
    places = {Id().raw(series): place for place, series in enumerate(read.ids)}
    everyone = places.get(b"") if len(places) == 1 else None  # without ids it holds for all series
    columns = {name: list(cells) for name, cells in table.columns.items()}
    for row, series in enumerate(table.columns["unique_id"]):
        place = places.get(Id().raw(series), everyone)
        if place is None:
            continue
        of = order[starts[place] : starts[place + 1]]
        at = dict(zip(_keys(windows.step, read.stamps[of]), of, strict=True))  # of several of one step the last
        ahead = _keys(windows.step, windows.step.after(windows.stamps_of(row), task.horizon))
        for name in known:
            cells = list(columns[name][row])
            for step, key in enumerate(ahead, start=windows.lengths(row)[0]):
                if key in at:
                    cells[step : step + 1] = [read.cell(name, at[key])]
                elif step >= len(cells):
                    break
            columns[name][row] = cells
    strange = places.keys() - {b"", *map(Id().raw, table.columns["unique_id"])}
    remarks = [f"{len(strange)} of {len(places)} series of `future` are not in the data"] if strange else []
    return replace(table, columns=columns, remarks=[*table.remarks, *read.remarks, *remarks])


def _keys(step: Step, stamps: np.ndarray) -> list[int]:
    """What timestamps of one step have in common: of months the month, else the moment."""
    if step.months:
        return step.position(stamps).tolist()
    return (stamps.astype("datetime64[us]") if stamps.dtype.kind == "M" else stamps).astype(np.int64).tolist()
