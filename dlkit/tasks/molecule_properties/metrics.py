"""Metrics of predicted properties, each over the molecules whose value is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def score_regression(
    names: Sequence[str], truth: np.ndarray, answers: Mapping[str, Any], means: Sequence[float]
) -> dict[str, Any]:
    """Compute metrics of predicted values, in the units of the data.

    Args:
        names: of the targets.
        truth: (rows, targets), NaN where a value is unknown.
        answers: `predictions`, `lower` and `upper`, (rows, targets) each, and `in_domain`, (rows,).
        means: mean of each target in the training data, the baseline.

    Returns:
        `r2`, the mean over targets of the coefficient of determination, and `baseline_r2`, that of the means of the
        training data; `coverage`, the share of the values that lie in their interval; `in_domain`, the mean similarity
        to the training data; `rows`; `per_target`, with `rmse`, `mae`, `r2`, `baseline_rmse`, `coverage`, the mean
        `interval_width` and `rows`. For a single target, its metrics are at the top, too. A metric without a value
        is NaN.
    """
    predicted, lower, upper = (np.array(answers[name], np.float64) for name in ("predictions", "lower", "upper"))
    per_target: dict[str, dict[str, Any]] = {}
    baselines, covered = [], []
    for target, name in enumerate(names):
        known = np.isfinite(truth[:, target])
        true, guess = truth[known, target].astype(np.float64), predicted[known, target]
        within = (true >= lower[known, target]) & (true <= upper[known, target])
        covered.append(within)
        baselines.append(_r2(true, np.full(len(true), means[target])))
        per_target[name] = {
            "rmse": _mean((true - guess) ** 2) ** 0.5,
            "mae": _mean(np.abs(true - guess)),
            "r2": _r2(true, guess),
            "baseline_rmse": _mean((true - means[target]) ** 2) ** 0.5,
            "coverage": _mean(within),
            "interval_width": _mean(upper[known, target] - lower[known, target]),
            "rows": int(known.sum()),
        }
    metrics = {
        "r2": _mean_known([each["r2"] for each in per_target.values()]),
        "baseline_r2": _mean_known(baselines),
        "coverage": _mean(np.concatenate(covered)),
        "in_domain": _mean(np.array(answers["in_domain"])),
    }
    single = next(iter(per_target.values())) if len(names) == 1 else {}
    return {**single, **metrics, "rows": len(truth), "per_target": per_target}


def score_classification(names: Sequence[str], truth: np.ndarray, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Compute metrics of predicted probabilities.

    Args:
        names: of the targets.
        truth: (rows, targets), 0 or 1, NaN where a label is unknown.
        answers: `scores`, (rows, targets), and `in_domain`, (rows,).

    Returns:
        `auc`, the mean over targets of the area under the ROC curve, and `baseline_auc`, 0.5; `log_loss`, in nats a
        label; `in_domain`; `rows`; and `per_target`, with `auc`, `accuracy`, `log_loss`, the share of `positives` and
        `rows`. For a single target, its metrics are at the top, too. A metric without a value is NaN.
    """
    scores = np.array(answers["scores"], np.float64)
    per_target: dict[str, dict[str, Any]] = {}
    losses = []
    for target, name in enumerate(names):
        known = np.isfinite(truth[:, target])
        true, guess = truth[known, target] > 0.5, scores[known, target]
        losses.append(-np.log(np.clip(np.where(true, guess, 1 - guess), 1e-7, 1)))
        per_target[name] = {
            "auc": roc_auc(true, guess),
            "accuracy": _mean((guess >= 0.5) == true),
            "log_loss": _mean(losses[-1]),
            "positives": _mean(true),
            "rows": int(known.sum()),
        }
    metrics = {
        "auc": _mean_known([each["auc"] for each in per_target.values()]),
        "baseline_auc": 0.5,
        "log_loss": _mean(np.concatenate(losses)),
        "in_domain": _mean(np.array(answers["in_domain"])),
    }
    single = next(iter(per_target.values())) if len(names) == 1 else {}
    return {**single, **metrics, "rows": len(truth), "per_target": per_target}


def roc_auc(true: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve: the chance that a positive scores higher than a negative.

    Ties count half. NaN if there are no positives or no negatives.

    Examples:
        >>> roc_auc(np.array([True, False, True, False]), np.array([0.9, 0.1, 0.5, 0.5]))
        0.875
    """
    positives = int(true.sum())
    negatives = len(true) - positives
    if not positives or not negatives:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # from 1; tied scores share the mean of theirs
    total = float(ranks[places][true].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _mean_known(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _r2(true: np.ndarray, guess: np.ndarray) -> float:
    """Return the coefficient of determination; NaN for fewer than two different values."""
    total = float(((true - true.mean()) ** 2).sum()) if len(true) else 0.0
    return 1 - float(((true - guess) ** 2).sum()) / total if total > 0 else float("nan")
