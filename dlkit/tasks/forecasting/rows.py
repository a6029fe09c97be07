"""Rows of series cut at cutoffs: to train on, to hold out, to backtest, and to keep as requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from dlkit.columns import Id, is_missing_number
from dlkit.data.read_options import ReadKeywords, report_skipped
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.report import Report
from dlkit.rows import Rows
from dlkit.tasks.forecasting.columns import Float64Series, Timestamps, encode_timestamps, to_timestamps
from dlkit.tasks.forecasting.frequency import Frequency, infer_frequency
from dlkit.tasks.forecasting.nixtla import get_quantile_column, make_forecast_rows

if TYPE_CHECKING:
    from dlkit.tasks.forecasting.task import Forecaster

MIN_OBSERVED_FRACTION = 0.5  # of time steps with a value, below which a report warns of a series
MAX_CUTOFFS_PER_ROW = 256  # of a training row: windows that are encoded together are to need little memory


class SeriesWindows:
    """The rows of a table of series, and windows cut from them.

    A row is either a whole series, every time step of which may be a cutoff, or, where it has values of `future_y`, a
    history and its future values.

    Args:
        table: Table, as `dlkit.tasks.forecasting.tables.read_series` returns it.
        column: The column of the timestamps, which knows the names of the covariates.
        frequency: The frequency of the series.
    """

    def __init__(self, table: Table, column: Timestamps, frequency: Frequency):
        self.table, self.column, self.frequency = table, column, frequency

    def get_lengths(self, row: int) -> tuple[int, int]:
        """Return the number of values of `y` and of `future_y` of a row."""
        return len(self.table.columns["y"][row]), len(self.table.columns["future_y"][row])

    def is_whole_series(self, row: int) -> bool:
        """Return whether every time step may be a cutoff."""
        return not self.get_lengths(row)[1]

    def get_values(self, row: int) -> np.ndarray:
        """Return `y` and `future_y` of a row, float64."""
        columns = self.table.columns
        return np.concatenate([Float64Series().raw(columns[name][row]) for name in ("y", "future_y")])

    def get_timestamps(self, row: int) -> np.ndarray:
        """Return the timestamps of the history of a row."""
        return to_timestamps(self.table.columns["ds"][row], self.column.integer_index)

    def cut_window(self, row: int, start: int, cutoff: int, steps_ahead: int, training: bool = False) -> dict[str, Any]:
        """Cut a row into a history and its future.

        Args:
            row: Index of the row.
            start, cutoff: First time step of the history, and the one after its last.
            steps_ahead: Number of time steps of the future.
            training: Whether the historical covariates continue, too, for cutoffs further on.

        Returns:
            Dict of the columns of the new row.
        """
        columns = self.table.columns
        values, window = self.get_values(row), {}
        ds = self.get_timestamps(row)
        if cutoff > len(ds):
            ds = np.concatenate([ds, self.frequency.make_future(ds, cutoff - len(ds)).astype(ds.dtype)])
        for name in columns:
            if name == "ds":
                window[name] = ds[start:cutoff]
            elif name == "y":
                window[name] = values[start:cutoff]
            elif name == "future_y":
                window[name] = values[cutoff : cutoff + steps_ahead]
            elif name in self.column.historical_covariates:
                window[name] = columns[name][row][start : cutoff + (steps_ahead if training else 0)]
            elif name in self.column.future_covariates:
                window[name] = columns[name][row][start : cutoff + steps_ahead]
            else:
                window[name] = columns[name][row]
        return window

    def compute_mase_scales(self, season_length: int) -> dict[str, float]:
        """Return the scale of MASE of each series by id; of several rows of one id, that of the longest."""
        from dlkit.tasks.forecasting.metrics import compute_mase_scale

        longest: dict[str, int] = {}
        for row, name in enumerate(self.table.columns["unique_id"]):
            key = Id().raw(name).decode()
            if key not in longest or sum(self.get_lengths(row)) > sum(self.get_lengths(longest[key])):
                longest[key] = row
        scales = {name: compute_mase_scale(self.get_values(row), season_length) for name, row in longest.items()}
        return {name: scale for name, scale in scales.items() if np.isfinite(scale)}

    def to_table(self, rows: list[tuple[int, dict[str, Any]]]) -> Table:
        """Return a table of rows, each given with the index of the row that it was cut from."""
        columns = {name: [window[name] for _, window in rows] for name in self.table.columns}
        where = lambda index: self.table.where(rows[index][0])  # noqa: E731
        return Table(self.table.source, columns, where, remarks=self.table.remarks, strict=self.table.strict)


def split_validation(windows: SeriesWindows, fraction: float, horizon: int) -> tuple[Table, Table]:
    """Split the end of each series off for validation.

    The held-out part of a series is its last fraction, at least the horizon, no value of which remains in the rest. Of
    rows with a history and its future, the latest are held out, and those that end after their first cutoff are
    dropped.

    Returns:
        Tuple of the rest and the held-out part.

    Raises:
        DataError: Nothing would remain.
    """
    table = windows.table
    rest: list[tuple[int, dict[str, Any]]] = []
    held_out: list[tuple[int, dict[str, Any]]] = []
    with_future = [row for row in range(len(table)) if not windows.is_whole_series(row)]
    for row in set(range(len(table))) - set(with_future):
        length, _ = windows.get_lengths(row)
        count = max(horizon, round(fraction * length))
        if length - count < 2:
            rest.append((row, table.row(row)))
            continue
        rest.append((row, windows.cut_window(row, 0, length - count, 0)))
        held_out.append((row, windows.cut_window(row, 0, length - count, count, training=True)))
    if with_future:
        to_ordinals = windows.frequency.to_ordinals
        ends = np.array([to_ordinals(windows.get_timestamps(row)[-1:])[0] for row in with_future])
        first = np.sort(ends)[-max(1, round(fraction * len(with_future)))]
        ordinal_step = windows.frequency.ordinal_step
        for row, end in zip(with_future, ends, strict=True):
            if end >= first:
                held_out.append((row, table.row(row)))
            elif end + ordinal_step * windows.get_lengths(row)[1] <= first:
                rest.append((row, table.row(row)))
    if not rest or not held_out:
        raise DataError(
            f"{table.source} is too short to hold out its last {fraction:.0%}, at least {horizon} steps, for "
            f"{option('validation_split')}. Give a longer series or validation data, or set "
            f"{option('validation_split')} to 0."
        )
    return windows.to_table(rest), windows.to_table(held_out)


def cut_training_rows(windows: SeriesWindows, context_length: int, horizon: int) -> Table:
    """Cut rows to encode: each with a context and the future values of at most `MAX_CUTOFFS_PER_ROW` cutoffs."""
    rows = list(_iter_training_rows(windows, context_length, horizon))
    return windows.to_table(rows)


def _iter_training_rows(
    windows: SeriesWindows, context_length: int, horizon: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in range(len(windows.table)):
        history, future = windows.get_lengths(row)
        total = history + future
        first = history if future else 1
        last = max(first, total - horizon)
        if future and last - first < MAX_CUTOFFS_PER_ROW:
            yield row, windows.table.row(row)
            continue
        for cutoff in range(first, min(last, total - 1) + 1, MAX_CUTOFFS_PER_ROW):
            last_cutoff = min(cutoff + MAX_CUTOFFS_PER_ROW - 1, last)
            start, steps_ahead = max(0, cutoff - context_length), last_cutoff + horizon - cutoff
            yield row, windows.cut_window(row, start, cutoff, steps_ahead, training=True)


def cut_last_windows(windows: SeriesWindows, context_length: int, horizon: int) -> Table:
    """Cut each row at its last cutoff that is followed by a whole horizon."""
    rows = []
    for row in range(len(windows.table)):
        history, future = windows.get_lengths(row)
        cutoff = history if future else max(1, history - horizon)
        rows.append((row, windows.cut_window(row, max(0, cutoff - context_length), cutoff, horizon)))
    return windows.to_table(rows)


def cut_series_ends(windows: SeriesWindows, length: int, horizon: int) -> list[dict[str, Any]]:
    """Return requests for forecasts after the end of each series, as values that JSON can hold.

    Args:
        windows: The series; of several rows of one id, the one that ends last is used.
        length: Number of time steps of the history.
        horizon: Number of time steps after it that the future covariates have.
    """
    ordinal_step = windows.frequency.ordinal_step
    latest: dict[bytes, tuple[int, int]] = {}
    for row, name in enumerate(windows.table.columns["unique_id"]):
        _, future = windows.get_lengths(row)
        cutoff = windows.frequency.to_ordinals(windows.get_timestamps(row)[-1:])[0]
        end = int(cutoff) + ordinal_step * future
        key = Id().raw(name)
        latest[key] = max(latest.get(key, (end, row)), (end, row))
    requests = []
    for _, row in latest.values():
        total = sum(windows.get_lengths(row))
        window = windows.cut_window(row, max(0, total - length), total, horizon)
        window["ds"] = [text.decode() for text in encode_timestamps(window["ds"])]
        requests.append({name: _to_json(value) for name, value in window.items() if name != "future_y"})
    return requests


def _to_json(value: Any) -> Any:
    """Return numbers, texts or a list of them as JSON has them, null for a missing one."""
    if isinstance(value, (list, np.ndarray)):
        return [*map(_to_json, value)]
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, str) or not is_missing_number(value) else None


def cut_backtest_windows(
    windows: SeriesWindows,
    history_length: int,
    horizon: int,
    backtest_windows: int,
    step_size: int,
    context_length: int,
) -> Table:
    """Cut whole series into the windows of a rolling-origin backtest.

    The last cutoff of a series is a horizon before its end. Rows with a history and its future are left as they are. A
    series that is too short is left out, and so are windows whose context holds no value; a remark names them.

    Args:
        windows: The series.
        history_length: Number of time steps before the cutoff that a row holds.
        horizon: Forecast horizon, in time steps.
        backtest_windows: Number of windows per series.
        step_size: Time steps between consecutive windows.
        context_length: Input size of the model, in time steps.

    Raises:
        DataError: All series are too short, or one is, where the table is `strict`.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    reasons = []
    for row in range(len(windows.table)):
        if not windows.is_whole_series(row):
            rows.append((row, windows.table.row(row)))
            continue
        length, _ = windows.get_lengths(row)
        last = length - horizon
        first = last - (backtest_windows - 1) * step_size
        if first < 1:
            reasons.append(
                f"{windows.table.where(row)} has {length} steps: too few for {backtest_windows} backtest "
                f"windows with a step size of {step_size} and a horizon of {horizon}. Expected at least "
                f"{horizon + (backtest_windows - 1) * step_size + 1}; if the file covers the test period only, include "
                "the preceding history."
            )
            continue
        cuts = [
            (row, windows.cut_window(row, max(0, cutoff - history_length), cutoff, horizon))
            for cutoff in range(first, last + 1, step_size)
        ]
        empty = [
            index for index, (_, window) in enumerate(cuts) if not np.isfinite(window["y"][-context_length:]).any()
        ]
        if empty:
            reasons.append(
                f"{windows.table.where(row)} has no value in the {context_length} steps before {len(empty)} of its "
                f"{len(cuts)} cutoffs, which are skipped."
            )
        rows += [cut for index, cut in enumerate(cuts) if index not in empty]
    if not rows:
        raise DataError(reasons[0])
    table = windows.to_table(rows)
    table.remarks = [*table.remarks, *report_skipped(reasons, len(windows.table), "series", windows.table.strict)]
    return table


