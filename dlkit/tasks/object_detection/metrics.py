"""Average precision of detections, by COCO's evaluator."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

COCO_MAX_DETECTIONS = (1, 10, 100)  # numbers of detections per image at which COCO computes recall
ANY_CLASS = "any class"
MATCH_IOU = 0.5  # minimum IoU of a detection with its object
CONFIDENT_SCORE = 0.5  # minimum score of detections that are counted as true or false positives
AREAS = {"all": 0, "small": 1, "medium": 2, "large": 3}  # small: below 32 x 32 pixels; large: above 96 x 96


def score_objects(targets: dict[str, list], answers: dict[str, list], class_names: Sequence[str]) -> dict[str, Any]:
    """Compute COCO's metrics of all detections, not only of the best 100 per image.

    Lin et al., 2014, arXiv:1405.0312; by pycocotools.

    Args:
        targets: `boxes`, (n, 5) of each row, ymin, xmin, ymax, xmax in pixels and whether it is a crowd; `labels`, (n,)
            bytes of each row.
        answers: `boxes`, (max_detections, 4), `labels`, (max_detections,) bytes, `scores`, (max_detections,), and
            `num_detections`, (), of each row.
        class_names: all class names.

    Returns:
        `AP`, mean over classes and IoU thresholds from 0.5 to 0.95; `AP50`, `AP75`; `AP_small`, `AP_medium`, `AP_large`
        if there are objects of that size; `AR1`, `AR10`, `AR100`, recall with that number of detections per image, and
        with all if there may be more (`AR300`); `AP_class_agnostic` and `AP50_class_agnostic`, as if there were one
        class, if there are several; `baseline_AP50`, of predicting the median box for every image; `per_class` with AP,
        AP50 and objects; `precision_recall`, precision at 101 recalls from 0 to 1 and an IoU of 0.5, mean over classes.
        Only `rows` and `objects` if there are no objects. If there are images without objects: their number
        `empty_images`, the mean number of detections on them, `false_positives_per_empty_image`, and the fraction of
        them with a detection of a score of at least 0.5, `empty_image_false_positive_rate`.
    """
    detections = [_detections(row, answers) for row in range(len(answers["boxes"]))]
    counts = {
        "rows": len(detections),
        "objects": sum(map(len, targets["labels"])),
        **_empty_image_metrics(targets, detections),
    }
    if not counts["objects"]:
        return counts
    max_detections = max(COCO_MAX_DETECTIONS[-1], *(len(boxes) for boxes in answers["boxes"]))
    evaluation = _evaluate(targets, detections, class_names, max_detections)
    precision = evaluation["precision"]  # (IoU thresholds, recalls, classes, areas, numbers of detections)
    metrics = _summary(evaluation, max_detections)
    if len(class_names) > 1:
        agnostic = [_class_agnostic_detections(row) for row in detections]
        evaluation = _evaluate(_class_agnostic_targets(targets), agnostic, [ANY_CLASS], max_detections)
        summary = _summary(evaluation, max_detections)
        metrics |= {f"{name}_class_agnostic": summary[name] for name in ("AP", "AP50")}
    objects = _count_objects(targets, class_names)
    baseline = _evaluate(targets, _median_box_baseline(targets), class_names, max_detections)
    metrics["baseline_AP50"] = _mean(baseline["precision"][0, :, :, 0, -1])
    return {
        **metrics,
        **counts,
        "objects": int(sum(objects)),
        "per_class": {
            name: {
                "AP": _mean(precision[:, :, number, 0, -1]),
                "AP50": _mean(precision[0, :, number, 0, -1]),
                "objects": int(objects[number]),
            }
            for number, name in enumerate(class_names)
        },
        "precision_recall": [_mean(precision[0, recall, :, 0, -1]) for recall in range(precision.shape[1])],
    }


def match_boxes(
    answer: dict[str, Any], boxes: np.ndarray, labels: Sequence[str]
) -> tuple[list[float | None], list[bool]]:
    """Match detections with objects at an IoU of 0.5 as COCO does, in order of descending score.

    Args:
        answer: `boxes`, `labels` and `scores` of one image.
        boxes: (n, 5) true boxes, ymin, xmin, ymax, xmax in pixels and whether it is a crowd.
        labels: labels of the true boxes.

    Returns:
        The IoU of each detection with its object of the same label, None without a match; and whether the detection
        lies in a crowd of its label instead, and counts neither as correct nor as wrong.
    """
    count = len(answer["boxes"])
    ious: list[float | None] = [None] * count
    in_crowd, matched = [False] * count, np.zeros(len(boxes), bool)
    for index in np.argsort(-np.asarray(answer["scores"], float), kind="stable"):
        same_label = np.array([label == answer["labels"][index] for label in labels], bool)
        candidate_ious = _iou(np.asarray(answer["boxes"][index], float), boxes) * same_label
        unmatched = np.where(matched | (boxes[:, 4] > 0), 0.0, candidate_ious)
        if len(unmatched) and unmatched.max() >= MATCH_IOU:
            matched[unmatched.argmax()] = True
            ious[index] = float(unmatched.max())
        else:
            in_crowd[index] = bool(((candidate_ious >= MATCH_IOU) & (boxes[:, 4] > 0)).any())
    return ious, in_crowd


def _iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Compute the IoU of a box with other boxes, (n,); with a crowd, intersection over the area of the box."""
    intersection = np.maximum(np.minimum(box[2:], boxes[:, 2:4]) - np.maximum(box[:2], boxes[:, :2]), 0).prod(1)
    area, areas = (box[2:] - box[:2]).prod(), (boxes[:, 2:4] - boxes[:, :2]).prod(1)
    return intersection / np.maximum(np.where(boxes[:, 4] > 0, area, area + areas - intersection), 1e-9)


