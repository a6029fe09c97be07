"""Tables of interactions, and the rows of users that are made from them."""

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


class InteractionId(Id):
    """An id in a table of interactions; rows without one are skipped."""

    kind = "id"
    may_be_missing = True


COLUMNS: dict[str, Column] = {
    "user_id": InteractionId(),
    "item_id": InteractionId(aliases=("movie_id",)),
    "rating": Rating(optional=True, aliases=("user_rating",)),
    "timestamp": Timestamp(optional=True),
}


class InteractionReader(Reader):
    """Reads tables of interactions as rows of users."""

    def source(self, source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        if "target_items" in columns:
            return read_users(source, columns, how)
        return read_requests(source, columns, how)


reader = InteractionReader()
MAX_EXAMPLES = 3  # rows that a remark names


@dataclass
class Interactions:
    """Interactions, at most one per pair of user and item, sorted by user and time.

    Attributes:
        source: name of the source.
        user_ids: ids of the users as in the source, in the order of their first interactions.
        item_ids: ids of the items, likewise.
        user: (interactions,) int32, indices into `user_ids`.
        item: (interactions,) int32, indices into `item_ids`.
        rating: (interactions,) float32, NaN where there is no rating; None if the source has no ratings.
        timestamp: (interactions,) float64, seconds or any other unit; None if the source has no timestamps.
        row: (interactions,) int64, indices of the rows in the source.
        all_timestamps: (rows,) float64, timestamps of all rows of the source, including repeated pairs, or None.
        remarks: messages about what was changed.
    """

    source: str
    user_ids: list[Any]
    item_ids: list[Any]
    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray | None
    timestamp: np.ndarray | None
    row: np.ndarray
    all_timestamps: np.ndarray | None
    remarks: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.user)

    def starts(self) -> np.ndarray:
        """Return the index of each user's first interaction, and the number of interactions: (users + 1,) int."""
        return np.searchsorted(self.user, np.arange(len(self.user_ids) + 1))

    def columns(self, mask: np.ndarray) -> dict[str, list]:
        """Return some interactions as a dict of columns: `user_id`, `item_id` and, if any, `rating`, `timestamp`.

        Args:
            mask: (interactions,) bool.
        """
        columns = {
            "user_id": [self.user_ids[index] for index in self.user[mask]],
            "item_id": [self.item_ids[index] for index in self.item[mask]],
        }
        for name, values in (("rating", self.rating), ("timestamp", self.timestamp)):
            if values is not None:
                columns[name] = values[mask].tolist()
        return columns


class Histories(Sequence):
    """The items of each user, the oldest first, or their ratings: a sequence of lists that are created on access.

    Args:
        values: the distinct values.
        indices: (interactions,) int, indices into `values`.
        starts: (users + 1,) int, index of each user's first interaction.
    """

    def __init__(self, values: Sequence[Any], indices: np.ndarray, starts: np.ndarray):
        self._values, self._indices, self._starts = values, indices, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def flat(self) -> np.ndarray:
        """Return the values of all lists, concatenated."""
        return np.asarray(self._values)[self._indices]

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row %= len(self)
        return [self._values[index] for index in self._indices[self._starts[row] : self._starts[row + 1]]]


