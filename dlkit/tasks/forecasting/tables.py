"""Readers of time series: from long or wide tables to one row per series, on a regular grid of timestamps."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.columns import Column, is_missing_number
from dlkit.data.memory import is_dataframe
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.tasks.forecasting.columns import MIN_VALUES_FOR_SCALE, Timestamps
from dlkit.tasks.forecasting.frequency import Frequency, infer_frequency, infer_other_frequency
from dlkit.tasks.forecasting.long_tables import LongTable, read_long_table, read_wide_table
from dlkit.tasks.forecasting.rows_of_series import read_rows_of_series, to_long_table


class SeriesReader(Reader):
    """Reads tables of time series."""

    def source(self, source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
        return read_series(move_index_to_column(source, how.rename.get("ds", "ds")), columns, how)


reader = SeriesReader()


def move_index_to_column(source: Any, name: str) -> Any:
    """Return a DataFrame whose index holds the timestamps with these as a column; anything else as it is."""
    if not is_dataframe(source):
        return source
    if name in source.columns:
        periods = str(source[name].dtype).startswith("period")
        return source.assign(**{name: source[name].dt.to_timestamp()}) if periods else source
    kind = type(source.index).__name__
    if kind == "PeriodIndex":
        source = source.set_axis(source.index.to_timestamp())
    return source.reset_index(names=name) if kind in ("PeriodIndex", "DatetimeIndex") else source


def read_series(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read series into a table with one row per series: `unique_id`, `ds`, `y`, the covariates and an empty `future_y`.

    A long table has one row for each series and timestamp, in Nixtla's format: `unique_id, ds, y` and the covariates;
    without `unique_id` it is one series. A wide one, if `Timestamps.wide`, has one column per series beside `ds`.
    Timestamps become a regular grid: `y` is NaN where one is missing. Rows at the end of a series that have covariates
    but no `y` hold the future covariates. A dict of columns, a DataFrame or a list of dicts may bring rows of series,
    with lists in their cells, and with `future_y`, the values after the cutoff: see `rows_of_series`.

    Files are read in parts: what stays in memory is numbers, 16 bytes a row and 8 for each covariate.

    Args:
        source: A table, or rows of series.
        columns: The columns to read. Without `future_y` the series are to be forecast: then a series that cannot be
            read, because its timestamps are irregular, is skipped, and rows of series are left as they are, for the
            graph to place on the grid.
        how: How tables are read.

    Raises:
        DataError: A column is missing, or a series cannot be read.
    """
    column = next(column for column in columns.values() if isinstance(column, Timestamps))
    rows = read_rows_of_series(source, columns, how.rename)
    if rows is not None:
        return _regularize(to_long_table(rows, column), column, columns, how.strict) if "future_y" in columns else rows
    if column.wide:
        long = read_wide_table(source, column, how)
    else:
        long = read_long_table(source, column, how, skip_errors="future_y" not in columns)
    return _regularize(long, column, columns, how.strict)


def _regularize(long: LongTable, column: Timestamps, columns: Mapping[str, Column], strict: bool) -> Table:
    """Place the series of a long table on a regular grid, one row each."""
    order = np.lexsort((np.arange(len(long.series_index)), long.timestamps, long.series_index))
    series_index, timestamps = long.series_index[order], long.timestamps[order]
    numbers = {name: values[order] for name, values in long.numbers.items()}
    starts = np.searchsorted(series_index, np.arange(len(long.ids) + 1))
    slices = [slice(start, stop) for start, stop in itertools.pairwise(starts)]
    predicting = "future_y" not in columns
    by_series = [timestamps[part] for part in slices]
    frequency = _resolve_frequency(long, column, by_series)
    others = {} if column.frequency else _find_other_frequencies(long, frequency, by_series, predicting)
    counts = collections.Counter(dict.fromkeys(("gaps", "duplicates", "irregular", "missing"), 0))
    rows: dict[str, list[Any]] = {name: [] for name in (*columns, "unique_id", "future_y")}
    labels, reasons = list[str](), list[str]()
    for index, part in enumerate(slices):
        label, own_counts = long.get_label(index), collections.Counter[str]()
        if index in long.errors:
            reasons.append(long.errors[index])
            continue
        if not any(np.isfinite(y).any() for y in (numbers["y"][part], long.get_ahead("y", index))):
            reasons.append(f"{long.source}, {label} has no values of 'y'.")
            continue
        try:
            if index in others:
                raise DataError(f"{long.source}, {label}: {others[index]}")
            own = {key: values[part] for key, values in numbers.items()}
            series: dict[str, Any] = _regularize_series(
                long, index, timestamps[part], own, frequency, column, own_counts
            )
            static = {key: _read_static(long, key, order[part], label) for key in long.texts}
        except DataError as error:
            if not predicting:
                raise
            reasons.append(str(error))
            continue
        labels.append(label)
        counts.update(own_counts)
        series |= {key: _decode_categories(series[key], of) for key, of in long.categories.items()}
        series |= {**static, "unique_id": long.ids[index]}
        for key, cells in rows.items():
            cells.append(series[key])
    if not labels:
        raise DataError(reasons[0] if predicting else f"{reasons[0]} Add values, or remove the series.")
    where = lambda row: f"{long.source}, {labels[row]}"  # noqa: E731
    records = f"rows of series, {len(timestamps)} timestamps" if long.labels else f"series, {len(timestamps)} rows"
    remarks = [f"{len(labels)} {records}, frequency: {frequency}", *_describe_counts(counts, column)]
    remarks += _inspect_ends([str(name) for name in rows["unique_id"]], rows) if predicting else []
    skipped = report_skipped(reasons, len(slices), "series", strict)
    return Table(long.source, rows, where, remarks=[*long.remarks, *remarks, *skipped])


