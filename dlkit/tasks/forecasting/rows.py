"""Rows of series cut at origins: to train on, to hold out, and to be asked."""

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
from dlkit.tasks.forecasting.columns import Series, Stamps, stamp_texts, stamps_of
from dlkit.tasks.forecasting.frequency import Step, infer_frequency
from dlkit.tasks.forecasting.nixtla import forecast_rows

if TYPE_CHECKING:
    from dlkit.tasks.forecasting.task import Forecaster

HOLES = 0.5  # share of steps with a value, below which a series is mostly holes
ORIGINS = 256  # of a row to train on: encoded together they are to stay small


class Windows:
    """The rows of a table of series, and windows of them.

    A row is a series whose every step may be an origin, or, where it has values of `following`, a history with what
    came after it.

    Args:
        table: as `dlkit.tasks.forecasting.tables.read_series` gives it.
        stamps: the column of its stamps, which knows the names of the covariates.
        step: from one stamp to the next.
    """

    def __init__(self, table: Table, stamps: Stamps, step: Step):
        self.table, self.stamps, self.step = table, stamps, step

    def lengths(self, row: int) -> tuple[int, int]:
        """How many values of `y` and of `following` a row has."""
        return len(self.table.columns["y"][row]), len(self.table.columns["following"][row])

    def is_whole(self, row: int) -> bool:
        """Whether every step may be an origin."""
        return not self.lengths(row)[1]

    def values(self, row: int) -> np.ndarray:
        """`y` and `following`, float64."""
        columns = self.table.columns
        return np.concatenate([Series().raw(columns[name][row]) for name in ("y", "following")])

    def stamps_of(self, row: int) -> np.ndarray:
        """The timestamps of a row's history."""
        return stamps_of(self.table.columns["ds"][row], self.stamps.counts)

    def window(self, row: int, start: int, end: int, ahead: int, training: bool = False) -> dict[str, Any]:
        """A row of a history and what follows: from step `start` to before `end`, and `ahead` steps more.

        In training the covariates known up to now go on too, for the origins that follow.
        """
        columns = self.table.columns
        values, made = self.values(row), {}
        ds = self.stamps_of(row)
        if end > len(ds):
            ds = np.concatenate([ds, self.step.after(ds, end - len(ds)).astype(ds.dtype)])
        for name in columns:
            if name == "ds":
                made[name] = ds[start:end]
            elif name == "y":
                made[name] = values[start:end]
            elif name == "following":
                made[name] = values[end : end + ahead]
            elif name in self.stamps.past:
                made[name] = columns[name][row][start : end + (ahead if training else 0)]
            elif name in self.stamps.known:
                made[name] = columns[name][row][start : end + ahead]
            else:
                made[name] = columns[name][row]
        return made

    def scales(self, season: int) -> dict[str, float]:
        """The mean error of the seasonal naive forecast inside each series by id; of several rows of one id, the
        longest's."""
        from dlkit.tasks.forecasting.metrics import scale_of

        longest: dict[str, int] = {}
        for row, name in enumerate(self.table.columns["unique_id"]):
            key = Id().raw(name).decode()
            if key not in longest or sum(self.lengths(row)) > sum(self.lengths(longest[key])):
                longest[key] = row
        scales = {name: scale_of(self.values(row), season) for name, row in longest.items()}
        return {name: scale for name, scale in scales.items() if np.isfinite(scale)}

    def made_of(self, rows: list[tuple[int, dict[str, Any]]]) -> Table:
        """A table of such rows, each with the number of the row that it was cut from."""
        columns = {name: [made[name] for _, made in rows] for name in self.table.columns}
        where = lambda index: self.table.where(rows[index][0])  # noqa: E731
        return Table(self.table.source, columns, where, remarks=self.table.remarks, strict=self.table.strict)


def hold_out(windows: Windows, share: float, horizon: int) -> tuple[Table, Table]:
    """Two tables, (rest, held out): of each series its last share, at least the horizon, nothing of which is in the
    rest.

    Of rows with a history and what followed, the latest ones, and the rest without those that end after their first
    origin.

    Raises:
        DataError: nothing would remain.
    """
    table = windows.table
    rest: list[tuple[int, dict[str, Any]]] = []
    held: list[tuple[int, dict[str, Any]]] = []
    given = [row for row in range(len(table)) if not windows.is_whole(row)]
    for row in set(range(len(table))) - set(given):
        length, _ = windows.lengths(row)
        count = max(horizon, round(share * length))
        if length - count < 2:
            rest.append((row, table.row(row)))
            continue
        rest.append((row, windows.window(row, 0, length - count, 0)))
        held.append((row, windows.window(row, 0, length - count, count, training=True)))
    if given:
        ends = np.array([windows.step.position(windows.stamps_of(row)[-1:])[0] for row in given])
        first = np.sort(ends)[-max(1, round(share * len(given)))]
        unit = windows.step.unit
        for row, end in zip(given, ends, strict=True):
            if end >= first:
                held.append((row, table.row(row)))
            elif end + unit * windows.lengths(row)[1] <= first:
                rest.append((row, table.row(row)))
    if not rest or not held:
        raise DataError(
            f"{table.source} is too short to hold out its last {share:.0%}, at least {horizon} steps, for "
            f"{option('validation_split')}. Give a longer series or validation data, or set "
            f"{option('validation_split')} to 0."
        )
    return windows.made_of(rest), windows.made_of(held)


