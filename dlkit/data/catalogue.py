"""Users and items as the numbers that a graph knows them by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import Id
from dlkit.data.table import Table
from dlkit.errors import DataError


@dataclass
class Catalogue:
    """Users and items with the numbers that a graph knows them by, from 1; items the most popular first.

    Attributes:
        users: ids of the users.
        items: ids of the items.
        taken: for each user, (any,) int32, numbers of the items, the oldest first.
        nameless: the same of rows without a user.
        counts: (1 + items,) int64, how many took each item; nothing first.
        whole: whether all item ids are integers.
    """

    users: list[str]
    items: list[str]
    taken: list[np.ndarray]
    nameless: list[np.ndarray]
    counts: np.ndarray
    whole: bool

    def shares(self) -> np.ndarray:
        """(1 + items,) float32, the share of each item in all interactions."""
        return (self.counts / self.counts.sum()).astype(np.float32)


def catalogue_of(table: Table) -> Catalogue:
    """What rows of users hold: `recent` and then `next` of each, an item that comes again at its last place."""
    known: dict[Any, int] = {}
    raws: dict[bytes, int] = {}
    rows: dict[bytes, np.ndarray] = {}
    nameless: list[np.ndarray] = []

    def code(item: Any) -> int:
        if item not in known:
            known[item] = raws.setdefault(Id().raw(item), len(raws))
        return known[item]

    for number, row in enumerate(zip(*(table.columns[name] for name in ("user_id", "recent", "next")), strict=True)):
        user = table.raw(number, {"user_id": Id()})["user_id"]
        items = [item for cell in row[1:] for item in _listed(cell, table.where, number)]
        before = rows.get(user, np.zeros(0, np.int32)) if user else np.zeros(0, np.int32)
        codes = np.concatenate([before, np.array([code(item) for item in items], np.int32)])
        _, last = np.unique(codes[::-1], return_index=True)
        taken = codes[np.sort(len(codes) - 1 - last)]
        if user:
            rows[user] = taken
        else:
            nameless.append(taken)
    if not raws:
        raise DataError(f"{table.source}: no row has an item. Expected ids in `next`.")
    counts = np.bincount(np.concatenate([*rows.values(), *nameless]), minlength=len(raws))
    ids = list(raws)
    order = sorted(range(len(ids)), key=lambda item: (-counts[item], ids[item]))
    place = np.empty(len(ids), np.int32)
    place[order] = np.arange(1, len(ids) + 1)
    whole = all(isinstance(item, (int, np.integer)) for item in known)
    return Catalogue(
        [user.decode() for user in rows],
        [ids[item].decode() for item in order],
        [place[taken] for taken in rows.values()],
        [place[taken] for taken in nameless],
        np.concatenate([[0], counts[order]]).astype(np.int64),
        whole,
    )


def _listed(value: Any, where: Callable[[int], str], row: int) -> list[Any]:
    """What a cell of items holds, without empty ids."""
    if isinstance(value, (str, bytes)):
        value = (value.decode() if isinstance(value, bytes) else value).split("|")
    if value is None or not hasattr(value, "__iter__"):
        raise DataError(f"{where(row)}: expected a list of item ids. Received: {value!r:.60}.")
    return [item for item in value if item is not None and item not in ("", b"")]
