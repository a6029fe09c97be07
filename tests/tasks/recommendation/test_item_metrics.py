"""Metrics of recommendations by hand."""

import math

import numpy as np
import pytest

from dlkit.tasks.recommendation.metrics import compute_list_metrics, compute_ranking_metrics, compute_rating_metrics


def test_one_list_by_hand():
    found = compute_list_metrics({"a", "b", "c"}, ["x", "a", "c", "y", "b"], 4)
    best = 1 + 1 / math.log2(3) + 1 / 2
    assert found == pytest.approx(
        {
            "ndcg": (1 / math.log2(3) + 1 / 2) / best,
            "hit_rate": 1.0,
            "recall": 2 / 3,
            "precision": 2 / 4,
            "mrr": 1 / 2,
        }
    )
    assert set(compute_list_metrics({"a"}, ["x", "y"], 2).values()) == {0.0}
    assert compute_list_metrics({"a"}, ["a"], 10)["ndcg"] == 1.0
    assert compute_list_metrics(set("abc"), ["a", "b"], 2)["ndcg"] == 1.0  # two places, two gains


def test_ndcg_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    for _ in range(20):
        gains, scores = random.integers(0, 2, 30), random.permutation(30)
        gains[0] = 1
        ranked = np.argsort(-scores)
        found = compute_list_metrics(np.flatnonzero(gains).tolist(), ranked.tolist(), 10)
        assert found["ndcg"] == pytest.approx(metrics.ndcg_score([gains], [scores], k=10))


def test_users_without_relevant_items_are_not_counted():
    metrics = compute_ranking_metrics([["a"], []], {"": [["a", "b"], ["c"]], "baseline_": [["b"], ["a"]]}, 2, 4)
    assert (metrics["ndcg"], metrics["baseline_ndcg"], metrics["users"], metrics["coverage"]) == (1.0, 0.0, 1, 0.5)


def test_ratings_by_hand():
    metrics = compute_rating_metrics([1, 3], [2, 3], 2.0)
    assert metrics["rmse"] == pytest.approx(0.5**0.5)
    assert (metrics["mae"], metrics["baseline_rmse"], metrics["r2"], metrics["baseline_r2"]) == (0.5, 1.0, 0.5, 0.0)