def cut_before_backtest(windows: SeriesWindows, horizon: int, backtest_windows: int, step_size: int) -> Table:
    """Cut the part of each series to train on, up to the first cutoff of `cut_backtest_windows`.

    Series that are too short for the backtest are part of it up to the earliest of the others' first cutoffs.
    """
    test_length = horizon + (backtest_windows - 1) * step_size
    ends = {row: windows.get_lengths(row)[0] - test_length for row in range(len(windows.table))}
    timestamps = {row: windows.get_timestamps(row) for row in ends}
    earliest = min(timestamps[row][end - 1] for row, end in ends.items() if end > 0)
    ends = {row: end if end > 0 else int((timestamps[row] <= earliest).sum()) for row, end in ends.items()}
    return windows.to_table([(row, windows.cut_window(row, 0, end, 0)) for row, end in ends.items() if end > 0])


def inspect_series(report: Report, windows: SeriesWindows, horizon: int) -> None:
    """Add lengths, missing values, constants and outlying timestamps of series to a report."""
    table = windows.table
    found: dict[str, list[str]] = {name: [] for name in ("short", "constant", "sparse", "outlying")}
    lengths = []
    for row in report.sample(len(table)):
        values = windows.get_values(row)
        observed = np.isfinite(values)
        lengths.append(len(values))
        where = table.where(row)
        if windows.is_whole_series(row) and len(values) < 2 * horizon:
            found["short"].append(f"{where}: {len(values)}")
        if len(values) and observed.mean() < MIN_OBSERVED_FRACTION:
            found["sparse"].append(f"{where}: {1 - observed.mean():.0%}")
        elif observed.sum() > 2 and np.ptp(values[observed]) == 0:
            found["constant"].append(where)
        if windows.is_whole_series(row) and observed.sum() > 20:
            gaps = np.diff(np.flatnonzero(observed))
            longest = int(gaps.max())
            if longest > len(values) / 3:
                before = windows.get_timestamps(row)[np.flatnonzero(observed)[int(np.argmax(gaps == longest))]]
                found["outlying"].append(f"{where}: no values after {before}, for {longest} steps")
    report.statistics["steps per series"] = f"{int(np.median(lengths))} median, {min(lengths)} minimum"
    warnings = {
        "short": (f"series have less than two horizons ({2 * horizon} steps)", "Their forecasts are barely evaluated."),
        "constant": ("series are constant", ""),
        "sparse": (
            f"series have values at less than {MIN_OBSERVED_FRACTION:.0%} of their steps",
            "Check the frequency.",
        ),
        "outlying": (
            "series have outlying timestamps",
            "Check the first and the last one, for example for a wrong year.",
        ),
    }
    for name, (what, remedy) in warnings.items():
        if found[name]:
            report.add_warning(f"{len(found[name])} of {len(lengths)} {what}", found[name], remedy)