def cut(windows: Windows, window: int, horizon: int) -> Table:
    """The rows to encode: each with a history of at most `window` steps and what follows for at most so many
    origins."""
    rows = list(_cuts(windows, window, horizon))
    return windows.made_of(rows)


def _cuts(windows: Windows, window: int, horizon: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in range(len(windows.table)):
        before, after = windows.lengths(row)
        total = before + after
        first = before if after else 1
        last = max(first, total - horizon)
        if after and last - first < ORIGINS:
            yield row, windows.table.row(row)
            continue
        for origin in range(first, min(last, total - 1) + 1, ORIGINS):
            end = min(origin + ORIGINS - 1, last)
            yield row, windows.window(row, max(0, origin - window), origin, end + horizon - origin, training=True)


def asked(windows: Windows, window: int, horizon: int) -> Table:
    """Of each row its last origin whose horizon is known, with the `window` steps before it."""
    rows = []
    for row in range(len(windows.table)):
        before, after = windows.lengths(row)
        origin = before if after else max(1, before - horizon)
        rows.append((row, windows.window(row, max(0, origin - window), origin, horizon)))
    return windows.made_of(rows)


def newest(windows: Windows, length: int, horizon: int) -> list[dict[str, Any]]:
    """The last `length` steps of each series, and what is known of the `horizon` after them, as JSON can hold it.

    Of several rows of one id, the one that ends last.
    """
    last: dict[bytes, tuple[int, int]] = {}
    for row, name in enumerate(windows.table.columns["unique_id"]):
        _, after = windows.lengths(row)
        end = int(windows.step.position(windows.stamps_of(row)[-1:])[0]) + windows.step.unit * after
        key = Id().raw(name)
        last[key] = max(last.get(key, (end, row)), (end, row))
    made = []
    for _, row in last.values():
        total = sum(windows.lengths(row))
        cut = windows.window(row, max(0, total - length), total, horizon)
        cut["ds"] = [text.decode() for text in stamp_texts(cut["ds"])]
        made.append({name: _as_json(value) for name, value in cut.items() if name != "following"})
    return made


def _as_json(value: Any) -> Any:
    """Numbers, names or a list of them as JSON has them, null for one that is missing."""
    if isinstance(value, (list, np.ndarray)):
        return [*map(_as_json, value)]
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, str) or not is_missing_number(value) else None


