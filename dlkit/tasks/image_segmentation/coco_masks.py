"""Masks from COCO annotations: polygons, and RLE both uncompressed and compressed."""

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

_MAX_PIXELS = 2**28  # the largest image that Pillow opens
_MAX_CLASSES = 254  # ids are bytes; 0 is the background, 255 the ignored class


def read_coco(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read COCO annotations into a table with one row per image, in the order of the file.

    Masks are drawn from polygons and RLE in the order of the annotations, later ones on top. The class id is 0 for the
    background and 1 + the index of the category, sorted by category id.

    Args:
        path: file of annotations.
        source: name of the source in messages.
        columns: columns to read.
        how: options of reading.

    Returns:
        The table, with the class names.

    Raises:
        DataError: an entry is not valid; names the file and the entry.
    """
    coco = load_coco(path, source, how)
    if len(coco.categories) > _MAX_CLASSES:
        raise DataError(f"{source} has {len(coco.categories)} categories. A mask holds at most {_MAX_CLASSES}.")
    masks = {}
    height: Any
    width: Any
    for key, (_, location, entry) in coco.files.items():
        height, width = entry.get("height"), entry.get("width")
        if not all(isinstance(side, int) and side > 0 for side in (height, width)):
            raise DataError(
                f"{location}: a mask needs the `height` and `width` of its image. Received: "
                f"{str((height, width))[:60]}."
            )
        if height * width > _MAX_PIXELS:
            raise DataError(
                f"{location}: {height} x {width} pixels exceed the maximum image size, {_MAX_PIXELS}. Correct its "
                "`height` and `width`."
            )
        masks[key] = SegmentationMask(height, width)
    ids = {key: number for number, key in enumerate(coco.categories, start=1)}
    total, problems = 0, []
    for location, entry in coco.annotations(("image_id", "category_id")):
        total += 1
        mask = coco.known(masks, entry["image_id"], location, "image")
        class_id = coco.known(ids, entry["category_id"], location, "category")
        segmentation = entry.get("segmentation")
        if isinstance(segmentation, list):
            segmentation = [polygon for polygon in segmentation if polygon != []]
        if not segmentation:
            problems.append(f"{location}: no `segmentation`, which a mask needs; a box is not enough.")
            continue
        check_segmentation(segmentation, mask.height, mask.width, location)
        mask.segments.append((class_id, segmentation, location))
    if total and len(problems) == total:
        raise DataError(f"{source}: none of its {total} annotations has a segmentation. The first: {problems[0]}")
    remarks = report_skipped(problems, total, "annotations", how.strict)
    locations = [location for _, location, _ in coco.files.values()]
    values_by_kind: dict[type[Column], Any] = {
        Image: [file for file, _, _ in coco.files.values()],
        Mask: list(masks.values()),
    }
    values = match_kinds(columns, values_by_kind, source)
    return Table(source, values, lambda row: locations[row], ("background", *coco.categories.values()), remarks)


@dataclass(repr=False)
class SegmentationMask:
    """A mask that is drawn when it is converted by `numpy.asarray`, because outlines need little memory and masks much.

    Attributes:
        height, width: size of the image, in pixels.
        segments: class id, COCO `segmentation` and location in messages of each object; later ones are drawn on top.
    """

    height: int
    width: int
    segments: list[tuple[int, Any, str]] = field(default_factory=list)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        ids = np.zeros((self.height, self.width), np.uint8)
        for class_id, segmentation, location in self.segments:
            ids[_draw_segmentation(segmentation, self.height, self.width, location)] = class_id
        return ids.astype(dtype or np.uint8)


def check_segmentation(segmentation: Any, height: int, width: int, location: str) -> None:
    """Check a COCO segmentation for errors that pycocotools does not detect.

    pycocotools takes four numbers for a box, and does not check the sizes of RLE.

    Args:
        segmentation: `segmentation` of an annotation: polygons or RLE.
        height, width: size of the image, in pixels.
        location: name of the annotation in messages.

    Raises:
        DataError: the segmentation is not valid; names `location`.
    """
    if isinstance(segmentation, dict):
        _check_rle(segmentation, height, width, location)
    elif not isinstance(segmentation, list) or not segmentation:
        raise DataError(
            f"{location}: `segmentation` must be polygons [[x, y, x, y, ...], ...] or RLE. Received: "
            f"{str(segmentation)[:60]}. An annotation with only a box has no mask."
        )
    else:
        for polygon in segmentation:
            if not _is_polygon(polygon):
                raise DataError(
                    f"{location}: a polygon must be [x, y, x, y, ...], three corners or more. Received: "
                    f"{str(polygon)[:60]}."
                )
            if _polygon_length(polygon) > height * width + 100 * (height + width):  # drawing it takes as much memory
                raise DataError(
                    f"{location}: the polygon is {_polygon_length(polygon):.3g} pixels long, in an image of {height} x "
                    f"{width}. Its corners must be pixel coordinates: {str(polygon)[:60]}."
                )


def _polygon_length(polygon: list[float]) -> float:
    """Compute the length of a closed polygon, including the way from the origin to its first corner, in pixels."""
    corners = np.array([0, 0, *polygon, *polygon[:2]], np.float64).reshape(-1, 2)
    return float(np.abs(np.diff(corners, axis=0)).max(axis=1).sum())


def _is_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return all(type(number) in (int, float) for number in polygon) and bool(np.isfinite(polygon).all())


def _check_rle(rle: dict[str, Any], height: int, width: int, location: str) -> None:
    counts, size = rle.get("counts"), rle.get("size")
    if size != [height, width]:
        raise DataError(f"{location}: RLE of the size {size}; its image is {[height, width]} (height, width).")
    if isinstance(counts, str):
        return
    if not isinstance(counts, list) or any(type(count) is not int or count < 0 for count in counts):
        raise DataError(f"{location}: the `counts` of RLE must be a list of numbers, or a text if it is compressed.")
    if sum(counts) != height * width:
        raise DataError(f"{location}: the `counts` of RLE add up to {sum(counts)} pixels, expected {height * width}.")


def _draw_segmentation(segmentation: Any, height: int, width: int, location: str) -> np.ndarray:
    """Draw a segmentation as a (height, width) bool array."""
    from pycocotools import mask

    rle = segmentation
    if isinstance(segmentation, list):
        rle = mask.merge(mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = mask.frPyObjects(segmentation, height, width)
    with as_data_error(f"{location}: the RLE cannot be decoded", "an RLE", "Encode it again with pycocotools."):
        return mask.decode(rle).astype(bool)
