"""Time series: from long or wide tables to a row for each series, on a regular grid of stamps."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlkit.columns import Column, Id, Stamp, Text, comma_hint, is_missing_number
from dlkit.data.header import header_of
from dlkit.data.in_parts import read_in_parts
from dlkit.data.memory import is_frame, named_values, rows_of
from dlkit.data.reader import Reader
from dlkit.data.reading import Reading, left_out
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.tasks.forecasting.columns import Stamps, stamps_of
from dlkit.tasks.forecasting.frequency import Step, infer_frequency, own_step


class SeriesReader(Reader):
    """Reads tables of time series."""

    def source(self, source: Any, columns: Mapping[str, Column], how: Reading) -> Table:
        return read_series(_with_stamps(source, how.rename.get("ds", "ds")), columns, how)


reader = SeriesReader()


def _with_stamps(source: Any, name: str) -> Any:
    """A DataFrame whose index holds the stamps, with these as a column; anything else as it is."""
    if not is_frame(source):
        return source
    if name in source.columns:
        periods = str(source[name].dtype).startswith("period")
        return source.assign(**{name: source[name].dt.to_timestamp()}) if periods else source
    kind = type(source.index).__name__
    if kind == "PeriodIndex":
        source = source.set_axis(source.index.to_timestamp())
    return source.reset_index(names=name) if kind in ("PeriodIndex", "DatetimeIndex") else source


def read_series(source: Any, columns: Mapping[str, Column], how: Reading) -> Table:
    """A row for each series: `unique_id`, `ds`, `y`, the covariates, and `following`, of which nothing is known.

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
    long = (read_wide if stamps.wide else read_long)(source, stamps, how)
    return _gridded(long, stamps, columns, how.strict)


def _given_rows(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table | None:
    """Rows of series as they are, if the source holds such."""
    values = named_values(source)
    if values is None:
        return None
    key = rename.get("ds", "ds")
    if key not in values or not len(values[key]) or np.ndim(rows_of(values[key], "ds")[0]) == 0:
        return None
    missing = [
        name for name in columns if name not in ("unique_id", "following") and rename.get(name, name) not in values
    ]
    if missing:
        raise DataError(f"rows of series need the columns {', '.join(columns)}. There is no {missing[0]!r}.")
    found = {
        name: rows_of(values[rename.get(name, name)], name) for name in columns if rename.get(name, name) in values
    }
    count = len(found["ds"])
    if any(len(column) != count for column in found.values()):
        listed = ", ".join(f"{name}: {len(column)}" for name, column in found.items())
        raise DataError(f"rows of series: the columns must have one length. Received: {listed}.")
    empty = {"unique_id": [""] * count, "following": [[]] * count}
    return Table(
        "the rows of series",
        {name: found[name] if name in found else empty[name] for name in columns},
        lambda row: f"the rows of series, index {row}",
    )


def _gridded(long: Long, stamps: Stamps, columns: Mapping[str, Column], strict: bool) -> Table:
    position = np.lexsort((np.arange(len(long.code)), long.stamps, long.code))
    code, at = long.code[position], long.stamps[position]
    numbers = {name: values[position] for name, values in long.numbers.items()}
    starts = np.searchsorted(code, np.arange(len(long.ids) + 1))
    cuts = [slice(start, stop) for start, stop in itertools.pairwise(starts)]
    step = _step(long, stamps, [at[cut] for cut in cuts])
    told = dict.fromkeys(("gaps", "duplicates", "off_grid", "missing"), 0)
    rows: dict[str, list[Any]] = {name: [] for name in columns}
    names, reasons = list[str](), list[str]()
    for series, cut in enumerate(cuts):
        name = str(long.ids[series])
        if not np.isfinite(numbers["y"][cut]).any():
            reasons.append(f"{long.source}, series {name!r} has no values of 'y'.")
            continue
        names.append(name)
        made = _series(name, at[cut], {key: values[cut] for key, values in numbers.items()}, step, stamps, told, long)
        made = {key: _named(values, long.categories[key]) if key in long.categories else values
                for key, values in made.items()}  # fmt: skip
        static = {key: _constant(long, key, position[cut], name) for key in long.texts}
        if "unique_id" in stamps.static or "unique_id" in columns:
            static["unique_id"] = name
        for key in columns:
            rows[key].append([] if key == "following" else {**made, **static}[key])
    if not names:
        raise DataError(f"{reasons[0]} Give some, or leave the series out.")
    where = lambda row: f"{long.source}, series {names[row]!r}"  # noqa: E731
    remarks = _remarks(step, len(names), len(at), told, stamps)
    return Table(
        long.source, rows, where, remarks=[*long.remarks, *remarks, *left_out(reasons, len(cuts), "series", strict)]
    )


def _step(long: Long, stamps: Stamps, series: list[np.ndarray]) -> Step:
    """The step of all series: that of training, the given one, or the usual one.

    Raises:
        DataError: it is none of their timestamps' kind, or some series have another one.
    """
    step = stamps.step or infer_frequency(series, long.source)
    if (step.whole > 0) != (long.stamps.dtype.kind == "i"):
        raise DataError(
            f"{long.source}: a {option('frequency')} of {step} does not fit its timestamps, {series[0][0]} and so on."
        )
    if not stamps.frequency:
        others = {name: own_step(of, step) for name, of in zip(long.ids, series, strict=True)}
        mixed = [f"series {str(name)!r}: {own}" for name, own in others.items() if own]
        if mixed:
            raise DataError(
                f"{long.source}: mixed frequencies. The step is one {step}, and that of {len(mixed)} of {len(series)} "
                f"series is another: {', '.join(mixed[:3])}{', ...' if mixed[3:] else ''}. Give them tables and models "
                f"of their own, or set {option('frequency')}."
            )
    return step.anchored(series) if stamps.off_grid == "floor" and not stamps.trained else step


def _series(
    name: str,
    at: np.ndarray,
    numbers: dict[str, np.ndarray],
    step: Step,
    stamps: Stamps,
    told: dict[str, int],
    long: Long,
) -> dict[str, np.ndarray]:
    """One series on its grid."""
    floor = stamps.off_grid == "floor"
    places, between = step.places(at, floor)
    if between.any():
        if not floor:
            first = int(np.argmax(between))
            raise DataError(
                f"{long.source}, series {name!r}: the timestamp {at[first]} is not a number of steps of one {step} "
                f"before the last one, {at[-1]}; nor are {int(between.sum()) - 1} more. Give {option('frequency')}, or "
                f"set {option('off_grid')} to floor."
            )
        told["off_grid"] += int(between.sum())
    places -= places[0]
    repeated = len(places) - len(np.unique(places))
    if repeated and stamps.duplicates == "refuse":
        first = at[1:][np.diff(places) == 0][0]
        raise DataError(f"{long.source}, series {name!r}: {repeated} timestamps come twice, the first: {first}.")
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
            f"{at[np.searchsorted(places, missing) - 1]}. Fill them, or choose how by {option('fill')}."
        )
    told["gaps"] += gaps
    told["missing"] += int(np.isnan(made["y"][:last]).sum()) - gaps
    for key in stamps.known:
        if key not in long.categories and np.isnan(made[key]).any():
            told[key] = told.get(key, 0) + int(np.isnan(made[key]).sum())
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
            f"{long.source}, series {series!r}: the static covariate {name!r} changes: {found[0]!r} and {found[1]!r}. "
            f"Give it as {option('known')} or {option('past')}."
        )
    return found[0] if found else ""


