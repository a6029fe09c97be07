"""Metrics of masks, from counts of pixels by true and answered class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlkit.errors import DataError
from dlkit.tasks.image_segmentation.mask_png import NO_CLASS, decode_mask


def score_masks(truth: Iterable[bytes], answers: Iterable[bytes], known: Sequence[str]) -> dict[str, Any]:
    """Metrics over all pixels together, as in Pascal VOC; those of no class, 255, are left out.

    Args:
        truth: the true mask of each row, as PNG.
        answers: the answered masks, as PNG, of the same sizes. One pair at a time is decoded.
        known: the names of the class ids, in their order.

    Returns:
        `mean_iou` and `mean_dice`, over the classes that are true or answered anywhere; `pixel_accuracy`;
        `baseline_mean_iou`, of always the most frequent class; `rows`, `pixels`; `per_class` with iou, dice and
        pixels; `confusion`, pixels by true and columns by answered class.
    """
    confusion, rows = np.zeros((len(known), len(known)), np.int64), 0
    for true, answered in zip(truth, answers, strict=True):
        confusion += count_pairs(decode_mask(true), decode_mask(answered), len(known))
        rows += 1
    hits, trues, given = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    seen, pixels = trues + given > 0, int(confusion.sum())
    iou, dice = hits / np.maximum(trues + given - hits, 1), 2 * hits / np.maximum(trues + given, 1)
    return {
        "mean_iou": _mean(iou[seen]),
        "mean_dice": _mean(dice[seen]),
        "pixel_accuracy": float(hits.sum() / max(pixels, 1)),
        "baseline_mean_iou": float(trues.max() / max(pixels, 1) / max(int((trues > 0).sum()), 1)),
        "rows": rows,
        "pixels": pixels,
        "per_class": {
            name: {"iou": float(iou[number]), "dice": float(dice[number]), "pixels": int(trues[number])}
            for number, name in enumerate(known)
        },
        "confusion": {"labels": list(known), "counts": confusion.tolist()},
    }


def ious(true: np.ndarray, answered: np.ndarray, known: Sequence[str]) -> tuple[dict[str, float], float | None]:
    """Intersection over union of one mask, by the names of the classes that are true or answered, and the share of
    right pixels; None where no pixel counts."""
    counts = count_pairs(true, answered, len(known))
    hits, union = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1) - np.diag(counts)
    shares = {name: float(hits[number] / union[number]) for number, name in enumerate(known) if union[number]}
    return shares, float(hits.sum() / counts.sum()) if counts.any() else None


def count_pairs(true: np.ndarray, answered: np.ndarray, classes: int) -> np.ndarray:
    """Pixels by true and answered class: (height, width) integers each to (classes, classes) int64."""
    if true.shape != answered.shape:
        raise DataError(f"a predicted mask has shape {answered.shape}, the true one {true.shape}. They must match.")
    counts = true != NO_CLASS
    pairs = true[counts].astype(np.int64) * classes + answered[counts]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
