"""What a recommender knows of its users and items: their numbers, who had what, and tables of their features."""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Id, comma_hint, is_missing_number
from dlkit.data.delimited import is_delimited, open_records
from dlkit.data.parquet import iterate_batches, open_parquet
from dlkit.data.read_options import DEFAULT_OPTIONS
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tasks.recommendation.columns import Ratings, ids_in
from dlkit.tasks.recommendation.liked import liked, ratings_of, weights_of


@dataclass
class Catalogue:
    """Users and items with the numbers that a graph knows them by, from 1; items the most popular first.

    Attributes:
        users: ids of the users.
        items: ids of the items; at last those that nobody took yet.
        taken: for each user, (any,) int32, numbers of the items, the oldest first.
        nameless: the same of rows without a user.
        passed: for each user, (any,) int32, numbers of further items, which were had and not liked.
        weights: for each of `taken` and then of `nameless`, (any,) float32, what its items weigh.
        counts: (1 + items,) int64, how many took each item; nothing first.
        sums: (1 + items,) float64, the same by their weights, by which items are ordered.
        whole: whether all item ids of interactions are integers.
        new: how many items nobody took yet.
    """

    users: list[str]
    items: list[str]
    taken: list[np.ndarray]
    nameless: list[np.ndarray]
    passed: list[np.ndarray]
    weights: list[np.ndarray]
    counts: np.ndarray
    sums: np.ndarray
    whole: bool
    new: int

    def shares(self) -> np.ndarray:
        """(1 + items,) float32, the share of each item in all interactions."""
        return (self.counts / self.counts.sum()).astype(np.float32)

    def popularity(self) -> np.ndarray:
        """(1 + items,) float32, the same by the interactions' weights."""
        return (self.sums / self.sums.sum()).astype(np.float32)


def catalogue_of(
    table: Table, least: float | None = None, mean: float | None = None, further: Iterable[str] = ()
) -> Catalogue:
    """What rows of users hold: `recent` and then `next` of each, an item that comes again at its last place.

    Args:
        table: the rows, with the `ratings` of `next`, if there are any.
        least: the lowest rating of what counts as liked; None for all.
        mean: the rating that weighs 1, others in proportion; None for all alike.
        further: ids of items to know too. Those that somebody had and nobody liked are not among them.

    Raises:
        DataError: a cell is no list of ids, or no row has an item that counts.
    """
    known: dict[Any, int] = {}
    raws: dict[bytes, int] = {}
    rows: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    nameless: list[tuple[np.ndarray, np.ndarray]] = []
    disliked: dict[bytes, list[bytes]] = {}
    nothing = np.zeros(0, np.int32), np.zeros(0, np.float32)

    def code(item: Any) -> int:
        if item not in known:
            known[item] = raws.setdefault(Id().raw(item), len(raws))
        return known[item]

    for number in range(len(table)):
        user = table.raw(number, {"user_id": Id()})["user_id"]
        recent, following = (table.columns[name][number] for name in ("recent", "next"))
        nothing_recent = not isinstance(recent, (str, bytes)) and is_missing_number(recent)
        recent = [] if nothing_recent else _listed(recent, table.where, number)
        following = _listed(following, table.where, number)
        rated = table.raw(number, {"ratings": Ratings(optional=True, default=())})["ratings"]
        ratings = ratings_of(rated, len(following), table.where(number))
        keep = liked(ratings, least)
        items = [*recent, *itertools.compress(following, keep)]
        if user and not keep.all():
            disliked.setdefault(user, []).extend(map(Id().raw, itertools.compress(following, ~keep)))
        weights = np.concatenate([np.ones(len(recent)), weights_of(ratings[keep], mean)]).astype(np.float32)
        before = rows.get(user, nothing) if user else nothing
        codes = np.concatenate([before[0], np.array([code(item) for item in items], np.int32)])
        weights = np.concatenate([before[1], weights])
        _, last = np.unique(codes[::-1], return_index=True)
        kept = np.sort(len(codes) - 1 - last)
        taken = codes[kept], weights[kept]
        if user:
            rows[user] = taken
        else:
            nameless.append(taken)
    if not raws:
        raise DataError(f"{table.source}: no row has an item. Expected ids in `next`.")
    whole = all(isinstance(item, (int, np.integer)) for item in known)
    every = [*rows.values(), *nameless]
    numbers = np.concatenate([codes for codes, _ in every])
    counts = np.bincount(numbers, minlength=len(raws))
    sums = np.bincount(numbers, np.concatenate([weights for _, weights in every]), len(raws))
    ids = list(raws)
    order = sorted(range(len(ids)), key=lambda item: (-sums[item], ids[item]))
    place = np.empty(len(ids), np.int32)
    place[order] = np.arange(1, len(ids) + 1)
    had = raws.keys() | {item for items in disliked.values() for item in items}
    new = [item for item in dict.fromkeys(further) if item.encode() not in had]
    passed = [[raws[item] for item in dict.fromkeys(disliked.get(user, ())) if item in raws] for user in rows]
    return Catalogue(
        users=[user.decode() for user in rows],
        items=[ids[item].decode() for item in order] + new,
        taken=[place[codes] for codes, _ in rows.values()],
        nameless=[place[codes] for codes, _ in nameless],
        passed=[place[codes] if codes else nothing[0] for codes in passed],
        weights=[weights for _, weights in every],
        counts=np.concatenate([[0], counts[order], np.zeros(len(new))]).astype(np.int64),
        sums=np.concatenate([[0], sums[order], np.zeros(len(new))]),
        whole=whole,
        new=len(new),
    )