def _remarks(step: Step, series: int, rows: int, told: dict[str, int], stamps: Stamps) -> Sequence[str]:
    words = {
        "gaps": f"steps are missing and are filled as {option('fill')} says",
        "missing": f"values are missing and are filled as {option('fill')} says",
        "duplicates": f"timestamps come again: {'the mean' if stamps.duplicates == 'mean' else 'the last one'} counts",
        "off_grid": "timestamps lie between the steps and count for the one before",
    }
    for name in stamps.known:
        words[name] = f"values of {name!r} are missing: its mean counts"
    found = (f"{count} {words[name]}" for name, count in told.items() if count)
    return [f"{series} series, {rows} rows, frequency: {step}", *found]


class OptionalNumber(Column):
    """A number, or an empty cell for a missing one."""

    dtype = "float64"

    def raw(self, value: Any) -> np.float64:
        if is_missing_number(value):
            return np.float64("nan")
        try:
            number = np.float64(value)
        except (TypeError, ValueError):
            number = np.float64("inf")
        if np.isinf(number):
            raise DataError(f"expected a finite number, or nothing. Received: {value!r}.{comma_hint(value)}")
        return number


@dataclass
class Long:
    """A long table as arrays, in its own order: series as places in `ids`, timestamps, numbers by name, texts by name.

    A covariate that is a category is among the numbers, as a place in the names that `categories` holds for it.
    """

    source: str
    ids: list[Any]
    code: np.ndarray
    stamps: np.ndarray
    numbers: dict[str, np.ndarray]
    texts: dict[str, list[np.ndarray]] = field(default_factory=dict)
    categories: dict[str, np.ndarray] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def read_long(source: Any, stamps: Stamps, how: Reading) -> Long:
    """A table with a row for each series and stamp; files a part at a time. Args, errors: as of `read_series`."""
    wanted: dict[str, Column] = {"unique_id": Id(optional=True), "ds": Stamp(), "y": OptionalNumber(optional=True)}
    covariates = (*stamps.known, *stamps.past)
    wanted |= {name: OptionalNumber(optional=True) for name in covariates}
    wanted |= {name: Text(optional=True) for name in stamps.static if name != "unique_id"}
    for name in how.rename:
        if name not in wanted:
            raise DataError(f"there is no column {name!r} to find under another name. There are: {', '.join(wanted)}.")
    ids: dict[Any, int] = {}
    texts: dict[str, dict[Any, int]] = {name: {} for name in wanted if isinstance(wanted[name], Text)}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    categories: dict[str, dict[str, int]] = {}
    shown = ""
    remarks = list[str]()
    for table in read_in_parts(source, wanted, how):
        shown = table.source
        remarks += table.remarks
        missing = [name for name in wanted if name not in table.columns and name != "unique_id"]
        if missing:
            raise DataError(
                f"{shown} has no column {missing[0]!r}. Expected a long table, {', '.join(wanted)}; of one with a "
                f"column for each series, set {option('wide', True)}. Say which it is with "
                f"{option('columns', {missing[0]: 'NAME'})}."
            )
        for name in covariates:
            if _is_category(table.columns[name]):
                categories.setdefault(name, {})
        names = table.columns.get("unique_id", [""] * len(table))
        parts["unique_id"].append(np.array([ids.setdefault(_id(name), len(ids)) for name in names], np.int32))
        parts["ds"].append(_stamps(table, stamps.counts))
        for name, column in wanted.items():
            if name in categories:
                parts[name].append(_codes(table.columns[name], categories[name]))
            elif isinstance(column, OptionalNumber):
                parts[name].append(_numbers(table, name))
            elif name in texts:
                known = texts[name]
                cells = (str(cell) for cell in table.columns[name])
                parts[name].append(np.array([known.setdefault(cell, len(known)) for cell in cells], np.int32))
    if not ids:
        raise DataError(f"{shown or source} has no rows. Expected at least one stamp of one series.")
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    made = Long(shown, list(ids), joined["unique_id"], joined["ds"], {}, remarks=remarks)
    for name in wanted:
        if isinstance(wanted[name], OptionalNumber):
            made.numbers[name] = joined[name]
        elif name in texts:
            made.texts[name] = [joined[name], np.array(list(texts[name]), object)]
    made.categories = {name: np.array(list(names) or [""], object) for name, names in categories.items()}
    return made


