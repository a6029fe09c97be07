"""Interactions: who took which item, when, and how it was liked; and the rows of users made of them."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from dlkit.columns import Column, Id, Timestamp, is_missing_number
from dlkit.data.header import header_of
from dlkit.data.match import quote_names, to_nfc
from dlkit.data.memory import as_sequence, named_values
from dlkit.data.read_chunks import read_chunks
from dlkit.data.read_options import DEFAULT_OPTIONS, ReadOptions, report_skipped
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.tasks.recommendation.columns import Rating


class Key(Id):
    """An id of a table of interactions, whose rows without one are left out."""

    kind = "id"
    may_be_missing = True


COLUMNS: dict[str, Column] = {
    "user_id": Key(),
    "item_id": Key(aliases=("movie_id",)),
    "rating": Rating(optional=True, aliases=("user_rating",)),
    "timestamp": Timestamp(optional=True),
}


class UserReader(Reader):
    """Reads tables of interactions as rows of users."""

    def source(self, source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        return read_users(source, columns, how) if "next" in columns else read_requests(source, columns, how)


reader = UserReader()
SHOWN = 3  # places that a remark names


@dataclass
class Interactions:
    """Interactions of distinct pairs of user and item, those of a user together, the oldest first.

    Attributes:
        source: what was read.
        users, items: the ids as the source has them, in the order of their first interactions.
        user, item: (interactions,) int32, places in `users` and `items`.
        rating: (interactions,) float32, NaN for those without one; None where the source has none.
        time: (interactions,) float64, or None.
        row: (interactions,) int64, places in the source.
        stamps: (rows,) float64, the times of all rows of the source, those of repeated pairs too, or None.
        remarks: what had to be put right.
    """

    source: str
    users: list[Any]
    items: list[Any]
    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray | None
    time: np.ndarray | None
    row: np.ndarray
    stamps: np.ndarray | None
    remarks: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.user)

    def starts(self) -> np.ndarray:
        """(users + 1,) where each user's interactions start, and at last where the last one's end."""
        return np.searchsorted(self.user, np.arange(len(self.users) + 1))

    def columns(self, chosen: np.ndarray) -> dict[str, list]:
        """Some interactions as a source of columns, `user_id`, `item_id` and what else there is; chosen by a mask."""
        made = {
            "user_id": [self.users[code] for code in self.user[chosen]],
            "item_id": [self.items[code] for code in self.item[chosen]],
        }
        for name, values in (("rating", self.rating), ("timestamp", self.time)):
            if values is not None:
                made[name] = values[chosen].tolist()
        return made


class Histories(Sequence):
    """The items of each user, the oldest first, or their ratings, as lists that are made when asked for."""

    def __init__(self, items: Sequence[Any], codes: np.ndarray, starts: np.ndarray):
        self._items, self._codes, self._starts = items, codes, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def flat(self) -> np.ndarray:
        """The values of all lists, one after another."""
        return np.asarray(self._items)[self._codes]

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return [self._items[code] for code in self._codes[self._starts[row] : self._starts[row + 1]]]


def read_interactions(
    source: Any,
    how: ReadOptions = DEFAULT_OPTIONS,
    *,
    keep: Literal["last", "first", "all"] = "last",
    rated: bool = False,
) -> Interactions:
    """Reads a table of interactions, `user_id, item_id[, rating][, timestamp]`; files a part at a time.

    Those of one time stand in the order of a hash of user and item, so that a shuffled file gives the same; not of the
    ids, which are often given out in some order of their own, from which a network would learn what comes next.

    A row whose id or stamp is empty is left out, counted and named.

    Args:
        source: what to read, as `dlkit.data.read.read` takes it.
        how: how it is read.
        keep: which interactions of one pair of user and item count: the last one, by stamp or, without stamps, by its
            place in the source; the first, so that nothing later takes an interaction away; or all.
        rated: whether ratings are what is learned: rows without one are left out too. Else they have none.

    Raises:
        DataError: the source cannot be read.
    """
    users: dict[Any, int] = {}
    items: dict[Any, int] = {}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    shown = ""
    remarks = list[str]()
    total, reasons = 0, list[str]()
    unrated, places = 0, list[str]()
    for table in read_chunks(source, COLUMNS, how):
        shown = table.source
        remarks += table.remarks
        total += len(table)
        table = _filled(table, reasons, rated)
        if not len(table):
            continue
        for name, known in (("user_id", users), ("item_id", items)):
            parts[name].append(_codes(table, name, known))
        for name in ("rating", "timestamp"):
            if name in table.columns:
                parts[name].append(_ratings(table) if name == "rating" and not rated else _numbers(table, name))
        if "rating" in table.columns and not rated:
            none = np.flatnonzero(np.isnan(parts["rating"][-1]))
            unrated += len(none)
            places += [table.where(int(row)) for row in none[: SHOWN - len(places)]]
    if not users:
        bad = f" The first bad one: {reasons[0]}" if reasons else ""
        raise DataError(f"{shown or source} has no rows. Expected at least one interaction.{bad}")
    for name, arrays in parts.items():
        if 0 < len(arrays) < len(parts["user_id"]):
            raise DataError(
                f"{source}: the column {name!r} is missing in some files. It must be in all of them, or in none."
            )
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items() if arrays}
    user, user_ids = _distinct(joined["user_id"], list(users))
    item, item_ids = _distinct(joined["item_id"], list(items))
    made = _ordered(shown, user_ids, item_ids, user, item, joined.get("rating"), joined.get("timestamp"), keep)
    remarks += report_skipped(reasons, total, "rows", how.strict)
    if unrated:
        few = "; ".join(places) + (f"; and {unrated - SHOWN} more" if unrated > SHOWN else "")
        remarks.append(f"{unrated} of {total} ratings are not numbers and are treated as missing: {few}")
    made.remarks = [*remarks, *made.remarks]
    return made


def read_users(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """A row for each user: `user_id`, `recent`, the items so far, and `next`, those that followed, with `ratings`.

    A table of interactions says nothing of `recent`: all items of a user are `next`. A dict of columns, a DataFrame
    or a list of dicts may bring such rows as they are, under these names; only `next` must be there.
    """
    rename = how.rename
    rows = _given_rows(source, columns, rename)
    if rows is not None:
        return rows
    known = {**COLUMNS, **columns}
    for name in rename:
        if name not in known:
            raise DataError(f"there is no column {name!r} to rename. There are: {', '.join(known)}.")
    wanted = {name: column for name, column in rename.items() if name in COLUMNS}
    read = read_interactions(source, dataclasses.replace(how, rename=wanted))
    histories = Histories(read.items, read.item, read.starts())
    made: dict[str, Any] = {"user_id": read.users, "recent": [[]] * len(histories), "next": histories}
    if read.rating is not None:
        values, codes = np.unique(read.rating, return_inverse=True)
        made["ratings"] = Histories(values.tolist(), codes, read.starts())
    where = lambda row: f"{read.source}, user {read.users[row]!r}"  # noqa: E731
    return Table(read.source, {name: made[name] for name in columns if name in made}, where, remarks=list(read.remarks))


def read_requests(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
    """A row for each user of a table of interactions, with its items as `recent`; None for a table of users, which has
    a row for each already: `user_id`, `recent`, or both.

    Raises:
        DataError: the source cannot be read, or has none of these columns.
    """
    found = {to_nfc(name) for name in header_of(source, how)}
    has = {
        name: not found.isdisjoint(map(to_nfc, [how.rename.get(name, name), *column.aliases]))
        for name, column in {**COLUMNS, "recent": columns["recent"]}.items()
    }
    if has["item_id"] and not has["recent"]:
        rename = {name: theirs for name, theirs in how.rename.items() if name in COLUMNS}
        read = read_interactions(source, dataclasses.replace(how, rename=rename))
        made = {"user_id": read.users, "recent": Histories(read.items, read.item, read.starts())}
        rated = ["each item is treated as a positive interaction, regardless of its rating"] if has["rating"] else []
        where = lambda row: f"{read.source}, user {read.users[row]!r}"  # noqa: E731
        return Table(read.source, made, where, remarks=[*read.remarks, *rated])
    if not has["user_id"] and not has["recent"]:
        raise DataError(
            f"{str(source)[:200] if isinstance(source, (str, os.PathLike)) else 'the table'} has no column "
            f"'user_id'. Columns found: {quote_names(sorted(found))}. Expected a table of users (user_id or recent or "
            f"both) or of interactions (user_id and item_id). Map it with {option('columns', {'user_id': 'NAME'})}."
        )
    return None


def _given_rows(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table | None:
    wanted = [rename.get(name, name) for name in columns]
    values = named_values(source)
    if values is None or not {rename.get(name, name) for name in ("recent", "next")} & set(values):
        return None
    lacking = ("user_id", "recent", "ratings")
    missing = [key for name, key in zip(columns, wanted, strict=True) if key not in values and name not in lacking]
    if missing:
        raise DataError(f"users need the columns {', '.join(wanted)}. There is no {missing[0]!r}.")
    found = {name: as_sequence(values[key], name) for name, key in zip(columns, wanted, strict=True) if key in values}
    count = len(next(iter(found.values())))
    if not count or any(len(column) != count for column in found.values()):
        listed = ", ".join(f"{name}: {len(column)}" for name, column in found.items())
        raise DataError(f"rows of users: the columns must have the same length, at least 1. Received: {listed}.")
    found = {name: found.get(name, [""] * count) for name in columns if name in found or name != "ratings"}
    return Table("the rows of users", found, lambda row: f"the rows of users, index {row}")


def _filled(table: Table, reasons: list[str], rated: bool) -> Table:
    """The rows whose cells all have a value; the places of the others go to the list."""
    bad: dict[int, str] = {}
    for name, cells in table.columns.items():
        if name == "rating" and not rated:
            continue
        missing = is_missing_number if name in ("rating", "timestamp") else _is_nobody
        try:
            distinct = set(cells.tolist() if isinstance(cells, np.ndarray) else cells)
        except TypeError:  # no ids at all, which the columns say better
            continue
        if any(map(missing, distinct)):
            for row in (row for row, cell in enumerate(cells) if missing(cell)):
                bad.setdefault(row, f"{table.where(row)}: the {name} is empty.")
    if not bad:
        return table
    reasons += [bad[row] for row in sorted(bad)]
    return table.take([row for row in range(len(table)) if row not in bad])


def _is_nobody(cell: Any) -> bool:
    return cell is None or cell != cell or (isinstance(cell, (str, bytes)) and not cell.strip())


def _codes(table: Table, name: str, known: dict[Any, int]) -> np.ndarray:
    """The place of each id among those known, to which new ones are added."""
    codes = np.empty(len(table), np.int32)
    for row, value in enumerate(table.columns[name]):
        try:
            code = known.get(value)
        except TypeError:  # no id at all, which the column says better
            code = None
        if code is None:
            if not table.raw(row, {name: COLUMNS[name]})[name]:
                raise DataError(f"{table.where(row)}: the id in column {name!r} is empty. Set it, or remove the row.")
            code = known[value] = len(known)
        codes[row] = code
    return codes


def _numbers(table: Table, name: str) -> np.ndarray:
    try:
        found = np.asarray(table.columns[name], np.float64)
    except (TypeError, ValueError):  # dates, or a value that is none
        found = np.array(table.raw_column(name, COLUMNS[name]), np.float64)
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        raise DataError(f"{table.where(row)}: the {name} is not a finite number. Set it, or remove the row.")
    return found


def _ratings(table: Table) -> np.ndarray:
    """The ratings of a part, NaN for what is none."""
    cells = table.columns["rating"]
    try:
        found = np.array(cells, np.float64)
    except (TypeError, ValueError):
        found = np.array([_rating(cell) for cell in cells])
    found[~np.isfinite(found)] = np.nan
    return found


def _rating(cell: Any) -> float:
    try:
        return float(Rating().raw(cell))
    except DataError:
        return float("nan")


def _distinct(codes: np.ndarray, values: list[Any]) -> tuple[np.ndarray, list[Any]]:
    """Codes of ids that differ as texts: 3 and "3" are one, and show as the first that came."""
    places: dict[bytes, int] = {}
    first: list[Any] = []
    to = np.empty(len(values), np.int32)
    for code, value in enumerate(values):
        raw = Id().raw(value)
        if raw not in places:
            places[raw] = len(first)
            first.append(value.decode() if isinstance(value, bytes) else value)
        to[code] = places[raw]
    return to[codes], first


def _ordered(
    source: str, users: list, items: list, user: np.ndarray, item: np.ndarray, rating: Any, time: Any, keep: str
) -> Interactions:
    arrival = np.arange(len(user))
    liking = arrival if rating is None else np.nan_to_num(rating, nan=-np.inf)  # of one pair at one time
    order = np.lexsort(
        (arrival, user) if time is None else (arrival, liking, _mixed(users, items)(user, item), time, user)
    )
    pairs = user[order].astype(np.int64) * len(items) + item[order]
    places = np.arange(len(pairs)) if keep == "first" else np.arange(len(pairs))[::-1]
    _, unique = np.unique(pairs[places], return_index=True)
    kept = order if keep == "all" else order[np.sort(places[unique])]
    repeated = len(user) - len(kept)
    remarks = list[str]()
    if repeated:
        remarks.append(f"{repeated} of {len(user)} interactions repeat a pair of user and item: the {keep} one is used")
    tied = 0 if time is None else _tied_at_last(user[kept], time[kept])
    if tied:
        remarks.append(
            f"{tied} of {len(users)} users have several last items with the same timestamp: ties are broken by a "
            "hash of user and item, independent of the order of the source"
        )
    return Interactions(
        source,
        users,
        items,
        user[kept],
        item[kept],
        None if rating is None or np.isnan(rating).all() else rating[kept].astype(np.float32),
        None if time is None else time[kept],
        kept,
        time,
        remarks,
    )


def _mixed(users: Sequence[Any], items: Sequence[Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """From places of users and items to a uint64 of each pair, which their ids alone decide (splitmix64 of CRC-32)."""
    of_user, of_item = (
        np.fromiter((zlib.crc32(Id().raw(value)) for value in ids), np.uint64, len(ids)) for ids in (users, items)
    )

    def mixed(user: np.ndarray, item: np.ndarray) -> np.ndarray:
        x = (of_user[user] << np.uint64(32)) | of_item[item]
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        return x ^ (x >> np.uint64(31))

    return mixed


def _tied_at_last(user: np.ndarray, time: np.ndarray) -> int:
    """How many users have a last interaction that has the time of the one before."""
    last = np.append(user[1:] != user[:-1], True)[1:]
    return int(np.sum(last & (user[1:] == user[:-1]) & (time[1:] == time[:-1])))
