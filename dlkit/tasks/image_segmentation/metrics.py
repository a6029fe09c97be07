"""Metrics of masks, from the confusion matrix of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlkit.errors import DataError
from dlkit.tasks.image_segmentation.mask_png import IGNORE_CLASS, decode_mask


def score_masks(
    true_masks: Iterable[bytes], predicted_masks: Iterable[bytes], class_names: Sequence[str]
) -> dict[str, Any]:
    """Compute metrics over all pixels of all masks, as Pascal VOC does. Pixels of the true class 255 are ignored.

    Args:
        true_masks: true mask of each row, as PNG.
        predicted_masks: predicted mask of each row, as PNG of the same size. One pair is decoded at a time.
        class_names: names of the class ids, in order.

    Returns:
        `mean_iou` and `mean_dice`, over the classes that occur in true or predicted masks; `pixel_accuracy`;
        `baseline_mean_iou`, of predicting the most frequent class everywhere; `rows`, `pixels`; `per_class` with iou,
        dice and pixels; `confusion`, pixels by true (rows) and predicted class (columns).
    """
    confusion, rows = np.zeros((len(class_names), len(class_names)), np.int64), 0
    for true, predicted in zip(true_masks, predicted_masks, strict=True):
        confusion += count_confusion(decode_mask(true), decode_mask(predicted), len(class_names))
        rows += 1
    hits, true_counts, predicted_counts = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    both, pixels = true_counts + predicted_counts, int(confusion.sum())
    iou, dice = hits / np.maximum(both - hits, 1), 2 * hits / np.maximum(both, 1)
    return {
        "mean_iou": _mean(iou[both > 0]),
        "mean_dice": _mean(dice[both > 0]),
        "pixel_accuracy": float(hits.sum() / max(pixels, 1)),
        "baseline_mean_iou": float(true_counts.max() / max(pixels, 1) / max(int((true_counts > 0).sum()), 1)),
        "rows": rows,
        "pixels": pixels,
        "per_class": {
            name: {"iou": float(iou[number]), "dice": float(dice[number]), "pixels": int(true_counts[number])}
            for number, name in enumerate(class_names)
        },
        "confusion": {"labels": list(class_names), "counts": confusion.tolist()},
    }


def compute_ious(
    true: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]
) -> tuple[dict[str, float], float | None]:
    """Compute the intersection over union of one mask.

    Args:
        true, predicted: (height, width) class ids.
        class_names: names of the class ids, in order.

    Returns:
        A dict from the names of the classes that occur to their IoU, and the fraction of correct pixels, None if no
        pixel is valid.
    """
    counts = count_confusion(true, predicted, len(class_names))
    hits, union = np.diag(counts), counts.sum(axis=0) + counts.sum(axis=1) - np.diag(counts)
    by_class = {name: float(hits[number] / union[number]) for number, name in enumerate(class_names) if union[number]}
    return by_class, float(hits.sum() / counts.sum()) if counts.any() else None


def count_confusion(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        true, predicted: (height, width) class ids.
        num_classes: number of classes.

    Returns:
        (num_classes, num_classes) int64.

    Raises:
        DataError: the shapes differ.
    """
    if true.shape != predicted.shape:
        raise DataError(f"a predicted mask has shape {predicted.shape}, the true one {true.shape}. They must match.")
    valid = true != IGNORE_CLASS
    pairs = true[valid].astype(np.int64) * num_classes + predicted[valid]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
