"""What a recommender knows of its users and items: their numbers, who had what, and tables of their features."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Id, comma_hint, is_missing_number
from dlkit.data.delimited import is_delimited, open_records
from dlkit.data.reading import PLAIN
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tasks.recommendation.columns import ids_in


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
        value = ids_in(value.decode() if isinstance(value, bytes) else value)
    if value is None or not hasattr(value, "__iter__"):
        raise DataError(f"{where(row)}: expected a list of item ids. Received: {value!r:.60}.")
    return [item for item in value if item is not None and item not in ("", b"")]


MOST = 200  # words of a column that count


def read_features(source: str, key: str, ids: Sequence[str]) -> np.ndarray:
    """Features of each id: (1 + ids, features) float32, zeros for nothing (the first) and for ids without a row.

    A column of numbers becomes one feature, with mean 0 and deviation 1, and 0 where it is empty. Any other is taken
    for words, parted by `|` or, where no cell has one, by blanks: a feature for each of the words that stand in at
    least a hundredth of the rows (and in two), the most frequent 200 of them, scaled so that a row's have the norm 1.

    Args:
        source: a csv, tsv or parquet file.
        key: the column that holds the ids.
        ids: the ids, in their order.

    Raises:
        DataError: the file cannot be read, lacks `key` or has an id twice.
    """
    columns = _columns(source)
    if key not in columns:
        raise DataError(f"{source} has no column {key!r}. Columns found: {', '.join(map(repr, columns))}.")
    rows = {str(value).strip(): row for row, value in enumerate(columns.pop(key))}
    if columns and len(rows) < len(next(iter(columns.values()))):
        raise DataError(f"{source}: an id stands twice in the column {key!r}. Keep one row of each.")
    blocks = [_features(cells, name, source) for name, cells in columns.items()]
    made = np.concatenate([block for block in blocks if block.size] or [np.zeros((len(rows), 0))], axis=1)
    if not made.shape[1]:
        raise DataError(f"{source} has no column of numbers or of words that come again beside {key!r}.")
    if not rows.keys() & set(ids):
        raise DataError(
            f"{source}: none of the {len(rows)} ids in {key!r}, {next(iter(rows), '')!r} for one, is among the "
            f"{len(ids)} of the interactions, {ids[0]!r} for one. Write them alike: 12, not 12.0 or 012."
        )
    features = np.zeros((len(ids) + 1, made.shape[1]), np.float32)
    for number, name in enumerate(ids, start=1):
        if name in rows:
            features[number] = made[rows[name]]
    return features


def ids_with_features(source: str, key: str) -> set[str]:
    """The ids that a file of features has rows for. Raises DataError."""
    return {str(value).strip() for value in _columns(source).get(key, [])}


def _columns(source: str) -> dict[str, list[Any]]:
    path = Path(source).expanduser()
    if path.suffix.lower() == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{source}: not a readable parquet file ({error}).") from error
        return {name: table.column(name).to_pylist() for name in table.column_names}
    if not is_delimited(path, PLAIN):
        raise DataError(f"features are read from a csv, tsv or parquet file. Received: {source!r}.")
    with open_records(path, source, PLAIN) as records:
        rows = [record for _, record in records.rows]
        return {name: [record[place] for record in rows] for place, name in enumerate(records.header)}


def _features(cells: list[Any], name: str, source: str) -> np.ndarray:
    """(rows, any) of one column."""
    texts = ["" if cell is None else str(cell).strip() for cell in cells]
    try:
        numbers = np.array([np.nan if is_missing_number(text) else float(text) for text in texts])
    except ValueError:
        if all(is_missing_number(text) or comma_hint(text) for text in texts):
            raise DataError(f"{source}, column {name!r}: numbers with decimal commas. Write points.") from None
        return _words(texts)
    there = np.isfinite(numbers)
    if not there.any() or not numbers[there].std():
        return np.zeros((len(cells), 0))
    return np.where(there, (numbers - numbers[there].mean()) / numbers[there].std(), 0.0)[:, None]


def _words(texts: list[str]) -> np.ndarray:
    parted = r"\|" if any("|" in text for text in texts) else r"\s+"
    rows = [{word for word in re.split(parted, text) if word} for text in texts]
    counts = collections.Counter(word for row in rows for word in row)
    least = max(2, len(texts) / 100)
    frequent = sorted((-count, word) for word, count in counts.items() if count >= least)[:MOST]
    place = {word: number for number, (_, word) in enumerate(frequent)}
    made = np.zeros((len(texts), len(place)))
    for number, row in enumerate(rows):
        found = [place[word] for word in row if word in place]
        made[number, found] = len(found) ** -0.5 if found else 0.0
    return made
