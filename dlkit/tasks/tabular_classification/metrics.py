"""Metrics of scores: how well they rank, and whether they are probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 15  # of the calibration error


def score_probabilities(true: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Compute metrics of the scores of all labels.

    Args:
        true: (rows,) int, number of the true label.
        scores: (rows, labels), which sum to 1.

    Returns:
        `auc`: area under the ROC curve; with more than two labels, the mean over the labels of each against the rest.
        None if only one label occurs. `calibration_error`: expected calibration error of the best label, of 15 bins of
        its score with equal numbers of rows (Naeini et al., 2015).

    Examples:
        >>> score_probabilities(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))["auc"]
        1.0
    """
    labels = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    areas = [area for label in labels if (area := _auc(true == label, scores[:, label])) is not None]
    best, right = scores.max(axis=1), scores.argmax(axis=1) == true
    parts = np.array_split(np.argsort(best, kind="stable"), min(BINS, len(best)))
    error = sum(len(rows) * abs(best[rows].mean() - right[rows].mean()) for rows in parts) / len(best)
    return {"auc": float(np.mean(areas)) if areas else None, "calibration_error": float(error)}


def _auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Return the probability that a positive row has a higher score than another, ties counting half."""
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return None
    _, where, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))
