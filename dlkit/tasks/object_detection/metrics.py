"""Average precision of detections, by COCO's own evaluator."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

ALWAYS = (1, 10, 100)  # answers of an image, whose recall COCO tells
ANY = "any class"
LEAST_OVERLAP = 0.5  # of a box with the object that it finds
SURE = 0.5  # score from which an answer to an image without objects is a false alarm to count by rows
AREAS = {"all": 0, "small": 1, "medium": 2, "large": 3}  # small: below 32 x 32 pixels; large: above 96 x 96


def score_objects(targets: dict[str, list], answers: dict[str, list], known: Sequence[str]) -> dict[str, Any]:
    """COCO's metrics: Lin et al., 2014, arXiv:1405.0312, by pycocotools; of all answers, not of the best 100 alone.

    Args:
        targets: `boxes`: (n, 5) of each row, yxyx in pixels and whether it is a crowd; `labels`: (n,) bytes.
        answers: `boxes`: (most, 4), `labels`: (most,) bytes, `scores`: (most,), `num_detections`: () of each row.
        known: all labels.

    Returns:
        `AP`, mean over classes and overlaps of 0.5 to 0.95; `AP50`, `AP75`; `AP_small`, `AP_medium`, `AP_large` where
        there are such objects; `AR1`, `AR10`, `AR100`, recall of so many answers an image, and that of all where they
        are more (`AR300`); `AP_any_class` and `AP50_any_class`, as if all classes were one, where there are several;
        `baseline_AP50`, of one median box in every image; `per_class` with AP, AP50 and objects; `precision_recall`:
        precision at 101 recalls from 0 to 1, at an overlap of 0.5, mean over classes. All these where there are objects
        at all. `rows`, `objects`; and where there are images without objects, `rows_without_objects`, the answers to an
        image of these, `false_alarms_per_row`, and the share of these with an answer of at least 0.5,
        `rows_with_false_alarm`.
    """
    found = [_detections(row, answers) for row in range(len(answers["boxes"]))]
    counts = {"rows": len(found), "objects": sum(map(len, targets["labels"])), **_false_alarms(targets, found)}
    if not counts["objects"]:
        return counts
    most = max(ALWAYS[-1], *(len(boxes) for boxes in answers["boxes"]))
    evaluation = _evaluate(targets, found, known, most)
    precision = evaluation["precision"]  # (overlaps, recalls, classes, areas, most)
    metrics = _summary(evaluation, most)
    if len(known) > 1:
        one = _summary(_evaluate(_as_one(targets), [_one_label(row) for row in found], [ANY], most), most)
        metrics |= {f"{name}_any_class": one[name] for name in ("AP", "AP50")}
    objects = _counts(targets, known)
    baseline = _evaluate(targets, _median_box(targets), known, most)
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
            for number, name in enumerate(known)
        },
        "precision_recall": [_mean(precision[0, recall, :, 0, -1]) for recall in range(precision.shape[1])],
    }


def match_boxes(
    answer: dict[str, Any], boxes: np.ndarray, labels: Sequence[str]
) -> tuple[list[float | None], list[bool]]:
    """Which object each answered box finds, as COCO matches them at an overlap of 0.5: the best scores choose first.

    Args:
        answer: `boxes`, `labels` and `scores` to one image.
        boxes: (n, 5) true ones, yxyx in pixels and whether it is a crowd.
        labels: of the true boxes.

    Returns:
        The overlap of each answered box with the object of its label that it finds, None where it finds none; and
        whether it lies in a crowd of its label instead, and is neither right nor wrong.
    """
    count = len(answer["boxes"])
    overlaps: list[float | None] = [None] * count
    in_crowd, taken = [False] * count, np.zeros(len(boxes), bool)
    for place in np.argsort(-np.asarray(answer["scores"], float), kind="stable"):
        same = np.array([label == answer["labels"][place] for label in labels], bool)
        share = _overlap(np.asarray(answer["boxes"][place], float), boxes) * same
        free = np.where(taken | (boxes[:, 4] > 0), 0.0, share)
        if len(free) and free.max() >= LEAST_OVERLAP:
            taken[free.argmax()] = True
            overlaps[place] = float(free.max())
        else:
            in_crowd[place] = bool(((share >= LEAST_OVERLAP) & (boxes[:, 4] > 0)).any())
    return overlaps, in_crowd


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n,) intersection over union of a box with others; with a crowd, over the box alone."""
    inner = np.maximum(np.minimum(box[2:], boxes[:, 2:4]) - np.maximum(box[:2], boxes[:, :2]), 0).prod(1)
    own, others = (box[2:] - box[:2]).prod(), (boxes[:, 2:4] - boxes[:, :2]).prod(1)
    return inner / np.maximum(np.where(boxes[:, 4] > 0, own, own + others - inner), 1e-9)


