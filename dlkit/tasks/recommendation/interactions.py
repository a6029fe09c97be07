"""Interactions: who took which item, when, and how it was liked; and the rows of users made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlkit.columns import Column, Id, Stamp, is_missing_number
from dlkit.data.in_parts import read_in_parts
from dlkit.data.memory import named_values, rows_of
from dlkit.data.reader import Reader
from dlkit.data.reading import PLAIN, Reading, left_out
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tasks.recommendation.columns import Rating


class Key(Id):
    """An id of a table of interactions, whose rows without one are left out."""

    kind = "id"
    may_be_missing = True


COLUMNS: dict[str, Column] = {
    "user_id": Key(),
    "item_id": Key(aliases=("movie_id",)),
    "rating": Rating(optional=True, aliases=("user_rating",)),
    "timestamp": Stamp(optional=True),
}


class UserReader(Reader):
    """Reads tables of interactions as rows of users."""

    def source(self, source: Any, columns: Mapping[str, Column], how: Reading) -> Table:
        return read_users(source, columns, how)


reader = UserReader()


@dataclass
class Interactions:
    """Interactions of distinct pairs of user and item, those of a user together, the oldest first.

    Attributes:
        source: what was read.
        users, items: the ids as the source has them, in the order of their first interactions.
        user, item: (interactions,) int32, places in `users` and `items`.
        rating: (interactions,) float32, or None where the source has none.
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
    """The items of each user, the oldest first, as lists that are made when asked for."""

    def __init__(self, items: Sequence[Any], codes: np.ndarray, starts: np.ndarray):
        self._items, self._codes, self._starts = items, codes, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return [self._items[code] for code in self._codes[self._starts[row] : self._starts[row + 1]]]


def read_interactions(source: Any, how: Reading = PLAIN, *, first: bool = False) -> Interactions:
    """Reads a table of interactions, `user_id, item_id[, rating][, timestamp]`; files a part at a time.

    A pair of user and item counts once: the last time, by stamp or, without stamps, by its place in the source; or the
    `first`, so that nothing later takes an interaction away.

    A row whose id, rating or stamp is empty is left out, counted and named. Raises DataError.
    """
    users: dict[Any, int] = {}
    items: dict[Any, int] = {}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    shown = ""
    remarks = list[str]()
    total, reasons = 0, list[str]()
    for table in read_in_parts(source, COLUMNS, how):
        shown = table.source
        remarks += table.remarks
        total += len(table)
        table = _filled(table, reasons)
        if not len(table):
            continue
        for name, known in (("user_id", users), ("item_id", items)):
            parts[name].append(_codes(table, name, known))
        for name in ("rating", "timestamp"):
            if name in table.columns:
                parts[name].append(_numbers(table, name))
    if not users:
        bad = f" The first bad one: {reasons[0]}" if reasons else ""
        raise DataError(f"{shown or source} has no rows. Expected at least one interaction.{bad}")
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items() if arrays}
    user, user_ids = _distinct(joined["user_id"], list(users))
    item, item_ids = _distinct(joined["item_id"], list(items))
    made = _ordered(shown, user_ids, item_ids, user, item, joined.get("rating"), joined.get("timestamp"), first)
    made.remarks = [*remarks, *left_out(reasons, total, "rows", how.strict), *made.remarks]
    return made


def read_users(source: Any, columns: Mapping[str, Column], how: Reading) -> Table:
    """A row for each user: `user_id`, `recent`, the items so far, and `next`, those that followed.

    A table of interactions says nothing of `recent`: all items of a user are `next`. A dict of columns, a DataFrame
    or a list of dicts may bring such rows as they are, under these names; `user_id` and `recent` may be missing.
    """
    rename = how.rename
    rows = _given_rows(source, columns, rename)
    if rows is not None:
        return rows
    known = {**COLUMNS, **columns}
    for name in rename:
        if name not in known:
            raise DataError(f"there is no column {name!r} to find under another name. There are: {', '.join(known)}.")
    wanted = {name: column for name, column in rename.items() if name in COLUMNS}
    read = read_interactions(source, dataclasses.replace(how, rename=wanted))
    histories = Histories(read.items, read.item, read.starts())
    made = {"user_id": read.users, "recent": [[]] * len(histories), "next": histories}
    remarks = list(read.remarks)
    if read.rating is not None:
        low, high = read.rating.min(), read.rating.max()
        remarks.append(f"ratings from {low:g} to {high:g} do not count: an item rated low is one that the user had")
    where = lambda row: f"{read.source}, user {read.users[row]!r}"  # noqa: E731
    return Table(read.source, {name: made[name] for name in columns}, where, remarks=remarks)


