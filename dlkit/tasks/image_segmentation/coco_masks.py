"""Masks from COCO's outlines: polygons, and RLE both plain and compressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column, Image
from dlkit.data.match import match_kinds
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error
from dlkit.tasks.image_segmentation.columns import Mask
from dlkit.vision.coco import load_coco

_MOST_PIXELS = 2**28  # Pillow opens none of more
_MOST_CLASSES = 254  # ids are bytes; 0 is the background and 255 no class


def read_coco(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """One row an image, in the file's order, with a mask drawn from polygons and RLE.

    They are drawn in the order of the annotations, later ones on top; the class ids are 0 for the background and
    1 + the place of the category in the order of the categories' ids.

    Raises:
        DataError: names the file, the entry and what is wrong with it.
    """
    coco = load_coco(path, source, how)
    if len(coco.categories) > _MOST_CLASSES:
        raise DataError(f"{source} has {len(coco.categories)} categories. A mask holds at most {_MOST_CLASSES}.")
    masks = {}
    height: Any
    width: Any
    for key, (_, place, entry) in coco.files.items():
        height, width = entry.get("height"), entry.get("width")
        if not all(isinstance(side, int) and side > 0 for side in (height, width)):
            raise DataError(
                f"{place}: a mask needs the `height` and `width` of its image. Received: {str((height, width))[:60]}."
            )
        if height * width > _MOST_PIXELS:
            raise DataError(
                f"{place}: {height} x {width} pixels exceed the maximum image size, {_MOST_PIXELS}. Correct its "
                "`height` and `width`."
            )
        masks[key] = DrawnMask(height, width)
    ids = {key: number for number, key in enumerate(coco.categories, start=1)}
    total, reasons = 0, []
    for place, entry in coco.annotations(("image_id", "category_id")):
        total += 1
        mask = coco.known(masks, entry["image_id"], place, "image")
        class_id = coco.known(ids, entry["category_id"], place, "category")
        segmentation = entry.get("segmentation")
        if isinstance(segmentation, list):
            segmentation = [polygon for polygon in segmentation if polygon != []]
        if not segmentation:
            reasons.append(f"{place}: no `segmentation`, which a mask needs; a box is not enough.")
            continue
        check_segmentation(segmentation, mask.height, mask.width, place)
        mask.segments.append((class_id, segmentation, place))
    if total and len(reasons) == total:
        raise DataError(f"{source}: none of its {total} annotations has a segmentation. The first: {reasons[0]}")
    remarks = report_skipped(reasons, total, "annotations", how.strict)
    where = [place for _, place, _ in coco.files.values()]
    held: dict[type[Column], Any] = {Image: [file for file, _, _ in coco.files.values()], Mask: list(masks.values())}
    values = match_kinds(columns, held, source)
    return Table(source, values, lambda row: where[row], ("background", *coco.categories.values()), remarks)


@dataclass(repr=False)
class DrawnMask:
    """A mask that is drawn when it is asked for, by `numpy.asarray`: outlines take little memory, masks a lot.

    Attributes:
        height, width: of the image, in pixels.
        segments: class id, COCO's `segmentation` and the words that name it, of each object; later ones lie on top.
    """

    height: int
    width: int
    segments: list[tuple[int, Any, str]] = field(default_factory=list)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        ids = np.zeros((self.height, self.width), np.uint8)
        for class_id, segmentation, place in self.segments:
            ids[_covered(segmentation, self.height, self.width, place)] = class_id
        return ids.astype(dtype or np.uint8)


def check_segmentation(segmentation: Any, height: int, width: int, place: str) -> None:
    """Refuses what pycocotools would misread: it takes four numbers for a box, and trusts the sizes of RLE.

    Raises:
        DataError: names `place`.
    """
    if isinstance(segmentation, dict):
        _check_rle(segmentation, height, width, place)
    elif not isinstance(segmentation, list) or not segmentation:
        raise DataError(
            f"{place}: `segmentation` must be polygons [[x, y, x, y, ...], ...] or RLE. Received: "
            f"{str(segmentation)[:60]}. An annotation with only a box has no mask."
        )
    else:
        for polygon in segmentation:
            if not _is_polygon(polygon):
                raise DataError(
                    f"{place}: a polygon must be [x, y, x, y, ...], three corners or more. Received: "
                    f"{str(polygon)[:60]}."
                )
            if _length(polygon) > height * width + 100 * (height + width):  # what draws it takes as much memory
                raise DataError(
                    f"{place}: the polygon is {_length(polygon):.3g} pixels long, in an image of {height} x "
                    f"{width}. Its corners must be pixel coordinates: {str(polygon)[:60]}."
                )


def _length(polygon: list[float]) -> float:
    """How many pixels lie on a polygon's edges, and between its first corner and that of the image."""
    corners = np.array([0, 0, *polygon, *polygon[:2]], np.float64).reshape(-1, 2)
    return float(np.abs(np.diff(corners, axis=0)).max(axis=1).sum())


def _is_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return all(type(number) in (int, float) for number in polygon) and bool(np.isfinite(polygon).all())


def _check_rle(rle: dict[str, Any], height: int, width: int, place: str) -> None:
    counts, size = rle.get("counts"), rle.get("size")
    if size != [height, width]:
        raise DataError(f"{place}: RLE of the size {size}; its image is {[height, width]} (height, width).")
    if isinstance(counts, str):
        return
    if not isinstance(counts, list) or any(type(count) is not int or count < 0 for count in counts):
        raise DataError(f"{place}: the `counts` of RLE must be a list of numbers, or a text if it is compressed.")
    if sum(counts) != height * width:
        raise DataError(f"{place}: the `counts` of RLE add up to {sum(counts)} pixels, expected {height * width}.")


def _covered(segmentation: Any, height: int, width: int, place: str) -> np.ndarray:
    """Which pixels an object covers, (height, width) bool."""
    from pycocotools import mask

    rle = segmentation
    if isinstance(segmentation, list):
        rle = mask.merge(mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = mask.frPyObjects(segmentation, height, width)
    with as_data_error(f"{place}: the RLE cannot be decoded", "an RLE", "Encode it again with pycocotools."):
        return mask.decode(rle).astype(bool)