class SeriesRows(Rows):
    """Series, which are split by time, cut into windows, and evaluated by a backtest."""

    task: Forecaster
    by_record = False
    windows_per_row = 2  # at most, of training rows; `to_encode` sets it

    @classmethod
    def split(
        cls,
        task: Forecaster,
        data: Any,
        *,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> tuple[Table, Table]:
        """Split series into what is known at the first cutoff of the backtest, and the backtest windows."""
        rows = task.read(data, columns=columns, data_dir=data_dir, **options)
        windows = SeriesWindows(rows.table, task.timestamps, task.resolve_frequency(rows.table))
        longest = max(windows.get_lengths(row)[0] for row in range(len(rows)))
        context_length = task.context_length or choose_context_length(
            get_season_lengths(task, windows.frequency), task.horizon, longest
        )
        history_length = _get_history_length(task, windows.frequency, context_length)
        step_size = task.step_size or task.horizon
        test = cut_backtest_windows(
            windows, history_length, task.horizon, task.backtest_windows, step_size, context_length
        )
        return cut_before_backtest(windows, task.horizon, task.backtest_windows, step_size), test

    def hold_out(self, share: float) -> tuple[Self, Self | None]:
        windows, task = self._get_windows(), self.task
        task.season_length_ = (get_season_lengths(task, windows.frequency) or [1])[0]
        task.mase_scales_ = windows.compute_mase_scales(task.season_length_)
        task.stored_series_ = self._cut_series_ends(windows) if task.keep_history else []
        if not share:
            return self, None
        rest, held_out = split_validation(windows, share, task.horizon)
        return self.with_table(rest), self.with_table(held_out)

    def _cut_series_ends(self, windows: SeriesWindows) -> list[dict[str, Any]]:
        """Return the end of each series, as JSON can hold it, with all that a forecast from there may read."""
        task = self.task
        longest = max(sum(windows.get_lengths(row)) for row in range(len(self)))
        season_lengths = get_season_lengths(task, windows.frequency)
        context_length = task.context_length or choose_context_length(season_lengths, task.horizon, longest)
        history_length = _get_history_length(task, windows.frequency, context_length)
        return cut_series_ends(windows, history_length, task.horizon)

    @classmethod
    def stored(cls, task: Forecaster) -> list[dict[str, Any]]:
        """Return the ends of the training series, where the model has stored them."""
        if not task.stored_series_:
            raise DataError(
                "this forecaster stores no series: give a table of them. A model trained with "
                f"{option('keep_history', True)} forecasts its training series without one."
            )
        return task.stored_series_

    def answer_rows(self, row: int, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a row for each time step of the horizon, with the column names of Nixtla's libraries."""
        ids = self.table.columns.get("unique_id")
        return make_forecast_rows("" if ids is None else ids[row], answer)

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        inspect_series(report, self._get_windows(), self.task.horizon)

    def continued_from(self, model: Forecaster) -> dict[str, Any]:
        windows = SeriesWindows(self.table, self.task.timestamps, model.resolve_frequency(self.table))
        rows = range(min(len(self), 1000))
        given = bool(self.task.frequency)  # which is the model's own
        found = windows.frequency if given else infer_frequency(map(windows.get_timestamps, rows), self.table.source)
        if found != windows.frequency:
            raise DataError(
                f"{self.table.source} has a frequency of {found}, the model was trained with {windows.frequency}. They "
                "must match."
            )
        return {"mase_scales_": {**model.mase_scales_, **windows.compute_mase_scales(model.season_length_)}}

    def to_encode(self) -> Table:
        table = cut_training_rows(self._get_windows(), self._get_context_length(), self.task.horizon)
        self.windows_per_row = max(2, *(len(values) - self.task.horizon + 1 for values in table.columns["future_y"]))
        return table

    def requests(self) -> Table:
        return cut_last_windows(self._get_windows(), self._get_context_length(), self.task.horizon)

    @classmethod
    def synthetic(cls, task: Forecaster, count: int) -> list[dict[str, Any]]:
        """Return sine waves of several lengths, from one value on, with constant covariates."""
        preprocessing = task.stages_.preprocess.get_layer("series_preprocessing")
        frequency, context_length = Frequency(*task.frequency_), preprocessing.context_length
        monday = np.array(["2020-01-06T00:00:00"], "datetime64[s]")
        first = np.zeros(1, np.int64) if frequency.integer else monday
        lengths = [1, 3, task.horizon, context_length, context_length + 3]
        requests = []
        for number in range(count):
            length = lengths[number % len(lengths)] + number // len(lengths)
            ds = first
            if length > 1:
                ds = np.concatenate([first, frequency.make_future(first, length - 1).astype(first.dtype)])
            row: dict[str, Any] = {"ds": ds, "y": 20.0 + number + 5.0 * np.sin(np.arange(length) / 2.0)}
            for name in (*task.timestamps.historical_covariates, *task.timestamps.future_covariates):
                steps = length + (task.horizon if name in task.timestamps.future_covariates else 0)
                row[name] = [""] * steps if name in task.categories_ else [0.5] * steps
            requests.append({**row, **dict.fromkeys(task.timestamps.static_covariates, "")})
        return requests

    def to_evaluate(self) -> Table:
        task, windows, context_length = self.task, self._get_windows(), self._get_context_length()
        history_length = _get_history_length(task, windows.frequency, context_length)
        step_size = task.step_size or task.horizon
        return cut_backtest_windows(
            windows, history_length, task.horizon, task.backtest_windows, step_size, context_length
        )

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a row for each time step of the horizon: the series, cutoff, timestamp, true value, forecast,
        quantiles and absolute error; the true value and the error are null where the value is unknown."""
        cutoff = str(self._get_windows().get_timestamps(row)[-1]).removesuffix("T00:00:00")
        truth = np.full(len(answer["forecast"]), np.nan)
        truth[: len(target["future_y"])] = target["future_y"][: len(truth)]
        series = {"unique_id": target["unique_id"].decode(), "cutoff": cutoff}
        quantiles = {
            get_quantile_column(float(level)): values
            for level, values in answer["quantiles"].items()
            if float(level) != 0.5
        }
        return [
            {
                **series,
                "ds": answer["ds"][step],
                "true_y": float(truth[step]),
                "yhat": forecast,
                **{name: values[step] for name, values in quantiles.items()},
                "absolute_error": float(abs(forecast - truth[step])),
            }
            for step, forecast in enumerate(answer["forecast"])
        ]

    def _get_windows(self) -> SeriesWindows:
        return SeriesWindows(self.table, self.task.timestamps, self.task.resolve_frequency(self.table))

    def _get_context_length(self) -> int:
        return self.task.stages_.preprocess.get_layer("series_preprocessing").context_length


def get_season_lengths(task: Forecaster, frequency: Frequency) -> list[int]:
    """Return the season lengths of the naive forecasts, in time steps, the shortest first."""
    return [task.season_length] if task.season_length else frequency.season_lengths()


def choose_context_length(season_lengths: list[int], horizon: int, longest: int) -> int:
    """Choose the context length where none is given: eight seasons of up to 24 time steps, four of up to 200, or two.

    Args:
        season_lengths, horizon: In time steps.
        longest: Length of the longest series; it must hold two seasons of a season that counts.
    """
    wanted = [
        (8 if length <= 24 else 4 if length <= 200 else 2) * length
        for length in season_lengths
        if 2 * length <= longest
    ]
    return max(1, min(max([2 * horizon, *wanted]), longest - 1))


def _get_history_length(task: Forecaster, frequency: Frequency, context_length: int) -> int:
    """Return the number of time steps of history of a backtest window: the context of the network, and the two seasons
    from which naive forecasts and their scale are computed."""
    season_length = (get_season_lengths(task, frequency) or [1])[0]
    return max(context_length, 2 * season_length, task.horizon)