def _listed(value: Any, where: Callable[[int], str], row: int) -> list[Any]:
    """What a cell of items holds, without empty ids."""
    if isinstance(value, (str, bytes)):
        value = ids_in(value.decode() if isinstance(value, bytes) else value)
    if value is None or not hasattr(value, "__iter__"):
        raise DataError(f"{where(row)}: expected a list of item ids. Received: {value!r:.60}.")
    return [item for item in value if item is not None and item not in ("", b"")]


MOST = 200  # words of a column that count


def read_features(source: str, key: str, ids: Sequence[str], new: int = 0) -> np.ndarray:
    """Features of each id: (1 + ids, features) float32, zeros for nothing (the first) and for ids without a row.

    A column of numbers becomes one feature, with mean 0 and deviation 1, and 0 where it is empty; a tenth of its cells,
    or one of three and more, may be something else, and count as empty. Any other is taken for words, parted by `|` or,
    where no cell has one, by blanks: a feature for each of the words that stand in at least a hundredth of the rows
    (and in two), the most frequent 200 of them, scaled so that a row's have the norm 1.

    Args:
        source: a csv, tsv or parquet file.
        key: the column that holds the ids.
        ids: the ids, in their order.
        new: how many of them, at the end, come from the file itself.

    Raises:
        DataError: the file cannot be read, lacks `key` or has an id twice, or no other id has a row.
    """
    columns = _columns(source)
    if key not in columns:
        raise DataError(f"{source} has no column {key!r}. Columns found: {', '.join(map(repr, columns))}.")
    rows = {str(value).strip(): row for row, value in enumerate(columns.pop(key))}
    if columns and len(rows) < len(next(iter(columns.values()))):
        raise DataError(f"{source}: duplicate id in the column {key!r}. Keep one row per id.")
    blocks = [_features(cells, name, source) for name, cells in columns.items()]
    made = np.concatenate([block for block in blocks if block.size] or [np.zeros((len(rows), 0))], axis=1)
    if not made.shape[1]:
        raise DataError(f"{source} has no column of numbers or of repeated categories besides {key!r}.")
    known = ids[: len(ids) - new]
    if not rows.keys() & set(known):
        raise DataError(
            f"{source}: none of the {len(rows)} ids in {key!r}, such as {next(iter(rows), '')!r}, is among the "
            f"{len(known)} of the interactions, such as {known[0]!r}: 0 % match. Use the same format: 12, not 12.0 "
            "or 012."
        )
    features = np.zeros((len(ids) + 1, made.shape[1]), np.float32)
    for number, name in enumerate(ids, start=1):
        if name in rows:
            features[number] = made[rows[name]]
    return features


