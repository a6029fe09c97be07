"""Metrics of recommended items, over the whole catalogue, and of predicted ratings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

NAMES = ("ndcg", "hit_rate", "recall", "precision", "mrr")


def rank_metrics(wanted: Collection[Any], recommended: Sequence[Any], k: int) -> dict[str, float]:
    """How good one list of recommendations is, its first k items.

    `ndcg`: gains of 1 discounted by log2(1 + place), over the most that k places could give (Järvelin and Kekäläinen,
    2002). `hit_rate`: whether any is wanted. `recall`: the share of the wanted that is there. `precision`: the share of
    the k places that is wanted. `mrr`: 1 over the first wanted one's place.
    """
    wanted = set(wanted)
    places = [place for place, item in enumerate(recommended[:k]) if item in wanted]
    best = sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))
    return {
        "ndcg": float(sum(1 / np.log2(place + 2) for place in places) / best),
        "hit_rate": float(bool(places)),
        "recall": len(places) / len(wanted),
        "precision": len(places) / k,
        "mrr": 1 / (places[0] + 1) if places else 0.0,
    }


def score_items(
    wanted: Sequence[Collection[Any]], recommended: Mapping[str, Sequence[Sequence[Any]]], k: int, items: int
) -> dict[str, Any]:
    """The means over users of `rank_metrics`, and the share of all items that is recommended to anyone.

    Users of whom nothing is wanted do not count.

    Args:
        wanted: the held-out items of each user, whether or not the model knows them.
        recommended: lists of items by the prefix of their metrics' names: "" for the model's.
        k: how many of each list count.
        items: size of the catalogue.
    """
    counted = [row for row, held in enumerate(wanted) if len(held)]
    metrics: dict[str, Any] = {}
    for prefix, lists in recommended.items():
        rows = [rank_metrics(wanted[row], lists[row], k) for row in counted]
        for name in NAMES:
            metrics[f"{prefix}{name}"] = float(np.mean([row[name] for row in rows])) if rows else 0.0
        shown = {item for row in counted for item in lists[row][:k]}
        metrics[f"{prefix}coverage"] = len(shown) / items
    return {**metrics, "k": k, "users": len(counted)}


def score_ratings(true: Sequence[float], predicted: Sequence[float], usual: float) -> dict[str, Any]:
    """Errors of predicted ratings, and of always the usual one: `rmse`, `mae` and `r2`, the share of variance."""
    ratings = np.asarray(true, np.float64)
    spread = float(((ratings - ratings.mean()) ** 2).mean())
    metrics: dict[str, Any] = {}
    for prefix, answers in (("", np.asarray(predicted, np.float64)), ("baseline_", np.full(len(ratings), usual))):
        errors = ratings - answers
        squared = float((errors**2).mean())
        metrics[f"{prefix}rmse"] = squared**0.5
        metrics[f"{prefix}mae"] = float(np.abs(errors).mean())
        metrics[f"{prefix}r2"] = 1 - squared / spread if spread else 0.0
    return {**metrics, "ratings": len(ratings)}
