"""Images with boxes: what every format of them comes down to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Boxes, Column, Image, Labels
from dlkit.data.image_facts import image_size
from dlkit.data.match import by_kind
from dlkit.data.table import Table
from dlkit.errors import DataError


@dataclass
class BoxedImage:
    """An image file with its objects, of which there may be none.

    Attributes:
        image: the file.
        where: what a message calls it.
        boxes: ymin, xmin, ymax, xmax and 1 for a crowd (else 0) of each object, in pixels or in shares of the image.
        labels: the name of each object's class.
    """

    image: Path
    where: str
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def add(self, box: Sequence[float], label: str, place: str, *, crowd: bool = False) -> None:
        """Adds an object. Raises DataError, which names `place`, for an empty or inverted box."""
        ymin, xmin, ymax, xmax = box
        if not (ymin < ymax and xmin < xmax and math.isfinite(ymin + xmin + ymax + xmax)):
            raise DataError(
                f"{place}: the box is empty, inverted or not finite: xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, "
                f"ymax {ymax:g}. Expected xmin < xmax and ymin < ymax. Correct it, or leave it out."
            )
        self.boxes.append((ymin, xmin, ymax, xmax, float(crowd)))
        self.labels.append(label)


class RelativeBoxes:
    """Boxes in shares of their image's height and width. In pixels only when asked for, by the image's header then."""

    def __init__(self, image: Any, boxes: Any):
        """`image` as `image_size` takes it; `boxes` (n, 5): ymin, xmin, ymax, xmax in [0, 1], and 1 for a crowd."""
        self.image = image
        self.boxes = np.asarray(boxes, np.float64).reshape(-1, 5)

    def __len__(self) -> int:
        return len(self.boxes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        height, width = image_size(self.image) if len(self) else (1, 1)
        return (self.boxes * [height, width, height, width, 1]).astype(dtype or np.float32)


def box_table(
    source: str,
    images: Sequence[BoxedImage],
    columns: dict[str, Column],
    classes: Sequence[str] = (),
    *,
    relative: bool = False,
) -> Table:
    """The wanted columns of images with boxes; `relative` boxes are shares of the image."""
    boxes = [
        RelativeBoxes(image.image, image.boxes) if relative else np.array(image.boxes, np.float32).reshape(-1, 5)
        for image in images
    ]
    held = {
        Image: [image.image for image in images],
        Boxes: boxes,
        Labels: [image.labels for image in images],
    }
    return Table(source, by_kind(columns, held, source), lambda row: images[row].where, classes)


def check_objects(table: Table, columns: dict[str, Column]) -> None:
    """Raises DataError for a row with another number of labels than of boxes."""
    boxes, labels = ([name for name, column in columns.items() if isinstance(column, kind)] for kind in (Boxes, Labels))
    if len(boxes) != 1 or len(labels) != 1:
        return
    for row, (some, names) in enumerate(zip(table.columns[boxes[0]], table.columns[labels[0]], strict=True)):
        try:
            named = len(Labels().raw(names))
        except (TypeError, DataError):  # no lists at all: the columns have the words for it
            continue
        if named != len(some):
            raise DataError(
                f"{table.where(row)}: {len(some)} boxes in {boxes[0]!r}, {named} labels in {labels[0]!r}. "
                "Each box needs one label."
            )