def _detections(row: int, answers: dict[str, list]) -> list[tuple[np.ndarray, bytes, float]]:
    count = int(answers["num_detections"][row])
    boxes, labels, scores = (answers[name][row][:count] for name in ("boxes", "labels", "scores"))
    return [(np.asarray(box), label, float(score)) for box, label, score in zip(boxes, labels, scores, strict=True)]


def _median_box_baseline(targets: dict[str, list]) -> list[list[tuple[np.ndarray, bytes, float]]]:
    boxes = [box[:4] for boxes in targets["boxes"] for box in boxes]
    labels = [label for labels in targets["labels"] for label in labels]
    if not boxes:
        return [[] for _ in targets["boxes"]]
    median, frequent = np.median(boxes, axis=0), max(set(labels), key=labels.count)
    return [[(median, frequent, 1.0)] for _ in targets["boxes"]]


def _empty_image_metrics(targets: dict[str, list], detections: list[list[tuple]]) -> dict[str, Any]:
    """Compute false positives on images without objects, which AP ignores for classes without objects."""
    empty = [found for boxes, found in zip(targets["boxes"], detections, strict=True) if not len(boxes)]
    if not empty:
        return {}
    return {
        "empty_images": len(empty),
        "false_positives_per_empty_image": float(np.mean([len(found) for found in empty])),
        "empty_image_false_positive_rate": float(
            np.mean([any(score >= CONFIDENT_SCORE for *_, score in row) for row in empty])
        ),
    }


def _class_agnostic_targets(targets: dict[str, list]) -> dict[str, list]:
    """Give all objects one class."""
    return {"boxes": targets["boxes"], "labels": [[ANY_CLASS.encode()] * len(labels) for labels in targets["labels"]]}


def _class_agnostic_detections(detections: list[tuple]) -> list[tuple]:
    return [(box, ANY_CLASS.encode(), score) for box, _, score in detections]


def _evaluate(
    targets: dict[str, list], detections: list[list[tuple]], class_names: Sequence[str], max_detections: int
) -> dict[str, np.ndarray]:
    """Run COCO's evaluator. Returns its arrays `precision` and `recall`, -1 where undefined."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    index = {name.encode(): number for number, name in enumerate(class_names, start=1)}
    images = [{"id": row} for row in range(len(detections))]
    categories = [{"id": number, "name": name} for name, number in index.items()]
    annotations: list[dict[str, Any]] = []
    for row, (boxes, labels) in enumerate(zip(targets["boxes"], targets["labels"], strict=True)):
        for box, label in zip(boxes, labels, strict=True):
            annotations.append(_coco_entry(len(annotations) + 1, row, box, index[label]) | {"iscrowd": int(box[4])})
    results: list[dict[str, Any]] = []
    for row, found in enumerate(detections):
        for box, label, score in found:
            results.append(_coco_entry(len(results) + 1, row, box, index[label]) | {"score": score, "iscrowd": 0})
    with contextlib.redirect_stdout(io.StringIO()):  # the evaluator prints its progress
        truth, predicted = COCO(), COCO()
        truth.dataset = {"images": images, "categories": categories, "annotations": annotations}
        predicted.dataset = {"images": images, "categories": categories, "annotations": results}
        truth.createIndex()
        predicted.createIndex()
        evaluator = COCOeval(truth, predicted, "bbox")
        evaluator.params.maxDets = sorted({*COCO_MAX_DETECTIONS, max_detections})
        evaluator.evaluate()
        evaluator.accumulate()
    return {name: evaluator.eval[name] for name in ("precision", "recall")}


def _coco_entry(number: int, row: int, box: np.ndarray, category: int) -> dict[str, Any]:
    top, left, bottom, right = (float(side) for side in box[:4])
    width, height = right - left, bottom - top
    return {
        "id": number,
        "image_id": row,
        "category_id": category,
        "bbox": [left, top, width, height],
        "area": width * height,
    }


def _summary(evaluation: dict[str, np.ndarray], max_detections: int) -> dict[str, float]:
    precision, recall = evaluation["precision"], evaluation["recall"]
    metrics = {
        "AP": _mean(precision[:, :, :, 0, -1]),
        "AP50": _mean(precision[0, :, :, 0, -1]),
        "AP75": _mean(precision[5, :, :, 0, -1]),
    }
    for area in ("small", "medium", "large"):
        area_precision = precision[:, :, :, AREAS[area], -1]
        if (area_precision > -1).any():
            metrics[f"AP_{area}"] = _mean(area_precision)
    for index, count in enumerate(sorted({*COCO_MAX_DETECTIONS, max_detections})):
        metrics[f"AR{count}"] = _mean(recall[:, :, 0, index])
    return metrics


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else 0.0


def _count_objects(targets: dict[str, list], class_names: Sequence[str]) -> list[int]:
    index = {name.encode(): number for number, name in enumerate(class_names)}
    counts = [0] * len(class_names)
    for boxes, labels in zip(targets["boxes"], targets["labels"], strict=True):
        for box, label in zip(boxes, labels, strict=True):
            counts[index[label]] += not box[4]
    return counts
