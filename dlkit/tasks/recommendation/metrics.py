"""Ranking metrics over the whole item catalog, and metrics of predicted ratings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

RANKING_METRICS = ("ndcg", "hit_rate", "recall", "precision", "mrr")


def compute_list_metrics(relevant: Collection[Any], recommended: Sequence[Any], k: int) -> dict[str, float]:
    """Compute the ranking metrics of one list of recommendations at cutoff k.

    `ndcg`: binary gains discounted by log2(1 + rank), divided by the best value that k ranks allow (Järvelin and
    Kekäläinen, 2002). `hit_rate`: 1 if any recommended item is relevant. `recall`: fraction of the relevant items that
    is recommended. `precision`: fraction of the k recommendations that is relevant. `mrr`: reciprocal rank of the first
    relevant item.

    Args:
        relevant: the held-out items of a user, at least one.
        recommended: the recommended items, the best first.
        k: number of recommendations that count.

    Examples:
        >>> compute_list_metrics({"a", "b"}, ["x", "a"], k=2)["precision"]
        0.5
    """
    relevant = set(relevant)
    ranks = [rank for rank, item in enumerate(recommended[:k], start=1) if item in relevant]
    ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return {
        "ndcg": float(sum(1 / np.log2(rank + 1) for rank in ranks) / ideal),
        "hit_rate": float(bool(ranks)),
        "recall": len(ranks) / len(relevant),
        "precision": len(ranks) / k,
        "mrr": 1 / ranks[0] if ranks else 0.0,
    }


def compute_ranking_metrics(
    relevant: Sequence[Collection[Any]], recommended: Mapping[str, Sequence[Sequence[Any]]], k: int, num_items: int
) -> dict[str, Any]:
    """Compute the means over users of `compute_list_metrics`, and the catalog coverage.

    Users without relevant items are not counted.

    Args:
        relevant: the held-out items of each user, whether or not the model knows them.
        recommended: the recommendations of each user, by the prefix of their metrics' names: "" for the model.
        k: number of recommendations per user that count.
        num_items: size of the item catalog.

    Returns:
        The metrics with their prefixes; `coverage`, the fraction of the catalog that is recommended to any user; `k`
        and `users`, the number of users that are counted.
    """
    counted = [row for row, items in enumerate(relevant) if len(items)]
    metrics: dict[str, Any] = {}
    for prefix, lists in recommended.items():
        rows = [compute_list_metrics(relevant[row], lists[row], k) for row in counted]
        for name in RANKING_METRICS:
            metrics[f"{prefix}{name}"] = float(np.mean([row[name] for row in rows])) if rows else 0.0
        covered = {item for row in counted for item in lists[row][:k]}
        metrics[f"{prefix}coverage"] = len(covered) / num_items
    return {**metrics, "k": k, "users": len(counted)}


def compute_rating_metrics(true: Sequence[float], predicted: Sequence[float], mean_rating: float) -> dict[str, Any]:
    """Compute `rmse`, `mae` and `r2` of predicted ratings, and of a baseline that predicts the mean training rating.

    Args:
        true: the true ratings.
        predicted: the predicted ratings.
        mean_rating: the mean rating of the training data.
    """
    ratings = np.asarray(true, np.float64)
    variance = float(((ratings - ratings.mean()) ** 2).mean())
    metrics: dict[str, Any] = {}
    baseline = np.full(len(ratings), mean_rating)
    for prefix, predictions in (("", np.asarray(predicted, np.float64)), ("baseline_", baseline)):
        errors = ratings - predictions
        mse = float((errors**2).mean())
        metrics[f"{prefix}rmse"] = mse**0.5
        metrics[f"{prefix}mae"] = float(np.abs(errors).mean())
        metrics[f"{prefix}r2"] = 1 - mse / variance if variance else 0.0
    return {**metrics, "ratings": len(ratings)}
