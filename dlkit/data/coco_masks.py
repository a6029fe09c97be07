"""Masks from COCO's outlines: polygons, and RLE both plain and compressed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlkit.errors import DataError


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
            f"{str(segmentation)[:60]}. An annotation that has a box alone makes no mask."
        )
    else:
        for polygon in segmentation:
            if not _is_polygon(polygon):
                raise DataError(
                    f"{place}: a polygon must be [x, y, x, y, ...], three corners or more. Received: "
                    f"{str(polygon)[:60]}."
                )


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
    try:
        return mask.decode(rle).astype(bool)
    except ValueError as error:
        raise DataError(f"{place}: the RLE cannot be decoded ({error}). Write it anew with pycocotools.") from error
