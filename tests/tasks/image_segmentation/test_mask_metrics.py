"""Metrics of masks, on answers worked out by hand."""

import numpy as np
import pytest

from dlkit.errors import DataError
from dlkit.tasks.image_segmentation.mask_png import encode_mask
from dlkit.tasks.image_segmentation.metrics import score_masks

KNOWN = ["sky", "road", "car"]
TRUE = np.array([[0, 0, 0, 0], [1, 1, 1, 255]], np.uint8)
ANSWERED = np.array([[0, 0, 0, 1], [1, 1, 0, 2]], np.uint8)


def score(*pairs):
    return score_masks([encode_mask(true) for true, _ in pairs], [encode_mask(given) for _, given in pairs], KNOWN)


def test_by_hand():
    metrics = score((TRUE, ANSWERED))
    # sky: 3 hits of 4 true and 4 predicted; road: 2 of 3 and 3; the car was predicted where nothing counts
    assert metrics["per_class"]["sky"] == {"iou": pytest.approx(3 / 5), "dice": pytest.approx(6 / 8), "pixels": 4}
    assert metrics["per_class"]["road"] == {"iou": pytest.approx(2 / 4), "dice": pytest.approx(4 / 6), "pixels": 3}
    assert metrics["per_class"]["car"] == {"iou": 0, "dice": 0, "pixels": 0}
    assert metrics["mean_iou"] == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert metrics["mean_dice"] == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert metrics["pixel_accuracy"] == pytest.approx(5 / 7)
    assert metrics["baseline_mean_iou"] == pytest.approx(4 / 7 / 2)
    assert metrics["confusion"] == {"labels": KNOWN, "counts": [[3, 1, 0], [1, 2, 0], [0, 0, 0]]}
    assert (metrics["rows"], metrics["pixels"]) == (1, 7)


def test_the_baseline_is_what_always_the_most_frequent_class_scores():
    metrics = score((TRUE, np.zeros_like(TRUE)))
    assert metrics["mean_iou"] == pytest.approx(metrics["baseline_mean_iou"])


def test_a_class_that_is_predicted_and_nowhere_true_counts():
    metrics = score((TRUE, np.where(TRUE == 1, 2, TRUE % 255).astype(np.uint8)))
    assert metrics["mean_iou"] == pytest.approx(1 / 3)


def test_a_perfect_answer_scores_one():
    metrics = score((TRUE, np.where(TRUE == 255, 2, TRUE).astype(np.uint8)))
    for name in ("mean_iou", "mean_dice", "pixel_accuracy"):
        assert metrics[name] == pytest.approx(1.0), name


def test_rows_of_other_sizes_are_one_count_of_pixels():
    other = np.full((1, 9), 1, np.uint8)
    together, first, second = score((TRUE, ANSWERED), (other, other)), score((TRUE, ANSWERED)), score((other, other))
    sums = np.array(first["confusion"]["counts"]) + second["confusion"]["counts"]
    assert together["confusion"]["counts"] == sums.tolist()


def test_nothing_that_counts_scores_nothing():
    assert score((np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8)))["mean_iou"] == 0


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(DataError, match="They must match"):
        score((TRUE, ANSWERED[:1]))