def _given_rows(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table | None:
    wanted = [rename.get(name, name) for name in columns]
    values = named_values(source)
    if values is None or not {rename.get(name, name) for name in ("recent", "next")} & set(values):
        return None
    missing = [name for name in wanted if name not in values and name not in ("user_id", "recent")]
    if missing:
        raise DataError(f"rows of users need the columns {', '.join(wanted)}. There is no {missing[0]!r}.")
    found = {name: rows_of(values[key], name) for name, key in zip(columns, wanted, strict=True) if key in values}
    count = len(next(iter(found.values())))
    if not count or any(len(column) != count for column in found.values()):
        listed = ", ".join(f"{name}: {len(column)}" for name, column in found.items())
        raise DataError(f"rows of users: the columns must have one length, of at least 1. Received: {listed}.")
    found = {name: found.get(name, [""] * count) for name in columns}
    return Table("the rows of users", found, lambda row: f"the rows of users, index {row}")


def _filled(table: Table, reasons: list[str]) -> Table:
    """The rows whose cells all have a value; the places of the others go to the list."""
    bad: dict[int, str] = {}
    for name, cells in table.columns.items():
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
                raise DataError(
                    f"{table.where(row)}: the id in column {name!r} is empty. Fill it, or leave the row out."
                )
            code = known[value] = len(known)
        codes[row] = code
    return codes


def _numbers(table: Table, name: str) -> np.ndarray:
    try:
        return np.asarray(table.columns[name], np.float64)
    except (TypeError, ValueError):  # dates, or a value that is none
        return np.array(table.raw_column(name, COLUMNS[name]), np.float64)


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
    source: str, users: list, items: list, user: np.ndarray, item: np.ndarray, rating: Any, time: Any, first: bool
) -> Interactions:
    for name, values in (("rating", rating), ("timestamp", time)):
        if values is not None and not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise DataError(
                f"{source}, row {row + 1}: the {name} is empty or no finite number. Fill it, or leave it out."
            )
    arrival = np.arange(len(user))
    order = np.lexsort((arrival, time, user) if time is not None else (arrival, user))
    pairs = user[order].astype(np.int64) * len(items) + item[order]
    places = np.arange(len(pairs)) if first else np.arange(len(pairs))[::-1]
    _, unique = np.unique(pairs[places], return_index=True)
    kept = order[np.sort(places[unique])]
    repeated = len(user) - len(kept)
    which = "first" if first else "last"
    remarks = list[str]()
    if repeated:
        remarks.append(f"{repeated} of {len(user)} interactions repeat a pair of user and item: the {which} counts")
    tied = 0 if time is None else _tied_at_last(user[kept], time[kept])
    if tied:
        remarks.append(
            f"{tied} of {len(users)} users have several newest items at one time: which is the last, the order of the "
            "source decides"
        )
    return Interactions(
        source,
        users,
        items,
        user[kept],
        item[kept],
        None if rating is None else rating[kept].astype(np.float32),
        None if time is None else time[kept],
        kept,
        time,
        remarks,
    )


def _tied_at_last(user: np.ndarray, time: np.ndarray) -> int:
    """How many users have a last interaction that has the time of the one before."""
    last = np.append(user[1:] != user[:-1], True)[1:]
    return int(np.sum(last & (user[1:] == user[:-1]) & (time[1:] == time[:-1])))