def read_interactions(
    source: Any,
    how: ReadOptions = DEFAULT_OPTIONS,
    *,
    keep: Literal["last", "first", "all"] = "last",
    require_ratings: bool = False,
) -> Interactions:
    """Read a table of interactions, `user_id, item_id[, rating][, timestamp]`; files are read in parts.

    Interactions of a user at the same time are sorted by a hash of user and item, so that a shuffled file gives the
    same result. They are not sorted by id, since ids are often assigned in an order from which a network would learn
    the next item.

    Rows with an empty id or timestamp are skipped, counted and reported.

    Args:
        source: what to read, as `dlkit.data.read.read` takes it.
        how: how it is read.
        keep: which interactions of a repeated pair of user and item are kept: the last one by timestamp or, without
            timestamps, in the source; the first one; or all.
        require_ratings: whether rows without a rating are skipped, too; otherwise their rating is missing.

    Raises:
        DataError: the source cannot be read.

    Examples:
        >>> read_interactions({"user_id": ["a", "a"], "item_id": [7, 8], "timestamp": [2, 1]}).item.tolist()
        [1, 0]
    """
    user_indices: dict[Any, int] = {}
    item_indices: dict[Any, int] = {}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    source_name = ""
    remarks = list[str]()
    num_rows, reasons = 0, list[str]()
    num_unrated, unrated_rows = 0, list[str]()
    for table in read_chunks(source, COLUMNS, how):
        source_name = table.source
        remarks += table.remarks
        num_rows += len(table)
        table = _drop_incomplete_rows(table, reasons, require_ratings)
        if not len(table):
            continue
        for name, indices in (("user_id", user_indices), ("item_id", item_indices)):
            parts[name].append(_encode_ids(table, name, indices))
        if "rating" in table.columns:
            parse = _parse_numbers if require_ratings else _parse_optional_ratings
            parts["rating"].append(parse(table, "rating"))
        if "timestamp" in table.columns:
            parts["timestamp"].append(_parse_numbers(table, "timestamp"))
        if "rating" in table.columns and not require_ratings:
            unrated = np.flatnonzero(np.isnan(parts["rating"][-1]))
            num_unrated += len(unrated)
            unrated_rows += [table.where(int(row)) for row in unrated[: MAX_EXAMPLES - len(unrated_rows)]]
    if not user_indices:
        first_reason = f" The first bad one: {reasons[0]}" if reasons else ""
        raise DataError(f"{source_name or source} has no rows. Expected at least one interaction.{first_reason}")
    for name, arrays in parts.items():
        if 0 < len(arrays) < len(parts["user_id"]):
            raise DataError(
                f"{source}: the column {name!r} is missing in some files. It must be in all of them, or in none."
            )
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items() if arrays}
    user, user_ids = _merge_equal_ids(joined["user_id"], list(user_indices))
    item, item_ids = _merge_equal_ids(joined["item_id"], list(item_indices))
    rating, timestamp = joined.get("rating"), joined.get("timestamp")
    interactions = _sort_interactions(source_name, user_ids, item_ids, user, item, rating, timestamp, keep)
    remarks += report_skipped(reasons, num_rows, "rows", how.strict)
    if num_unrated:
        examples = "; ".join(unrated_rows)
        examples += f"; and {num_unrated - MAX_EXAMPLES} more" if num_unrated > MAX_EXAMPLES else ""
        remarks.append(f"{num_unrated} of {num_rows} ratings are not numbers and are treated as missing: {examples}")
    interactions.remarks = [*remarks, *interactions.remarks]
    return interactions