def _detections(row: int, answers: dict[str, list]) -> list[tuple[np.ndarray, bytes, float]]:
    count = int(answers["num_detections"][row])
    boxes, labels, scores = (answers[name][row][:count] for name in ("boxes", "labels", "scores"))
    return [(np.asarray(box), label, float(score)) for box, label, score in zip(boxes, labels, scores, strict=True)]


def _median_box(targets: dict[str, list]) -> list[list[tuple[np.ndarray, bytes, float]]]:
    boxes = [box[:4] for boxes in targets["boxes"] for box in boxes]
    labels = [label for labels in targets["labels"] for label in labels]
    if not boxes:
        return [[] for _ in targets["boxes"]]
    median, frequent = np.median(boxes, axis=0), max(set(labels), key=labels.count)
    return [[(median, frequent, 1.0)] for _ in targets["boxes"]]


def _false_alarms(targets: dict[str, list], found: list[list[tuple]]) -> dict[str, Any]:
    """What was answered where there is nothing: AP does not see it where no image has an object of the class."""
    empty = [detections for boxes, detections in zip(targets["boxes"], found, strict=True) if not len(boxes)]
    if not empty:
        return {}
    return {
        "rows_without_objects": len(empty),
        "false_alarms_per_row": float(np.mean([len(detections) for detections in empty])),
        "rows_with_false_alarm": float(np.mean([any(score >= SURE for *_, score in row) for row in empty])),
    }


def _as_one(targets: dict[str, list]) -> dict[str, list]:
    """The same objects, all of one class."""
    return {"boxes": targets["boxes"], "labels": [[ANY.encode()] * len(labels) for labels in targets["labels"]]}


def _one_label(detections: list[tuple]) -> list[tuple]:
    return [(box, ANY.encode(), score) for box, _, score in detections]


def _evaluate(
    targets: dict[str, list], found: list[list[tuple]], known: Sequence[str], most: int
) -> dict[str, np.ndarray]:
    """The evaluator's arrays `precision` and `recall`, of at most so many answers; -1 where nothing is to measure."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    index = {name.encode(): number for number, name in enumerate(known, start=1)}
    images = [{"id": row} for row in range(len(found))]
    categories = [{"id": number, "name": name} for name, number in index.items()]
    annotations: list[dict[str, Any]] = []
    for row, (boxes, labels) in enumerate(zip(targets["boxes"], targets["labels"], strict=True)):
        for box, label in zip(boxes, labels, strict=True):
            annotations.append(_annotation(len(annotations) + 1, row, box, index[label]) | {"iscrowd": int(box[4])})
    results: list[dict[str, Any]] = []
    for row, detections in enumerate(found):
        for box, label, score in detections:
            results.append(_annotation(len(results) + 1, row, box, index[label]) | {"score": score, "iscrowd": 0})
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth, answered = COCO(), COCO()
        truth.dataset = {"images": images, "categories": categories, "annotations": annotations}
        answered.dataset = {"images": images, "categories": categories, "annotations": results}
        truth.createIndex()
        answered.createIndex()
        evaluator = COCOeval(truth, answered, "bbox")
        evaluator.params.maxDets = sorted({*ALWAYS, most})
        evaluator.evaluate()
        evaluator.accumulate()
    return {name: evaluator.eval[name] for name in ("precision", "recall")}


def _annotation(number: int, row: int, box: np.ndarray, category: int) -> dict[str, Any]:
    top, left, bottom, right = (float(side) for side in box[:4])
    width, height = right - left, bottom - top
    return {
        "id": number,
        "image_id": row,
        "category_id": category,
        "bbox": [left, top, width, height],
        "area": width * height,
    }


def _summary(evaluation: dict[str, np.ndarray], most: int) -> dict[str, float]:
    precision, recall = evaluation["precision"], evaluation["recall"]
    metrics = {
        "AP": _mean(precision[:, :, :, 0, -1]),
        "AP50": _mean(precision[0, :, :, 0, -1]),
        "AP75": _mean(precision[5, :, :, 0, -1]),
    }
    for area in ("small", "medium", "large"):
        of_area = precision[:, :, :, AREAS[area], -1]
        if (of_area > -1).any():
            metrics[f"AP_{area}"] = _mean(of_area)
    for place, count in enumerate(sorted({*ALWAYS, most})):
        metrics[f"AR{count}"] = _mean(recall[:, :, 0, place])
    return metrics


def _mean(values: np.ndarray) -> float:
    there = values[values > -1]
    return float(there.mean()) if there.size else 0.0


def _counts(targets: dict[str, list], known: Sequence[str]) -> list[int]:
    index = {name.encode(): number for number, name in enumerate(known)}
    counts = [0] * len(known)
    for boxes, labels in zip(targets["boxes"], targets["labels"], strict=True):
        for box, label in zip(boxes, labels, strict=True):
            counts[index[label]] += not box[4]
    return counts
