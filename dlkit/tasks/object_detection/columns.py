"""Columns of objects: boxes, and the label of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.columns import Column, Labels, describe_value
from dlkit.errors import DataError

READER = "dlkit.tasks.object_detection.readers"


class Boxes(Column):
    """Boxes of an image, any number of them: ymin, xmin, ymax, xmax in pixels of the original image.

    The origin is the upper left corner of the first pixel: a box around that pixel alone is 0, 0, 1, 1.
    """

    reader = READER
    dtype = "float32"
    shape = (None, 4)
    atol = 0.01

    def raw(self, value: Any) -> np.ndarray:
        return _box_rows(value, (4,))


class CrowdBoxes(Boxes):
    """Boxes to learn from. A fifth number is 1 for a crowd: many objects in one box, as COCO's `iscrowd`; else 0."""

    shape = (None, 5)

    def raw(self, value: Any) -> np.ndarray:
        boxes = _box_rows(value, (4, 5))
        boxes = np.pad(boxes, [(0, 0), (0, 5 - boxes.shape[1])])
        right = np.isfinite(boxes).all(1) & (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
        right &= np.isin(boxes[:, 4], (0, 1))
        if not right.all():
            first = int(np.argmin(right))
            numbers = ", ".join(f"{number:g}" for number in boxes[first])
            raise DataError(
                f"box {first} of {len(boxes)} is empty, inverted or not a box: {numbers}. Expected ymin < ymax, "
                "xmin < xmax, and 1 for a crowd or 0. Correct it, or remove it."
            )
        return boxes


def _box_rows(value: Any, widths: tuple[int, ...]) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # beyond float32 is refused as not finite
            boxes = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):  # from a value that reads its image only now
            raise
        raise DataError(f"expected boxes, four numbers each. Received: {describe_value(value)}.") from error
    if not boxes.size and boxes.ndim:
        boxes = np.zeros((0, widths[-1]), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] not in widths:
        raise DataError(
            "expected boxes as (boxes, 4) numbers: ymin, xmin, ymax, xmax in pixels. "
            f"Received: {describe_value(value)}, of the shape {boxes.shape}."
        )
    return boxes


class BoxLabels(Labels):
    """The name of each box's class."""

    kind = "labels"
    reader = READER
    one_hot = False  # an array holds a class for each box
    lists_classes = True
