"""Time series: from long or wide tables to a row for each series, on a regular grid of stamps."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.columns import Column, is_missing_number
from dlkit.data.memory import as_sequence, is_dataframe, named_values
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.tasks.forecasting.columns import FEW, Stamps
from dlkit.tasks.forecasting.frequency import Step, infer_frequency, own_step
from dlkit.tasks.forecasting.long_tables import Long, read_long, read_wide


class SeriesReader(Reader):
    """Reads tables of time series."""

    def source(self, source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
        return read_series(with_stamps(source, how.rename.get("ds", "ds")), columns, how)


reader = SeriesReader()


def with_stamps(source: Any, name: str) -> Any:
    """A DataFrame whose index holds the stamps, with these as a column; anything else as it is."""
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
    """A row for each series: `unique_id`, `ds`, `y`, the covariates, and `following`, of which nothing is known.

    Where `following` is not wanted, histories are to be answered: a series that cannot be, because its timestamps are
    irregular, costs itself alone.

    A long table has a row for each series and stamp, in Nixtla's convention: `unique_id, ds, y` and the covariates;
    without `unique_id` it is one series. A wide one, by `Stamps.wide`, has a column for each series beside `ds`. Stamps
    become a
    regular grid: `y` is NaN where one was missing. Steps at the end of a series with covariates but no `y` are what is
    known ahead. A dict of columns, a DataFrame or a list of dicts may bring rows of series as they are, with lists in
    their cells, and with `following`, the values that came after `y`.

    Files are read in parts: what stays in memory is numbers, 16 bytes and 8 for each covariate a row.
    """
    rows = _given_rows(source, columns, how.rename)
    if rows is not None:
        return rows
    stamps = next(column for column in columns.values() if isinstance(column, Stamps))
    long = read_wide(source, stamps, how) if stamps.wide else read_long(source, stamps, how, "following" not in columns)
    return _gridded(long, stamps, columns, how.strict)


def _given_rows(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table | None:
    """Rows of series as they are, if the source holds such."""
    values = named_values(source)
    if values is None:
        return None
    key = rename.get("ds", "ds")
    if key not in values or not len(values[key]) or np.ndim(as_sequence(values[key], "ds")[0]) == 0:
        return None
    missing = [
        name for name in columns if name not in ("unique_id", "following") and rename.get(name, name) not in values
    ]
    if missing:
        raise DataError(f"series need the columns {', '.join(columns)}. There is no {missing[0]!r}.")
    named = dict.fromkeys([*columns, "unique_id"])
    found = {
        name: as_sequence(values[rename.get(name, name)], name) for name in named if rename.get(name, name) in values
    }
    count = len(found["ds"])
    if any(len(column) != count for column in found.values()):
        listed = ", ".join(f"{name}: {len(column)}" for name, column in found.items())
        raise DataError(f"rows of series: the columns must have the same length. Received: {listed}.")
    ids = found.get("unique_id", [""] * count)
    empty = {"unique_id": [""] * count, "following": [[]] * count}
    return Table(
        "the rows of series",
        {name: found[name] if name in found else empty[name] for name in dict.fromkeys([*named, "following"])},
        lambda row: f"the rows of series, index {row}" + (f", series {str(ids[row])!r}" if ids[row] else ""),
    )


def _gridded(long: Long, stamps: Stamps, columns: Mapping[str, Column], strict: bool) -> Table:
    position = np.lexsort((np.arange(len(long.code)), long.stamps, long.code))
    code, at = long.code[position], long.stamps[position]
    numbers = {name: values[position] for name, values in long.numbers.items()}
    starts = np.searchsorted(code, np.arange(len(long.ids) + 1))
    cuts = [slice(start, stop) for start, stop in itertools.pairwise(starts)]
    answering = "following" not in columns
    step = _step(long, stamps, [at[cut] for cut in cuts])
    others = {} if stamps.frequency else _other_steps(long, step, [at[cut] for cut in cuts], answering)
    told = collections.Counter(dict.fromkeys(("gaps", "duplicates", "off_grid", "missing"), 0))
    rows: dict[str, list[Any]] = {name: [] for name in (*columns, "unique_id", "following")}
    names, reasons = list[str](), list[str]()
    for series, cut in enumerate(cuts):
        name, own = str(long.ids[series]), collections.Counter[str]()
        if series in long.bad:
            reasons.append(long.bad[series])
            continue
        if not np.isfinite(numbers["y"][cut]).any():
            reasons.append(f"{long.source}, series {name!r} has no values of 'y'.")
            continue
        try:
            if name in others:
                raise DataError(f"{long.source}, series {name!r}: {others[name]}")
            of = {key: values[cut] for key, values in numbers.items()}
            made: dict[str, Any] = _series(name, at[cut], of, step, stamps, own, long)
            static = {key: _constant(long, key, position[cut], name) for key in long.texts}
        except DataError as error:
            if not answering:
                raise
            reasons.append(str(error))
            continue
        names.append(name)
        told.update(own)
        made |= {key: _named(made[key], categories) for key, categories in long.categories.items()}
        made |= {**static, "unique_id": long.ids[series], "following": []}
        for key, column in rows.items():
            column.append(made[key])
    if not names:
        raise DataError(reasons[0] if answering else f"{reasons[0]} Add values, or remove the series.")
    where = lambda row: f"{long.source}, series {names[row]!r}"  # noqa: E731
    remarks = [*_remarks(step, len(names), len(at), told, stamps), *(_look_at_ends(names, rows) if answering else ())]
    return Table(
        long.source,
        rows,
        where,
        remarks=[*long.remarks, *remarks, *report_skipped(reasons, len(cuts), "series", strict)],
    )


def _look_at_ends(names: Sequence[str], rows: Mapping[str, list[Any]]) -> list[str]:
    """Remarks on series whose forecasts are another thing than they seem."""
    ends = np.array([ds[-1] for ds in rows["ds"]])
    found = {
        f"end before the last timestamp, {ends.max()}, and are forecast from their own last one": ends < ends.max(),
        f"have fewer than {FEW} values, too few to estimate their scale: series of a similar level are used": np.array(
            [np.isfinite(y).sum() < FEW for y in rows["y"]]
        ),
    }
    made = []
    for what, which in found.items():
        places = np.flatnonzero(which)
        few = ", ".join(repr(names[row]) for row in places[:3]) + (", ..." if len(places) > 3 else "")
        made += [f"{len(places)} of {len(names)} series {what}: {few}"] if few else []
    return made


def _step(long: Long, stamps: Stamps, series: list[np.ndarray]) -> Step:
    """The step of all series: that of training, the given one, or the usual one. Raises DataError where it is none of
    their timestamps' kind."""
    step = stamps.step or infer_frequency(series, long.source)
    if (step.whole > 0) != (long.stamps.dtype.kind == "i"):
        raise DataError(
            f"{long.source}: a {option('frequency')} of {step} does not fit its timestamps, {series[0][0]} and so on."
        )
    return step.anchored(series) if stamps.off_grid == "floor" and not stamps.trained else step


