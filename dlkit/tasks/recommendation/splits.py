"""Train/test splits of interactions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal, Unpack

import numpy as np

from dlkit.data.read_options import ReadKeywords, ReadOptions
from dlkit.errors import DataError, HparamError
from dlkit.hparams import nearest
from dlkit.tasks.recommendation.interactions import Interactions, read_interactions


def leave_last_out(interactions: Interactions, seed: int = 0) -> np.ndarray:
    """Select the last item of each user with at least two items as the test part (leave-one-out by time).

    Without timestamps, the last one in the source. Ties in time are broken by a hash of user and item, independent of
    the order of the source.

    Args:
        interactions: the interactions.
        seed: not used.

    Returns:
        (interactions,) bool, True in the test part.
    """
    del seed
    ends = interactions.starts()[1:]
    counts = np.diff(interactions.starts())
    test = np.zeros(len(interactions), bool)
    test[ends[counts > 1] - 1] = True
    return test


def per_user_random_75_25(interactions: Interactions, seed: int = 0) -> np.ndarray:
    """Select a random quarter of each user's items as the test part.

    The same split as `python_stratified_split` of Microsoft's Recommenders, for which results are published: the same
    rows for the same seed, in the order of the source.

    Args:
        interactions: the interactions.
        seed: random seed.

    Returns:
        (interactions,) bool, True in the test part.
    """
    starts = interactions.starts()
    test = np.zeros(len(interactions), bool)
    for start, stop in itertools.pairwise(starts):
        rows = start + np.argsort(interactions.row[start:stop])
        # RandomState: its stream does not change between NumPy releases.
        shuffled = rows[np.random.RandomState(seed).permutation(len(rows))]
        test[shuffled[round(0.75 * len(rows)) :]] = True
    return test


def random_80_20(interactions: Interactions, seed: int = 0) -> np.ndarray:
    """Select a random fifth of all interactions as the test part, as usual for rating prediction.

    The same split as `train_test_split` of Surprise: the same rows for the same seed, in the order of the source.

    Args:
        interactions: the interactions.
        seed: random seed.

    Returns:
        (interactions,) bool, True in the test part.
    """
    test = np.zeros(len(interactions), bool)
    shuffled = np.random.RandomState(seed).permutation(len(interactions))
    test[np.argsort(interactions.row)[shuffled[: -(-len(interactions) // 5)]]] = True
    return test


def temporal_80_20(interactions: Interactions, seed: int = 0) -> np.ndarray:
    """Select the last fifth of all interactions by timestamp as the test part.

    No training interaction is later than a test interaction.

    Args:
        interactions: the interactions, with timestamps.
        seed: not used.

    Returns:
        (interactions,) bool, True in the test part.

    Raises:
        DataError: there are no timestamps.
    """
    del seed
    if interactions.timestamp is None or interactions.all_timestamps is None:
        raise DataError(f"{interactions.source} has no column 'timestamp', which the split temporal_80_20 needs.")
    # All rows of the source, including repeated pairs: which of them repeats is only known in the future.
    timestamps = np.sort(interactions.all_timestamps)
    return interactions.timestamp >= timestamps[round(0.8 * len(timestamps))]


SPLITS: dict[str, Callable[[Interactions, int], np.ndarray]] = {
    "leave_last_out": leave_last_out,
    "per_user_random_75_25": per_user_random_75_25,
    "random_80_20": random_80_20,
    "temporal_80_20": temporal_80_20,
}


def split_interactions(
    source: Any,
    split: str,
    *,
    seed: int = 0,
    columns: dict[str, str] | None = None,
    data_dir: str | None = None,
    allow_repeats: bool = False,
    require_ratings: bool = False,
    **options: Unpack[ReadKeywords],
) -> tuple[dict[str, list], dict[str, list]]:
    """Split interactions into a training and a test part.

    Without `allow_repeats`, only the first interaction of each pair of user and item counts, so that no pair is in both
    parts. A fitted task knows the training items of its users, so that the test part alone is enough for `evaluate`.

    Args:
        source: a table of interactions, as `dlkit.data.read.read` takes it.
        split: "leave_last_out", "per_user_random_75_25", "random_80_20" or "temporal_80_20".
        seed: random seed.
        columns: the table's own names of `user_id`, `item_id`, `rating` and `timestamp`, where they differ.
        data_dir: folder of TensorFlow Datasets.
        allow_repeats: whether each interaction of a repeated pair counts.
        require_ratings: whether rows without a rating are dropped.
        **options: how the source is read, as `dlkit.data.read.read` takes them.

    Returns:
        Two dicts of columns, for training and for testing.

    Raises:
        HparamError: there is no such split.
        DataError: the source cannot be read, or a part would be empty.

    Examples:
        >>> table = {"user_id": ["a", "a", "b", "b"], "item_id": [1, 2, 1, 3]}
        >>> train, test = split_interactions(table, "leave_last_out")
        >>> test
        {'user_id': ['a', 'b'], 'item_id': [2, 3]}
    """
    if split not in SPLITS:
        raise HparamError(f"there is no split {split!r}. {nearest(split, SPLITS)}")
    how = ReadOptions(columns or {}, data_dir, **options)
    keep: Literal["all", "first"] = "all" if allow_repeats else "first"
    interactions = read_interactions(source, how, keep=keep, require_ratings=require_ratings)
    test = SPLITS[split](interactions, seed)
    if test.all() or not test.any():
        raise DataError(f"{interactions.source} is too small for {split}: a part would be empty.")
    return interactions.columns(~test), interactions.columns(test)