def questions(windows: Windows, window: int, horizon: int, origins: int, stride: int, read: int) -> Table:
    """Whole series as a rolling-origin backtest: the last `origins` of each, `stride` steps from one another.

    The last of them is a horizon before the series' end. Each is asked with the `window` steps before it. Rows with a
    history and what followed stay as they are.

    A series that is too short is left out, and so are origins without a value in the `read` steps before them, which is
    what the model reads; a remark names them.

    Raises:
        DataError: all series are too short, or one, where the table is `strict`.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    reasons = []
    for row in range(len(windows.table)):
        if not windows.is_whole(row):
            rows.append((row, windows.table.row(row)))
            continue
        last = windows.lengths(row)[0] - horizon
        first = last - (origins - 1) * stride
        if first < 1:
            reasons.append(
                f"{windows.table.where(row)} has {windows.lengths(row)[0]} steps: too few for {origins} backtest "
                f"windows with a step size of {stride} and a horizon of {horizon}. Expected at least "
                f"{horizon + (origins - 1) * stride + 1}; if the file covers the test period only, include the "
                "preceding history."
            )
            continue
        asked_of = [
            (row, windows.window(row, max(0, end - window), end, horizon)) for end in range(first, last + 1, stride)
        ]
        empty = [number for number, (_, made) in enumerate(asked_of) if not np.isfinite(made["y"][-read:]).any()]
        if empty:
            reasons.append(
                f"{windows.table.where(row)} has no value in the {read} steps before {len(empty)} of its "
                f"{len(asked_of)} forecast origins, which are skipped."
            )
        rows += [asked for number, asked in enumerate(asked_of) if number not in empty]
    if not rows:
        raise DataError(reasons[0])
    made = windows.made_of(rows)
    made.remarks = [*made.remarks, *report_skipped(reasons, len(windows.table), "series", windows.table.strict)]
    return made


def before(windows: Windows, horizon: int, origins: int, stride: int) -> Table:
    """What is known at the first origin of the backtest of `questions`: the part to train on.

    Series that are too short to be asked are part of it up to the earliest of the others' first origins.
    """
    back = horizon + (origins - 1) * stride
    ends = {row: windows.lengths(row)[0] - back for row in range(len(windows.table))}
    stamps = {row: windows.stamps_of(row) for row in ends}
    earliest = min(stamps[row][end - 1] for row, end in ends.items() if end > 0)
    ends = {row: end if end > 0 else int((stamps[row] <= earliest).sum()) for row, end in ends.items()}
    return windows.made_of([(row, windows.window(row, 0, end, 0)) for row, end in ends.items() if end > 0])


def inspect_series(report: Report, windows: Windows, horizon: int) -> None:
    """Adds what series are like to a report: lengths, holes, constants, timestamps far from the others."""
    table = windows.table
    found: dict[str, list[str]] = {name: [] for name in ("short", "constant", "holes", "far")}
    lengths = []
    for row in report.sample(len(table)):
        values = windows.values(row)
        there = np.isfinite(values)
        lengths.append(len(values))
        place = table.where(row)
        if windows.is_whole(row) and len(values) < 2 * horizon:
            found["short"].append(f"{place}: {len(values)}")
        if len(values) and there.mean() < HOLES:
            found["holes"].append(f"{place}: {1 - there.mean():.0%}")
        elif there.sum() > 2 and np.ptp(values[there]) == 0:
            found["constant"].append(place)
        if windows.is_whole(row) and there.sum() > 20:
            longest = int(np.diff(np.flatnonzero(there)).max())
            if longest > len(values) / 3:
                at = int(np.argmax(np.diff(np.flatnonzero(there)) == longest))
                stamps = windows.stamps_of(row)
                found["far"].append(f"{place}: nothing after {stamps[np.flatnonzero(there)[at]]}, for {longest} steps")
    report.statistics["steps per series"] = f"{int(np.median(lengths))} median, {min(lengths)} minimum"
    said = {
        "short": (f"series have less than two horizons ({2 * horizon} steps)", "Their forecasts are barely evaluated."),
        "constant": ("series are constant", ""),
        "holes": (f"series have values at less than {HOLES:.0%} of their steps", "Check the frequency."),
        "far": (
            "series have outlying timestamps",
            "Check the first and the last one, for example for a wrong year.",
        ),
    }
    for name, (what, cure) in said.items():
        if found[name]:
            report.add_warning(f"{len(found[name])} of {len(lengths)} {what}", found[name], cure)


class SeriesRows(Rows):
    """Series, which are split by time, cut into windows, and measured at the origins of a backtest."""

    task: Forecaster
    by_record = False
    windows_per_row = 2  # at most, of those that are cut: known when they are

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
        """What is known at the first origin of the backtest, and the windows that it asks of."""
        rows = task.read(data, columns=columns, data_dir=data_dir, **options)
        windows, stride = Windows(rows.table, task.stamps, task.step(rows.table)), task.stride or task.horizon
        longest = max(windows.lengths(row)[0] for row in range(len(rows)))
        window = task.window or window_of(seasons_of(task, windows.step), task.horizon, longest)
        test = questions(windows, _backtest(task, windows.step, window), task.horizon, task.origins, stride, window)
        return before(windows, task.horizon, task.origins, stride), test

    def hold_out(self, share: float) -> tuple[Self, Self | None]:
        windows, task = self._windows(), self.task
        task.season_ = (seasons_of(task, windows.step) or [1])[0]
        task.scales_ = windows.scales(task.season_)
        task.series_ = self._ends(windows) if task.keep_history else []
        if not share:
            return self, None
        rest, held_out = hold_out(windows, share, task.horizon)
        return self.with_table(rest), self.with_table(held_out)

    def _ends(self, windows: Windows) -> list[dict[str, Any]]:
        """The end of each series, as JSON can hold it, of all that a forecast from there may read."""
        longest = max(sum(windows.lengths(row)) for row in range(len(self)))
        window = self.task.window or window_of(seasons_of(self.task, windows.step), self.task.horizon, longest)
        return newest(windows, _backtest(self.task, windows.step, window), self.task.horizon)

    @classmethod
    def stored(cls, task: Forecaster) -> list[dict[str, Any]]:
        """The ends of the training series, where they were kept."""
        if not task.series_:
            raise DataError(
                "this forecaster stores no series: give a table of them. A model trained with "
                f"{option('keep_history', True)} forecasts its training series without one."
            )
        return task.series_

    def answer_rows(self, row: int, answer: dict[str, Any]) -> list[dict[str, Any]]:
        """A row for each step ahead, with the names of Nixtla's libraries."""
        return forecast_rows(self.table.columns["unique_id"][row] if "unique_id" in self.table.columns else "", answer)

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        inspect_series(report, self._windows(), self.task.horizon)

    def continued_from(self, model: Forecaster) -> dict[str, Any]:
        windows = Windows(self.table, self.task.stamps, model.step(self.table))
        few = range(min(len(self), 1000))
        known = bool(self.task.frequency)  # which is the model's own
        found = windows.step if known else infer_frequency(map(windows.stamps_of, few), self.table.source)
        if found != windows.step:
            raise DataError(
                f"{self.table.source} has a frequency of {found}, the model was trained with {windows.step}. They "
                "must match."
            )
        return {"scales_": {**model.scales_, **windows.scales(model.season_)}}

    def to_encode(self) -> Table:
        made = cut(self._windows(), self._window(), self.task.horizon)
        self.windows_per_row = max(2, *(len(values) - self.task.horizon + 1 for values in made.columns["following"]))
        return made

    def requests(self) -> Table:
        return asked(self._windows(), self._window(), self.task.horizon)

    @classmethod
    def synthetic(cls, task: Forecaster, count: int) -> list[dict[str, Any]]:
        """Waves of several lengths, from one value on, with covariates that do not change."""
        reader, step = task.stages_.preprocess.get_layer("reader"), Step(*task.step_)
        monday = np.array(["2020-01-06T00:00:00"], "datetime64[s]")
        first = np.zeros(1, np.int64) if step.whole else monday
        lengths = [1, 3, task.horizon, reader.window, reader.window + 3]
        made = []
        for number in range(count):
            length = lengths[number % len(lengths)] + number // len(lengths)
            ds = np.concatenate([first, step.after(first, length - 1).astype(first.dtype)]) if length > 1 else first
            row: dict[str, Any] = {"ds": ds, "y": 20.0 + number + 5.0 * np.sin(np.arange(length) / 2.0)}
            for name in (*task.stamps.past, *task.stamps.known):
                steps = length + (task.horizon if name in task.stamps.known else 0)
                row[name] = [""] * steps if name in task.categories_ else [0.5] * steps
            made.append({**row, **dict.fromkeys(task.stamps.static, "")})
        return made

    def to_evaluate(self) -> Table:
        task, windows = self.task, self._windows()
        window = _backtest(task, windows.step, self._window())
        return questions(windows, window, task.horizon, task.origins, task.stride or task.horizon, self._window())

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """A row for each step ahead: the series, the cutoff, the step's timestamp, its value, forecast, quantiles and
        absolute error; the last two null where the value is not known."""
        cutoff = str(self._windows().stamps_of(row)[-1]).removesuffix("T00:00:00")
        truth = np.full(len(answer["forecast"]), np.nan)
        truth[: len(target["following"])] = target["following"][: len(truth)]
        series = {"unique_id": target["unique_id"].decode(), "cutoff": cutoff}
        return [
            {
                **series,
                "ds": answer["ds"][step],
                "true_y": float(truth[step]),
                "forecast": made,
                **{f"q{level}": values[step] for level, values in answer["quantiles"].items()},
                "absolute_error": float(abs(made - truth[step])),
            }
            for step, made in enumerate(answer["forecast"])
        ]

    def _windows(self) -> Windows:
        return Windows(self.table, self.task.stamps, self.task.step(self.table))

    def _window(self) -> int:
        return self.task.stages_.preprocess.get_layer("reader").window


def seasons_of(task: Forecaster, step: Step) -> list[int]:
    """The seasons of the naive forecasts, in steps, the shortest first."""
    return [task.season] if task.season else step.seasons()


def window_of(seasons: list[int], horizon: int, longest: int) -> int:
    """The newest steps that count where none are given: four seasons, of long ones two, as far as the longest series
    holds two."""
    wanted = [(4 if season <= 200 else 2) * season for season in seasons if 2 * season <= longest]
    return max(1, min(max([2 * horizon, *wanted]), longest - 1))


def _backtest(task: Forecaster, step: Step, window: int) -> int:
    """The steps of history of a row of a backtest: what the network reads, and two seasons, by which the naive
    forecasts are made and scaled."""
    season = (seasons_of(task, step) or [1])[0]
    return max(window, 2 * season, task.horizon)