def _other_steps(long: Long, step: Step, series: list[np.ndarray], answering: bool) -> dict[str, str]:
    """What is wrong with each series whose own step is another one, by id. Raises DataError for them in training."""
    found = {str(name): own for name, of in zip(long.ids, series, strict=True) if (own := own_step(of, step))}
    if found and not answering:
        mixed = [f"series {name!r}: {own}" for name, own in found.items()]
        raise DataError(
            f"{long.source}: mixed frequencies. The frequency is one {step}, but {len(mixed)} of {len(series)} "
            f"series have another: {', '.join(mixed[:3])}{', ...' if mixed[3:] else ''}. Use separate tables and "
            f"models for them, or set {option('frequency')}."
        )
    return {name: f"its frequency is one {own}, but that of the model is one {step}." for name, own in found.items()}


def _series(
    name: str,
    at: np.ndarray,
    numbers: dict[str, np.ndarray],
    step: Step,
    stamps: Stamps,
    told: collections.Counter[str],
    long: Long,
) -> dict[str, np.ndarray]:
    """One series on its grid."""
    floor = stamps.off_grid == "floor"
    places, between = step.places(at, floor)
    if between.any():
        if not floor:
            first = int(np.argmax(between))
            raise DataError(
                f"{long.source}, series {name!r}: the timestamp {at[first]} is not a multiple of one {step} before "
                f"the last one, {at[-1]}; neither are {int(between.sum()) - 1} more. Set {option('frequency')}, or "
                f"set {option('off_grid')} to floor."
            )
        told["off_grid"] += int(between.sum())
    places -= places[0]
    repeated = len(places) - len(np.unique(places))
    if repeated and stamps.duplicates == "refuse":
        first = at[1:][np.diff(places) == 0][0]
        raise DataError(f"{long.source}, series {name!r}: {repeated} duplicate timestamps, the first: {first}.")
    told["duplicates"] += repeated
    how = {key: "last" if key in long.categories else stamps.duplicates for key in numbers}
    made = {key: _placed(values, places, how[key]) for key, values in numbers.items()}
    made = {key: values if key == "y" else values.astype(np.float32) for key, values in made.items()}
    known = np.flatnonzero(np.isfinite(made["y"]))
    last = int(known[-1]) + 1
    gaps = last - len(np.unique(places[places < last]))
    if gaps and not stamps.gaps:
        missing = int(np.setdiff1d(np.arange(last), places)[0])
        raise DataError(
            f"{long.source}, series {name!r}: {gaps} steps of one {step} are missing, the first after "
            f"{at[np.searchsorted(places, missing) - 1]}. Fill them, or choose a method with {option('fill')}."
        )
    told["gaps"] += gaps
    told["missing"] += int(np.isnan(made["y"][:last]).sum()) - gaps
    for key in stamps.known:
        if key not in long.categories and np.isnan(made[key]).any():
            told[key] += int(np.isnan(made[key]).sum())
    ahead = set(stamps.known)
    ds = step.grid(at, last, floor)
    return {"ds": ds, **{key: values if key in ahead else values[:last] for key, values in made.items()}}


