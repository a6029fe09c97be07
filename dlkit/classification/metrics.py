"""Metrics of ranked labels against true ones."""

from __future__ import annotations

from typing import Any

import numpy as np

EPSILON = 1e-7  # scores are float32: a smaller one says no more than this


def score_single(truth: list[bytes], answers: dict[str, list], known: list[str]) -> dict[str, Any]:
    """Metrics where each row has one label.

    Args:
        truth: the true label of each row.
        answers: `label`: (rows,); `labels`, `scores`: (rows, listed), best first.
        known: all labels.

    Returns:
        `accuracy`; `top_5_accuracy`, if five or more are listed of more; `log_loss` (nats per row), if all are
        listed; `macro_f1`, over the labels that rows have or get; `baseline_accuracy`, of always the most frequent
        label; `rows`; `per_class` with precision, recall, f1 and rows; `confusion`, rows by true and columns by
        answered label.
    """
    index = {name.encode(): number for number, name in enumerate(known)}
    true = np.array([index[name] for name in truth])
    ranked = np.array([[index[name] for name in names] for names in answers["labels"]])
    scores = np.array(answers["scores"], dtype=np.float64)
    confusion = np.zeros((len(known), len(known)), dtype=int)
    np.add.at(confusion, (true, ranked[:, 0]), 1)
    metrics = {"accuracy": float((ranked[:, 0] == true).mean())}
    if len(known) > 5 and ranked.shape[1] >= 5:
        metrics["top_5_accuracy"] = float((ranked[:, :5] == true[:, None]).any(axis=1).mean())
    if ranked.shape[1] == len(known):
        of_true = scores[ranked == true[:, None]]
        metrics["log_loss"] = float(-np.log(np.clip(of_true, EPSILON, 1)).mean())
    per_class = {}
    for number, name in enumerate(known):
        hits = confusion[number, number]
        per_class[name] = _f1(hits, confusion[:, number].sum() - hits, confusion[number].sum() - hits)
    metrics["macro_f1"] = _macro_f1(confusion.sum(axis=0) + confusion.sum(axis=1), per_class)
    metrics["baseline_accuracy"] = float(np.bincount(true).max() / len(true))
    return {
        **metrics,
        "rows": len(true),
        "per_class": per_class,
        "confusion": {"labels": known, "counts": confusion.tolist()},
    }


def score_multi(truth: list[list[bytes]], answers: dict[str, list], known: list[str]) -> dict[str, Any]:
    """Metrics where each row has any number of labels.

    Args:
        truth: the true labels of each row.
        answers: `labels`, `scores`: (rows, listed), best first; `num_labels`: (rows,), how many hold.
        known: all labels.

    Returns:
        `micro_f1` over all (row, label) pairs; `macro_f1`, its mean over the labels that rows have or get;
        `exact_match`, rows with all labels right; `hamming_loss`, the share of wrong pairs; `log_loss` (nats per pair),
        if all are listed; `baseline_micro_f1`, of always answering the labels that most rows carry, or else the most
        frequent one; `rows`; `per_class`.
    """
    index = {name.encode(): number for number, name in enumerate(known)}
    true = np.zeros((len(truth), len(known)), dtype=bool)
    answered, scores = np.zeros_like(true), np.zeros(true.shape)
    for row, names in enumerate(truth):
        true[row, [index[name] for name in names]] = True
        ranked = [index[name] for name in answers["labels"][row]]
        answered[row, ranked[: answers["num_labels"][row]]] = True
        scores[row, ranked] = answers["scores"][row]
    frequent = true.mean(axis=0) >= 0.5
    if not frequent.any():
        frequent[true.sum(axis=0).argmax()] = True
    per_class = {name: _f1(*_pairs(true[:, n], answered[:, n])) for n, name in enumerate(known)}
    metrics = {
        "micro_f1": _f1(*_pairs(true, answered))["f1"],
        "macro_f1": _macro_f1(true.sum(axis=0) + answered.sum(axis=0), per_class),
        "exact_match": float((true == answered).all(axis=1).mean()),
        "hamming_loss": float((true != answered).mean()),
        "baseline_micro_f1": _f1(*_pairs(true, np.broadcast_to(frequent, true.shape)))["f1"],
        "rows": len(true),
        "per_class": per_class,
    }
    if len(answers["labels"][0]) == len(known):
        of_true = np.clip(np.where(true, scores, 1 - scores), EPSILON, 1)
        metrics["log_loss"] = float(-np.log(of_true).mean())
    return metrics


def _macro_f1(occurs: np.ndarray, per_class: dict[str, dict[str, float]]) -> float:
    """The mean F1 of the labels that occur, as scikit-learn's: one that no row has or gets has none."""
    values = np.array([each["f1"] for each in per_class.values()])[occurs > 0]
    return float(values.mean()) if len(values) else 0.0


def _pairs(true: np.ndarray, answered: np.ndarray) -> tuple[int, int, int]:
    return int((true & answered).sum()), int((~true & answered).sum()), int((true & ~answered).sum())


def _f1(hits: int, false_alarms: int, misses: int) -> dict[str, float]:
    answered, present = hits + false_alarms, hits + misses
    return {
        "precision": float(hits / answered) if answered else 0.0,
        "recall": float(hits / present) if present else 0.0,
        "f1": float(2 * hits / (answered + present)) if answered + present else 0.0,
        "rows": int(present),
    }