def _inspect_ends(names: Sequence[str], rows: Mapping[str, list[Any]]) -> list[str]:
    """Return remarks on series that end before the others, and on those with hardly any values."""
    ends = np.array([ds[-1] for ds in rows["ds"]])
    too_few = f"have fewer than {MIN_VALUES_FOR_SCALE} values, too few to estimate their scale, which is taken"
    found = {
        f"end before the last timestamp, {ends.max()}, and are forecast from their own last one": ends < ends.max(),
        f"{too_few} from training series of a similar level": np.array(
            [np.isfinite(y).sum() < MIN_VALUES_FOR_SCALE for y in rows["y"]]
        ),
    }
    remarks = []
    for what, which in found.items():
        indices = np.flatnonzero(which)
        listed = ", ".join(repr(names[row]) for row in indices[:3]) + (", ..." if len(indices) > 3 else "")
        remarks += [f"{len(indices)} of {len(names)} series {what}: {listed}"] if listed else []
    return remarks


def _resolve_frequency(long: LongTable, column: Timestamps, series: list[np.ndarray]) -> Frequency:
    """Return the frequency of all series: that of training, the given one, or the inferred one.

    Raises:
        DataError: It does not fit the type of the timestamps.
    """
    frequency = column.known_frequency or infer_frequency(series, long.source)
    if (frequency.integer > 0) != (long.timestamps.dtype.kind == "i"):
        raise DataError(
            f"{long.source}: a {option('frequency')} of {frequency} does not fit its timestamps, {long.timestamps[0]} "
            "and so on."
        )
    floor = column.irregular == "floor" and not column.trained_frequency
    return frequency.with_anchor(series) if floor else frequency


def _find_other_frequencies(
    long: LongTable, frequency: Frequency, series: list[np.ndarray], predicting: bool
) -> dict[int, str]:
    """Return, by index, what is wrong with each series of another frequency. Raises DataError for them in training."""
    found = {
        index: own for index, timestamps in enumerate(series) if (own := infer_other_frequency(timestamps, frequency))
    }
    if found and not predicting:
        mixed = [f"{long.get_label(index)}: {own}" for index, own in found.items()]
        raise DataError(
            f"{long.source}: mixed frequencies. The frequency is one {frequency}, but {len(mixed)} of {len(series)} "
            f"series have another: {', '.join(mixed[:3])}{', ...' if mixed[3:] else ''}. Use separate tables and "
            f"models for them, or set {option('frequency')}."
        )
    return {
        index: f"its frequency is one {own}, but that of the model is one {frequency}." for index, own in found.items()
    }


