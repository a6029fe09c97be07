"""COCO's metrics of detections, on answers worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pycocotools")
from dlkit.data.table import Table
from dlkit.tasks.object_detection.boxes import ObjectRows
from dlkit.tasks.object_detection.metrics import match_boxes, score_objects

KNOWN = ["cat", "dog"]


def answers(*rows, most=5):
    found = {"boxes": [], "labels": [], "scores": [], "num_detections": []}
    for row in rows:
        boxes, labels, scores = np.zeros((most, 4), np.float32), [b""] * most, np.zeros(most, np.float32)
        for place, (box, label, score) in enumerate(row):
            boxes[place], labels[place], scores[place] = box, label, score
        for name, value in (("boxes", boxes), ("labels", labels), ("scores", scores), ("num_detections", len(row))):
            found[name].append(value)
    return found


def targets(*rows):
    return {
        "boxes": [np.float32([box for box, _ in row]).reshape(-1, 5) for row in rows],
        "labels": [[label for _, label in row] for row in rows],
    }


TRUE = targets([([0, 0, 10, 10, 0], b"cat"), ([20, 20, 60, 70, 0], b"dog")], [], [([5, 5, 25, 45, 0], b"cat")])


def test_a_perfect_detector_scores_one():
    perfect = answers(
        [([0, 0, 10, 10], b"cat", 0.9), ([20, 20, 60, 70], b"dog", 0.8)], [], [([5, 5, 25, 45], b"cat", 0.7)]
    )
    metrics = score_objects(TRUE, perfect, KNOWN)
    for name in ("AP", "AP50", "AP75", "AR100", "AP_small", "AP_medium"):
        assert metrics[name] == pytest.approx(1.0), name
    assert "AP_large" not in metrics
    assert (metrics["rows"], metrics["objects"]) == (3, 3)
    assert metrics["per_class"]["cat"] == {"AP": 1.0, "AP50": 1.0, "objects": 2}
    assert min(metrics["precision_recall"]) == pytest.approx(1.0)
    assert metrics["baseline_AP50"] < 0.5


def test_a_false_positive_before_the_only_hit_halves_the_precision():
    found = answers([([20, 20, 60, 70], b"dog", 0.5)], [([0, 0, 9, 9], b"dog", 0.9)], [])
    metrics = score_objects(TRUE, found, KNOWN)
    assert metrics["per_class"]["dog"]["AP50"] == pytest.approx(0.5)
    assert metrics["per_class"]["cat"]["AP50"] == 0
    assert metrics["AP50"] == pytest.approx(0.25)
    assert metrics["AR100"] == pytest.approx(0.5)


def test_an_overlap_of_six_tenths_counts_below_it_only():
    found = answers([([20, 20, 60, 50], b"dog", 0.5)], [], [])  # 40 x 30 of 40 x 50
    metrics = score_objects(TRUE, found, KNOWN)
    assert metrics["per_class"]["dog"]["AP50"] == pytest.approx(1.0)
    assert metrics["per_class"]["dog"]["AP"] == pytest.approx(0.3)  # 0.5, 0.55 and 0.6 of ten


def test_a_crowd_is_neither_hit_nor_missed():
    true = targets([([0, 0, 100, 100, 1], b"cat"), ([0, 0, 10, 10, 0], b"cat")])
    found = answers([([0, 0, 10, 10], b"cat", 0.5), ([50, 50, 70, 70], b"cat", 0.9)])
    assert score_objects(true, found, KNOWN)["AP50"] == pytest.approx(1.0)


def test_no_answers_at_all_score_nothing():
    metrics = score_objects(TRUE, answers([], [], []), KNOWN)
    assert metrics["AP"] == metrics["AR100"] == 0


def test_more_than_100_answers_of_an_image_count():
    boxes = [[20 * (n // 15), 20 * (n % 15), 20 * (n // 15) + 12, 20 * (n % 15) + 12] for n in range(150)]
    true = targets([([*box, 0], b"cat") for box in boxes])
    found = answers([(box, b"cat", 0.9 - n / 1000) for n, box in enumerate(boxes)], most=300)
    metrics = score_objects(true, found, ["cat"])
    assert metrics["AP"] == metrics["AP50"] == metrics["AR300"] == pytest.approx(1.0)
    assert metrics["AR100"] == pytest.approx(100 / 150)
    assert "AR300" not in score_objects(TRUE, answers([], [], []), KNOWN)


def test_false_positives_on_images_without_objects():
    nothing = targets([], [], [])
    found = answers([([0, 0, 9, 9], b"cat", 0.9), ([5, 5, 9, 9], b"dog", 0.2)], [([0, 0, 9, 9], b"dog", 0.4)], [])
    assert score_objects(nothing, found, KNOWN) == {
        "rows": 3,
        "objects": 0,
        "empty_images": 3,
        "false_positives_per_empty_image": 1.0,
        "empty_image_false_positive_rate": 1 / 3,
    }
    among = score_objects(TRUE, answers([], [([0, 0, 9, 9], b"dog", 0.9)], []), KNOWN)
    assert (among["empty_images"], among["empty_image_false_positive_rate"]) == (1, 1.0)


def test_a_score_that_ignores_classes():
    found = answers(
        [([0, 0, 10, 10], b"dog", 0.9), ([20, 20, 60, 70], b"cat", 0.8)], [], [([5, 5, 25, 45], b"cat", 0.7)]
    )
    metrics = score_objects(TRUE, found, KNOWN)
    assert metrics["AP50"] < 0.6
    assert metrics["AP50_class_agnostic"] == metrics["AP_class_agnostic"] == pytest.approx(1.0)


def test_each_box_finds_the_object_it_ious_most_the_best_scores_first():
    boxes = np.float32([[0, 0, 10, 10, 0], [20, 20, 60, 70, 0], [0, 80, 40, 120, 1]])
    labels = ["cat", "dog", "dog"]
    answer = {
        "boxes": [[0, 0, 10, 5], [0, 0, 10, 9], [20, 20, 60, 50], [20, 20, 60, 60], [5, 85, 15, 95], [0, 0, 10, 10]],
        "labels": ["cat", "cat", "dog", "cat", "dog", "dog"],
        "scores": [0.6, 0.9, 0.3, 0.8, 0.7, 0.55],
    }
    ious, in_crowd = match_boxes(answer, boxes, labels)
    # The first comes after the second, which has the cat; the fourth is no cat; the fifth lies in a crowd of dogs.
    assert ious == [None, pytest.approx(0.9), pytest.approx(0.6), None, None, None]
    assert in_crowd == [False, False, False, False, True, False]
    assert match_boxes({"boxes": [], "labels": [], "scores": []}, boxes, labels) == ([], [])
    alone = {"boxes": [[0, 0, 1, 1]], "labels": ["cat"], "scores": [1.0]}
    assert match_boxes(alone, np.zeros((0, 5), np.float32), []) == ([None], [False])
    rows = ObjectRows(SimpleNamespace(max_sample_=0, transparency="white"), Table("a", {"image": [b""]}, str))
    target = {"boxes": boxes, "labels": [label.encode() for label in labels]}
    (made,) = rows.with_errors(0, target, answer)
    assert (made["true_positives"], made["false_negatives"], made["false_positives"]) == (
        1,
        1,
        3,
    )  # at 0.5; the crowd counts for nothing
