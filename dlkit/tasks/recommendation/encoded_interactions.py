"""The user and item vocabularies of a recommender, and the interactions of its training data as integers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import Id, is_missing_number
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tasks.recommendation.columns import Ratings, parse_item_ids
from dlkit.tasks.recommendation.implicit_feedback import align_ratings, compute_weights, is_positive


@dataclass
class EncodedInteractions:
    """Users and items with their numbers in the graph, from 1. Items are sorted by popularity.

    Attributes:
        user_ids: ids of the users.
        item_ids: ids of the items; cold items, without interactions, come last.
        histories: for each user, (any,) int32, numbers of the positive items, the oldest first.
        anonymous_histories: the same for rows without a user id.
        disliked: for each user, (any,) int32, numbers of other items, which the user rated below the minimum rating.
        weights: for each of `histories` and then of `anonymous_histories`, (any,) float32, weights of the interactions.
        counts: (1 + items,) int64, number of interactions of each item; padding first.
        weighted_counts: (1 + items,) float64, sum of their weights, by which items are sorted.
        integer_item_ids: whether all item ids of the interactions are integers.
        num_cold_items: number of cold items.
    """

    user_ids: list[str]
    item_ids: list[str]
    histories: list[np.ndarray]
    anonymous_histories: list[np.ndarray]
    disliked: list[np.ndarray]
    weights: list[np.ndarray]
    counts: np.ndarray
    weighted_counts: np.ndarray
    integer_item_ids: bool
    num_cold_items: int

    def frequencies(self) -> np.ndarray:
        """Compute the fraction of each item in all interactions, (1 + items,) float32."""
        return (self.counts / self.counts.sum()).astype(np.float32)

    def popularity(self) -> np.ndarray:
        """Compute the weighted fraction of each item in all interactions, (1 + items,) float32."""
        return (self.weighted_counts / self.weighted_counts.sum()).astype(np.float32)


def encode_interactions(
    table: Table,
    min_rating: float | None = None,
    mean_rating: float | None = None,
    item_ids_with_features: Iterable[str] = (),
) -> EncodedInteractions:
    """Build the vocabularies from rows of users and encode their interactions.

    The items of a row are its `history` followed by its `target_items`; an item that occurs several times counts at its
    last position.

    Args:
        table: rows of users, optionally with `target_ratings`.
        min_rating: minimum rating of a positive interaction; None if every interaction is positive.
        mean_rating: rating whose weight is 1, to which others are proportional; None for equal weights.
        item_ids_with_features: ids of further items to include, as cold items. Items that users have interacted with
            but nobody liked are not included.

    Raises:
        DataError: a cell is not a list of ids, or no row has a positive item.
    """
    codes_of_items: dict[Any, int] = {}
    codes_of_ids: dict[bytes, int] = {}
    rows: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    anonymous_rows: list[tuple[np.ndarray, np.ndarray]] = []
    disliked: dict[bytes, list[bytes]] = {}
    empty = np.zeros(0, np.int32), np.zeros(0, np.float32)

    def encode(item: Any) -> int:
        if item not in codes_of_items:
            codes_of_items[item] = codes_of_ids.setdefault(Id().raw(item), len(codes_of_ids))
        return codes_of_items[item]

    for number in range(len(table)):
        user = table.raw(number, {"user_id": Id()})["user_id"]
        history, target_items = (table.columns[name][number] for name in ("history", "target_items"))
        no_history = not isinstance(history, (str, bytes)) and is_missing_number(history)
        history = [] if no_history else _list_ids(history, table.where, number)
        target_items = _list_ids(target_items, table.where, number)
        ratings = table.raw(number, {"target_ratings": Ratings(optional=True, default=())})["target_ratings"]
        ratings = align_ratings(ratings, len(target_items), table.where(number))
        positive = is_positive(ratings, min_rating)
        items = [*history, *itertools.compress(target_items, positive)]
        if user and not positive.all():
            disliked.setdefault(user, []).extend(map(Id().raw, itertools.compress(target_items, ~positive)))
        weights = np.concatenate([np.ones(len(history)), compute_weights(ratings[positive], mean_rating)])
        weights = weights.astype(np.float32)
        earlier = rows.get(user, empty) if user else empty
        codes = np.concatenate([earlier[0], np.array([encode(item) for item in items], np.int32)])
        weights = np.concatenate([earlier[1], weights])
        _, last = np.unique(codes[::-1], return_index=True)
        kept = np.sort(len(codes) - 1 - last)
        if user:
            rows[user] = codes[kept], weights[kept]
        else:
            anonymous_rows.append((codes[kept], weights[kept]))
    if not codes_of_ids:
        raise DataError(f"{table.source}: no row has an item. Expected ids in `target_items`.")
    all_rows = [*rows.values(), *anonymous_rows]
    all_codes = np.concatenate([codes for codes, _ in all_rows])
    counts = np.bincount(all_codes, minlength=len(codes_of_ids))
    all_weights = np.concatenate([weights for _, weights in all_rows])
    weighted_counts = np.bincount(all_codes, all_weights, len(codes_of_ids))
    ids = list(codes_of_ids)
    order = sorted(range(len(ids)), key=lambda item: (-weighted_counts[item], ids[item]))
    numbers = np.empty(len(ids), np.int32)
    numbers[order] = np.arange(1, len(ids) + 1)
    seen = codes_of_ids.keys() | {item for items in disliked.values() for item in items}
    cold = [item for item in dict.fromkeys(item_ids_with_features) if item.encode() not in seen]
    disliked_codes = [
        [codes_of_ids[item] for item in dict.fromkeys(disliked.get(user, ())) if item in codes_of_ids] for user in rows
    ]
    return EncodedInteractions(
        user_ids=[user.decode() for user in rows],
        item_ids=[ids[item].decode() for item in order] + cold,
        histories=[numbers[codes] for codes, _ in rows.values()],
        anonymous_histories=[numbers[codes] for codes, _ in anonymous_rows],
        disliked=[numbers[codes] if codes else empty[0] for codes in disliked_codes],
        weights=[weights for _, weights in all_rows],
        counts=np.concatenate([[0], counts[order], np.zeros(len(cold))]).astype(np.int64),
        weighted_counts=np.concatenate([[0], weighted_counts[order], np.zeros(len(cold))]),
        integer_item_ids=all(isinstance(item, (int, np.integer)) for item in codes_of_items),
        num_cold_items=len(cold),
    )


def _list_ids(value: Any, where: Callable[[int], str], row: int) -> list[Any]:
    """Return the ids of a cell, without empty ones."""
    if isinstance(value, (str, bytes)):
        value = parse_item_ids(value.decode() if isinstance(value, bytes) else value)
    if value is None or not hasattr(value, "__iter__"):
        raise DataError(f"{where(row)}: expected a list of item ids. Received: {value!r:.60}.")
    return [item for item in value if item is not None and item not in ("", b"")]