def _regularize_series(
    long: LongTable,
    index: int,
    timestamps: np.ndarray,
    numbers: dict[str, np.ndarray],
    frequency: Frequency,
    column: Timestamps,
    counts: collections.Counter[str],
) -> dict[str, Any]:
    """Place one series on its regular grid: its sorted timestamps, and the time steps ahead of the last one."""
    place = f"{long.source}, {long.get_label(index)}"
    indices = _find_steps(place, timestamps, frequency, column, counts)
    series = {}
    for key, values in numbers.items():
        ahead, policy = long.get_ahead(key, index), "last" if key in long.categories else column.duplicates
        steps = np.concatenate([indices, indices[-1] + 1 + np.arange(len(ahead))])
        placed = _scatter(np.concatenate([values, ahead]), steps, policy)
        series[key] = placed if key == "y" else placed.astype(np.float32)
    y, cutoff = series["y"], int(indices[-1]) + 1
    end = int(np.flatnonzero(np.isfinite(y))[-1]) + 1
    length = cutoff if len(y) > cutoff else end  # where no values follow a cutoff, the last value is the end
    gaps = length - len(np.unique(indices[indices < length]))
    if gaps and not column.allow_gaps:
        missing = int(np.setdiff1d(np.arange(length), indices)[0])
        raise DataError(
            f"{place}: {gaps} steps of one {frequency} are missing, the first after "
            f"{timestamps[np.searchsorted(indices, missing) - 1]}. Fill them, or choose a method with {option('fill')}."
        )
    counts["gaps"] += gaps
    counts["missing"] += int(np.isnan(y[: max(length, end)]).sum()) - gaps
    for key in column.future_covariates:
        if key not in long.categories and np.isnan(series[key]).any():
            counts[key] += int(np.isnan(series[key]).sum())
    for key in column.historical_covariates:
        series[key] = series[key][: length + len(long.get_ahead(key, index))]
    ds, future_y = frequency.make_grid(timestamps, length, column.irregular == "floor"), y[cutoff:]
    return {**series, "ds": ds, "y": y[:length], "future_y": future_y if len(future_y) else []}


def _find_steps(
    place: str,
    timestamps: np.ndarray,
    frequency: Frequency,
    column: Timestamps,
    counts: collections.Counter[str],
) -> np.ndarray:
    """Return the time steps of sorted timestamps, counted from the first one.

    Raises:
        DataError: Timestamps are irregular, or occur twice, and the column does not allow it.
    """
    floor = column.irregular == "floor"
    indices, irregular = frequency.to_step_indices(timestamps, floor)
    if irregular.any():
        if not floor:
            first = int(np.argmax(irregular))
            raise DataError(
                f"{place}: the timestamp {timestamps[first]} is not a multiple of one "
                f"{frequency} before the last one, {timestamps[-1]}; neither are {int(irregular.sum()) - 1} more. Set "
                f"{option('frequency')}, or set {option('irregular')} to floor."
            )
        counts["irregular"] += int(irregular.sum())
    indices -= indices[0]
    repeated = len(indices) - len(np.unique(indices))
    if repeated and column.duplicates == "raise":
        first = timestamps[1:][np.diff(indices) == 0][0]
        raise DataError(
            f"{place}: {repeated} duplicate timestamps, the first: {first}. Remove them, or choose a value with "
            f"{option('duplicates')}."
        )
    counts["duplicates"] += repeated
    return indices


def _scatter(values: np.ndarray, indices: np.ndarray, duplicates: str) -> np.ndarray:
    """Return values at their indices, NaN elsewhere, of several the mean or the last one; float64."""
    size = int(indices[-1]) + 1
    finite = np.isfinite(values)
    result = np.full(size, np.nan)
    if duplicates == "last":
        result[indices[finite]] = values[finite]
        return result
    sums = np.bincount(indices[finite], values[finite], size)
    counts = np.bincount(indices[finite], minlength=size)
    result[counts > 0] = sums[counts > 0] / counts[counts > 0]
    return result


def _decode_categories(indices: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Return the categories of indices, "" for NaN."""
    return np.where(np.isfinite(indices), categories[np.nan_to_num(indices).astype(int)], "")


def _read_static(long: LongTable, name: str, rows: np.ndarray, label: str) -> str:
    indices, texts = long.texts[name]
    found = [str(text) for text in texts[np.unique(indices[rows])] if not is_missing_number(str(text))]
    if len(found) > 1:
        raise DataError(
            f"{long.source}, {label}: the static covariate {name!r} is not constant: {found[0]!r} and "
            f"{found[1]!r}. Use it as one of {option('future_covariates')} or {option('historical_covariates')}."
        )
    return found[0] if found else ""


def _describe_counts(counts: dict[str, int], column: Timestamps) -> list[str]:
    """Return remarks on what was merged, moved or is to be filled."""
    texts = {
        "gaps": f"missing steps are filled as {option('fill')} says",
        "missing": f"missing values are filled as {option('fill')} says",
        "duplicates": f"duplicate timestamps: {'the mean' if column.duplicates == 'mean' else 'the last one'} is used",
        "irregular": "irregular timestamps are moved to the preceding step",
    }
    for name in column.future_covariates:
        texts[name] = f"missing values of {name!r} are replaced by the mean"
    return [f"{count} {texts[name]}" for name, count in counts.items() if count]
