"""Time series: from long or wide tables to a row for each series, on a regular grid of stamps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.columns import Column
from dlkit.columns_series import Stamps
from dlkit.data.frequency import Step, infer_frequency, parse_frequency
from dlkit.data.long_tables import Long, read_long, read_wide
from dlkit.data.table import Table
from dlkit.errors import DataError


def read_series(source: Any, columns: dict[str, Column], rename: dict[str, str], data_dir: str | None) -> Table:
    """A row for each series: `unique_id`, `ds`, `y`, the covariates, and `following`, of which nothing is known.

    A long table has a row for each series and stamp, in Nixtla's convention: `unique_id, ds, y` and the covariates;
    without `unique_id` it is one series. A wide one, by `Stamps.wide`, has a column for each series beside `ds`. Stamps
    become a
    regular grid: `y` is NaN where one was missing. Steps at the end of a series with covariates but no `y` are what is
    known ahead. A dict of columns, a DataFrame or a list of dicts may bring rows of series as they are, with lists in
    their cells, and with `following`, the values that came after `y`.

    Files are read in parts: what stays in memory is numbers, 12 bytes and 8 for each covariate a row.
    """
    rows = _given_rows(source, columns, rename)
    if rows is not None:
        return rows
    stamps = next(column for column in columns.values() if isinstance(column, Stamps))
    long = (read_wide if stamps.wide else read_long)(source, stamps, rename, data_dir)
    return _gridded(long, stamps, columns)


def _given_rows(source: Any, columns: dict[str, Column], rename: dict[str, str]) -> Table | None:
    """Rows of series as they are, if the source holds such."""
    from dlkit.data.memory import rows_of

    if isinstance(source, list) and source and isinstance(source[0], Mapping):
        values = {name: [row.get(name) for row in source] for name in source[0]}
    elif isinstance(source, Mapping) or (hasattr(source, "columns") and hasattr(source, "iloc")):
        values = {name: source[name] for name in list(source)}
    else:
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


def _gridded(long: Long, stamps: Stamps, columns: dict[str, Column]) -> Table:
    position = np.lexsort((np.arange(len(long.code)), long.stamps, long.code))
    code, at = long.code[position], long.stamps[position]
    numbers = {name: values[position] for name, values in long.numbers.items()}
    starts = np.searchsorted(code, np.arange(len(long.ids) + 1))
    cuts = [slice(start, stop) for start, stop in itertools.pairwise(starts)]
    step = (
        parse_frequency(stamps.frequency)
        if stamps.frequency
        else infer_frequency((at[cut] for cut in cuts), long.source)
    )
    if (step.whole > 0) != (at.dtype.kind == "i"):
        raise DataError(f"{long.source}: a `frequency` of {step} does not fit its stamps, {at[0]} and so on.")
    told = dict.fromkeys(("gaps", "duplicates", "off_grid", "missing"), 0)
    rows: dict[str, list[Any]] = {name: [] for name in columns}
    for series, cut in enumerate(cuts):
        name = str(long.ids[series])
        made = _series(name, at[cut], {key: values[cut] for key, values in numbers.items()}, step, stamps, told, long)
        static = {key: _constant(long, key, position[cut], name) for key in long.texts}
        if "unique_id" in stamps.static or "unique_id" in columns:
            static["unique_id"] = name
        for key in columns:
            rows[key].append([] if key == "following" else {**made, **static}[key])
    where = lambda row: f"{long.source}, series {str(long.ids[row])!r}"  # noqa: E731
    return Table(long.source, rows, where, remarks=_remarks(step, len(cuts), len(at), told, stamps))


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
    places, offset = np.divmod(step.position(at) - step.position(at[-1:]), step.unit)
    if offset.any():
        if stamps.off_grid == "refuse":
            first = int(np.argmax(offset != 0))
            raise DataError(
                f"{long.source}, series {name!r}: the stamp {at[first]} is not a number of steps of one {step} before "
                f"the last one, {at[-1]}; nor are {int((offset != 0).sum()) - 1} more. Give `frequency`, or "
                "set `off_grid` to floor."
            )
        told["off_grid"] += int((offset != 0).sum())
    places -= places[0]
    repeated = len(places) - len(np.unique(places))
    if repeated and stamps.duplicates == "refuse":
        first = at[1:][np.diff(places) == 0][0]
        raise DataError(f"{long.source}, series {name!r}: {repeated} stamps come twice, the first: {first}.")
    told["duplicates"] += repeated
    made = {key: _placed(values, places, stamps.duplicates) for key, values in numbers.items()}
    known = np.flatnonzero(np.isfinite(made["y"]))
    if not len(known):
        raise DataError(f"{long.source}, series {name!r} has no values of 'y'. Give some, or leave the series out.")
    last = int(known[-1]) + 1
    gaps = last - len(np.unique(places[places < last]))
    if gaps and not stamps.gaps:
        missing = int(np.setdiff1d(np.arange(last), places)[0])
        raise DataError(
            f"{long.source}, series {name!r}: {gaps} steps of one {step} are missing, the first after "
            f"{at[np.searchsorted(places, missing) - 1]}. Fill them, or choose how by `fill`."
        )
    told["gaps"] += gaps
    told["missing"] += int(np.isnan(made["y"][:last]).sum()) - gaps
    for key in stamps.known:
        if np.isnan(made[key]).any():
            told[key] = told.get(key, 0) + int(np.isnan(made[key]).sum())
    before = -np.arange(len(made["y"]))[::-1]
    if step.months:
        days = [at[0], *step.after(at[0], len(made["y"]) - 1)]
    else:
        days = at[-1] + before * step.unit
    ds = np.asarray(days, at.dtype)
    ahead = set(stamps.known)
    return {"ds": ds[:last], **{key: values if key in ahead else values[:last] for key, values in made.items()}}


def _placed(values: np.ndarray, places: np.ndarray, duplicates: str) -> np.ndarray:
    """Values at their places, NaN elsewhere; of several at one place the mean, or the last."""
    size = int(places[-1]) + 1
    there = np.isfinite(values)
    made = np.full(size, np.nan, np.float32)
    if duplicates == "last":
        made[places[there]] = values[there]
        return made
    sums = np.bincount(places[there], values[there], size)
    counts = np.bincount(places[there], minlength=size)
    made[counts > 0] = (sums[counts > 0] / counts[counts > 0]).astype(np.float32)
    return made


def _constant(long: Long, name: str, rows: np.ndarray, series: str) -> str:
    codes, names = long.texts[name]
    found = [str(text) for text in names[np.unique(codes[rows])] if str(text) not in ("", "nan", "None")]
    if len(found) > 1:
        raise DataError(
            f"{long.source}, series {series!r}: the static covariate {name!r} changes: {found[0]!r} and {found[1]!r}. "
            "Give it as `known` or `past`."
        )
    return found[0] if found else ""


def _remarks(step: Step, series: int, rows: int, told: dict[str, int], stamps: Stamps) -> Sequence[str]:
    words = {
        "gaps": "steps are missing and are filled as `fill` says",
        "missing": "values are missing and are filled as `fill` says",
        "duplicates": f"stamps come again: {'their mean' if stamps.duplicates == 'mean' else 'the last one'} counts",
        "off_grid": "stamps lie between the steps and count for the one before",
    }
    for name in stamps.known:
        words[name] = f"values of {name!r} are missing: its mean counts"
    found = (f"{count} {words[name]}" for name, count in told.items() if count)
    return [f"{series} series, {rows} rows, frequency: {step}", *found]