def ids_with_features(source: str, key: str) -> list[str]:
    """The ids that a file of features has rows for, in its order. Raises DataError."""
    return [text for text in (str(value).strip() for value in _columns(source).get(key, [])) if text]


def inspect_features(source: str, key: str) -> tuple[set[str], list[str]]:
    """The ids that a file of features has rows for, and remarks on its columns. Raises DataError."""
    columns, remarks = _columns(source), list[str]()
    ids = {str(value).strip() for value in columns.pop(key, [])}
    for name, cells in columns.items():
        _, bad = _numbers([*map(_text, cells)])
        filled = sum(not is_missing_number(_text(cell)) for cell in cells)
        if bad and len(bad) < filled / 2:  # of texts a few may be numbers too
            named = ", ".join(f"{_text(cells[row])!r:.40}" for row in bad[:3])
            taken = "count as empty" if _few(len(bad), filled) else "make the column categorical"
            remarks.append(
                f"{source}, column {name!r}: {len(bad)} of {filled} cells are not numbers and {taken}: {named}"
            )
    return ids, remarks


def _columns(source: str) -> dict[str, list[Any]]:
    path = Path(source).expanduser()
    if path.suffix.lower() == ".parquet":
        with open_parquet(path, source) as file:
            names = file.schema_arrow.names
            cells: dict[str, list[Any]] = {name: [] for name in names}
            for part in iterate_batches(file, names, source):
                for name in names:
                    cells[name] += part[name]
            return cells
    if not is_delimited(path, DEFAULT_OPTIONS):
        raise DataError(f"features must be a csv, tsv or parquet file. Received: {source!r}.")
    with open_records(path, source, DEFAULT_OPTIONS) as records:
        rows = [record for _, record in records.rows]
        return {name: [record[place] for record in rows] for place, name in enumerate(records.header)}


def _features(cells: list[Any], name: str, source: str) -> np.ndarray:
    """(rows, any) of one column."""
    texts = [*map(_text, cells)]
    numbers, bad = _numbers(texts)
    if bad:
        if all(is_missing_number(text) or comma_hint(text) for text in texts):
            raise DataError(f"{source}, column {name!r}: numbers have decimal commas. Use decimal points.")
        if not _few(len(bad), sum(not is_missing_number(text) for text in texts)):
            return _words(texts)
    there = np.isfinite(numbers)
    if not there.any() or not numbers[there].std():
        return np.zeros((len(cells), 0))
    return np.where(there, (numbers - numbers[there].mean()) / numbers[there].std(), 0.0)[:, None]


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _numbers(texts: list[str]) -> tuple[np.ndarray, list[int]]:
    """(rows,) float64, NaN where there is none, and the places of what is neither a number nor empty.

    Where several numbers stand in one cell, `1|7`, all cells are words.
    """
    made, bad = np.full(len(texts), np.nan), list[int]()
    for row, text in enumerate(texts):
        if not is_missing_number(text):
            try:
                made[row] = float(text)
            except ValueError:
                bad.append(row)
    if any(_LIST.fullmatch(texts[row]) for row in bad):
        bad = [row for row, text in enumerate(texts) if not is_missing_number(text)]
    return made, bad


_LIST = re.compile(r"\d+([|\s]+\d+)+")


def _few(bad: int, filled: int) -> bool:
    """Whether so many cells that are no numbers leave a column one of numbers."""
    return bad <= max(1 if filled > 2 else 0, filled / 10)


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