def _is_category(cells: Any) -> bool:
    """Whether a column of a covariate holds names: fewer than half of those that are no missing ones are numbers."""
    if isinstance(cells, np.ndarray) and cells.dtype.kind in "iufb":
        return False
    given = [cell for cell in cells if isinstance(cell, (str, bytes)) and not is_missing_number(cell)]
    return bool(given) and 2 * sum(map(_is_number, given)) < len(given)


def _is_number(text: str | bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return bool(comma_hint(text))  # meant as one: it is to be refused
    return True


def _codes(cells: Any, names: dict[str, int]) -> np.ndarray:
    """Cells as places in names, which grow by those that are new; NaN for an empty cell."""
    texts = ("" if is_missing_number(cell) else str(cell).strip() for cell in cells)
    return np.array([names.setdefault(text, len(names)) if text else np.nan for text in texts], np.float64)


def read_wide(source: Any, stamps: Stamps, how: Reading) -> Long:
    """A table with a column for each series beside that of the stamps. Args, errors: as of `read_series`."""
    if stamps.known or stamps.past or stamps.static:
        raise DataError("a wide table has no covariates: its columns are series. Give a long one, `unique_id, ds, y`.")
    key = how.rename.get("ds", "ds")
    header = header_of(source, how)
    if not header:
        raise DataError("a wide table must be a csv, tsv or parquet file, a DataFrame or a dict of columns.")
    names = [name for name in header if name != key]
    if not names:
        raise DataError(f"the wide table has no columns of series beside {key!r}.")
    wanted: dict[str, Column] = {"ds": Stamp(), **{name: OptionalNumber(optional=True) for name in names}}
    how = dataclasses.replace(how, rename={"ds": key} if key != "ds" else {})
    tables = list(read_in_parts(source, wanted, how))
    at = np.concatenate([_stamps(table, stamps.counts) for table in tables])
    values = [np.concatenate([_numbers(table, name) for table in tables]) for name in names]
    code = np.repeat(np.arange(len(names), dtype=np.int32), len(at))
    remarks = [remark for table in tables for remark in table.remarks]
    made = {"y": np.concatenate(values)}
    return Long(tables[0].source, names, code, np.tile(at, len(names)), made, remarks=remarks)


def _id(value: Any) -> Any:
    return Id().raw(value).decode()


def _stamps(table: Table, counts: bool) -> np.ndarray:
    cells = table.columns["ds"]
    try:
        return stamps_of(np.asarray(cells) if isinstance(cells, list) and isinstance(cells[0], str) else cells, counts)
    except DataError:
        for row, cell in enumerate(cells):
            try:
                stamps_of([cell], counts)
            except DataError as error:
                raise DataError(f"{table.where(row)}, column 'ds': {error}") from error
        raise


def _numbers(table: Table, name: str) -> np.ndarray:
    cells = table.columns[name]
    try:
        values = np.asarray(cells, np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        values = np.array([np.inf])
    if np.isinf(values).any():  # the column says which one, or knows what pandas has for a missing one
        return np.array(table.raw_column(name, OptionalNumber()), np.float64)
    return values