def read_users(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read a row for each user: `user_id`, `history`, `target_items` and `target_ratings`.

    All items of a table of interactions are target items, and the histories are empty. A dict of columns, a DataFrame
    or a list of dicts may contain such rows themselves; only `target_items` is required.

    Raises:
        DataError: the source cannot be read.
    """
    rename = how.rename
    rows = _read_rows_in_memory(source, columns, rename)
    if rows is not None:
        return rows
    known = {**COLUMNS, **columns}
    for name in rename:
        if name not in known:
            raise DataError(f"there is no column {name!r} to rename. There are: {', '.join(known)}.")
    renamed = {name: column for name, column in rename.items() if name in COLUMNS}
    interactions = read_interactions(source, dataclasses.replace(how, rename=renamed))
    histories = Histories(interactions.item_ids, interactions.item, interactions.starts())
    users: dict[str, Any] = {
        "user_id": interactions.user_ids,
        "history": [[]] * len(histories),
        "target_items": histories,
    }
    if interactions.rating is not None:
        ratings, indices = np.unique(interactions.rating, return_inverse=True)
        users["target_ratings"] = Histories(ratings.tolist(), indices, interactions.starts())
    return _table_of_users(interactions, {name: users[name] for name in columns if name in users})


def read_requests(source: Any, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
    """Read a row for each user of a table of interactions, with the items of the user as `history`.

    Returns:
        The rows; None for a table of users, which already has a row for each user: `user_id`, `history`, or both.

    Raises:
        DataError: the source cannot be read, or has none of these columns.
    """
    header = {to_nfc(name) for name in header_of(source, how)}
    has = {
        name: not header.isdisjoint(map(to_nfc, [how.rename.get(name, name), *column.aliases]))
        for name, column in {**COLUMNS, "history": columns["history"]}.items()
    }
    if has["item_id"] and not has["history"]:
        rename = {name: column for name, column in how.rename.items() if name in COLUMNS}
        interactions = read_interactions(source, dataclasses.replace(how, rename=rename))
        histories = Histories(interactions.item_ids, interactions.item, interactions.starts())
        if has["rating"]:
            interactions.remarks.append("each item is treated as a positive interaction, regardless of its rating")
        return _table_of_users(interactions, {"user_id": interactions.user_ids, "history": histories})
    if not has["user_id"] and not has["history"]:
        raise DataError(
            f"{str(source)[:200] if isinstance(source, (str, os.PathLike)) else 'the table'} has no column "
            f"'user_id'. Columns found: {quote_names(sorted(header))}. Expected a table of users (user_id or history "
            f"or both) or of interactions (user_id and item_id). Map it with {option('columns', {'user_id': 'NAME'})}."
        )
    return None


def _table_of_users(interactions: Interactions, columns: dict[str, Any]) -> Table:
    def where(row: int) -> str:
        return f"{interactions.source}, user {interactions.user_ids[row]!r}"

    return Table(interactions.source, columns, where, remarks=list(interactions.remarks))


def _read_rows_in_memory(source: Any, columns: Mapping[str, Column], rename: Mapping[str, str]) -> Table | None:
    """Read rows of users from a dict of columns, a DataFrame or a list of dicts; None for anything else."""
    source_names = {name: rename.get(name, name) for name in columns}
    values = named_values(source)
    if values is None or not {rename.get(name, name) for name in ("history", "target_items")} & set(values):
        return None
    optional = ("user_id", "history", "target_ratings")
    missing = [key for name, key in source_names.items() if key not in values and name not in optional]
    if missing:
        raise DataError(f"users need the columns {', '.join(source_names.values())}. There is no {missing[0]!r}.")
    found = {name: as_sequence(values[key], name) for name, key in source_names.items() if key in values}
    count = len(next(iter(found.values())))
    if not count or any(len(column) != count for column in found.values()):
        listed = ", ".join(f"{name}: {len(column)}" for name, column in found.items())
        raise DataError(f"rows of users: the columns must have the same length, at least 1. Received: {listed}.")
    found = {name: found.get(name, [""] * count) for name in columns if name in found or name != "target_ratings"}
    return Table("the rows of users", found, lambda row: f"the rows of users, index {row}")


def _drop_incomplete_rows(table: Table, reasons: list[str], require_ratings: bool) -> Table:
    """Return the rows without empty cells, and append the reason for each dropped row to `reasons`."""
    dropped: dict[int, str] = {}
    for name, cells in table.columns.items():
        if name == "rating" and not require_ratings:
            continue
        is_missing = is_missing_number if name in ("rating", "timestamp") else _is_empty_id
        try:
            distinct = set(cells.tolist() if isinstance(cells, np.ndarray) else cells)
        except TypeError:  # not hashable, thus not ids: the column raises a better error
            continue
        if any(map(is_missing, distinct)):
            for row in (row for row, cell in enumerate(cells) if is_missing(cell)):
                dropped.setdefault(row, f"{table.where(row)}: the {name} is empty.")
    if not dropped:
        return table
    reasons += [dropped[row] for row in sorted(dropped)]
    return table.take([row for row in range(len(table)) if row not in dropped])


def _is_empty_id(cell: Any) -> bool:
    return cell is None or cell != cell or (isinstance(cell, (str, bytes)) and not cell.strip())


def _encode_ids(table: Table, name: str, indices: dict[Any, int]) -> np.ndarray:
    """Return the index of each id, (rows,) int32; new ids are added to `indices`."""
    codes = np.empty(len(table), np.int32)
    for row, value in enumerate(table.columns[name]):
        try:
            code = indices.get(value)
        except TypeError:  # not hashable, thus not an id: the column raises a better error
            code = None
        if code is None:
            if not table.raw(row, {name: COLUMNS[name]})[name]:
                raise DataError(f"{table.where(row)}: the id in column {name!r} is empty. Set it, or remove the row.")
            code = indices[value] = len(indices)
        codes[row] = code
    return codes


def _parse_numbers(table: Table, name: str) -> np.ndarray:
    try:
        numbers = np.asarray(table.columns[name], np.float64)
    except (TypeError, ValueError):  # dates, or invalid values
        numbers = np.array(table.raw_column(name, COLUMNS[name]), np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise DataError(f"{table.where(row)}: the {name} is not a finite number. Set it, or remove the row.")
    return numbers


def _parse_optional_ratings(table: Table, name: str) -> np.ndarray:
    """Parse ratings; NaN for cells that are not finite numbers."""
    cells = table.columns[name]
    try:
        ratings = np.array(cells, np.float64)
    except (TypeError, ValueError):
        ratings = np.array([_parse_optional_rating(cell) for cell in cells])
    ratings[~np.isfinite(ratings)] = np.nan
    return ratings


def _parse_optional_rating(cell: Any) -> float:
    try:
        return float(Rating().raw(cell))
    except DataError:
        return float("nan")


def _merge_equal_ids(indices: np.ndarray, ids: list[Any]) -> tuple[np.ndarray, list[Any]]:
    """Merge ids that are equal as texts, as 3 and "3"; the first one is kept."""
    index_of_text: dict[bytes, int] = {}
    merged: list[Any] = []
    new_index = np.empty(len(ids), np.int32)
    for index, value in enumerate(ids):
        raw = Id().raw(value)
        if raw not in index_of_text:
            index_of_text[raw] = len(merged)
            merged.append(value.decode() if isinstance(value, bytes) else value)
        new_index[index] = index_of_text[raw]
    return new_index[indices], merged


def _sort_interactions(
    source: str,
    user_ids: list,
    item_ids: list,
    user: np.ndarray,
    item: np.ndarray,
    rating: np.ndarray | None,
    timestamp: np.ndarray | None,
    keep: str,
) -> Interactions:
    row = np.arange(len(user))
    if timestamp is None:
        order = np.lexsort((row, user))
    else:  # repeated pairs at the same time are sorted by rating
        rating_key = row if rating is None else np.nan_to_num(rating, nan=-np.inf)
        order = np.lexsort((row, rating_key, _pair_hash(user_ids, item_ids)(user, item), timestamp, user))
    pairs = user[order].astype(np.int64) * len(item_ids) + item[order]
    positions = np.arange(len(pairs)) if keep == "first" else np.arange(len(pairs))[::-1]
    _, unique = np.unique(pairs[positions], return_index=True)
    kept = order if keep == "all" else order[np.sort(positions[unique])]
    num_repeated = len(user) - len(kept)
    remarks = list[str]()
    if num_repeated:
        remarks.append(
            f"{num_repeated} of {len(user)} interactions repeat a pair of user and item: the {keep} one is used"
        )
    num_tied = 0 if timestamp is None else _count_last_ties(user[kept], timestamp[kept])
    if num_tied:
        remarks.append(
            f"{num_tied} of {len(user_ids)} users have several last items with the same timestamp: ties are broken by "
            "a hash of user and item, independent of the order of the source"
        )
    return Interactions(
        source,
        user_ids,
        item_ids,
        user[kept],
        item[kept],
        None if rating is None or np.isnan(rating).all() else rating[kept].astype(np.float32),
        None if timestamp is None else timestamp[kept],
        kept,
        timestamp,
        remarks,
    )


def _pair_hash(user_ids: Sequence[Any], item_ids: Sequence[Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function from user and item indices to a uint64 hash of both ids (splitmix64 of their CRC-32)."""
    user_hash, item_hash = (
        np.fromiter((zlib.crc32(Id().raw(value)) for value in ids), np.uint64, len(ids)) for ids in (user_ids, item_ids)
    )

    def pair_hash(user: np.ndarray, item: np.ndarray) -> np.ndarray:
        x = (user_hash[user] << np.uint64(32)) | item_hash[item]
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        return x ^ (x >> np.uint64(31))

    return pair_hash


def _count_last_ties(user: np.ndarray, timestamp: np.ndarray) -> int:
    """Count the users whose last two interactions have the same timestamp."""
    last = np.append(user[1:] != user[:-1], True)[1:]
    return int(np.sum(last & (user[1:] == user[:-1]) & (timestamp[1:] == timestamp[:-1])))