def _placed(values: np.ndarray, places: np.ndarray, duplicates: str) -> np.ndarray:
    """Values at their places, NaN elsewhere; of several at one place the mean, or the last. In double precision."""
    size = int(places[-1]) + 1
    there = np.isfinite(values)
    made = np.full(size, np.nan)
    if duplicates == "last":
        made[places[there]] = values[there]
        return made
    sums = np.bincount(places[there], values[there], size)
    counts = np.bincount(places[there], minlength=size)
    made[counts > 0] = sums[counts > 0] / counts[counts > 0]
    return made


def _named(codes: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Places in names, NaN for none, as the names."""
    return np.where(np.isfinite(codes), names[np.nan_to_num(codes).astype(int)], "")


def _constant(long: Long, name: str, rows: np.ndarray, series: str) -> str:
    codes, names = long.texts[name]
    found = [str(text) for text in names[np.unique(codes[rows])] if not is_missing_number(str(text))]
    if len(found) > 1:
        raise DataError(
            f"{long.source}, series {series!r}: the static covariate {name!r} is not constant: {found[0]!r} and "
            f"{found[1]!r}. Use it as {option('known')} or {option('past')}."
        )
    return found[0] if found else ""


def _remarks(step: Step, series: int, rows: int, told: dict[str, int], stamps: Stamps) -> Sequence[str]:
    words = {
        "gaps": f"missing steps are filled as {option('fill')} says",
        "missing": f"missing values are filled as {option('fill')} says",
        "duplicates": f"duplicate timestamps: {'the mean' if stamps.duplicates == 'mean' else 'the last one'} is used",
        "off_grid": "irregular timestamps are moved to the preceding step",
    }
    for name in stamps.known:
        words[name] = f"missing values of {name!r} are replaced by the mean"
    found = (f"{count} {words[name]}" for name, count in told.items() if count)
    return [f"{series} series, {rows} rows, frequency: {step}", *found]
