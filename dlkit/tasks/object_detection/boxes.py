"""Images with boxes: the common form of all annotation formats, and tables with one box per row."""

from __future__ import annotations

import collections
import contextlib
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlkit.classification.labels import check_labels
from dlkit.columns import Column, Image, Labels, comma_hint, is_missing_number
from dlkit.data.delimited import read_delimited
from dlkit.data.folder_guard import FolderGuard
from dlkit.data.match import match_kinds, match_names
from dlkit.data.read_options import ReadOptions, report_skipped
from dlkit.data.split import evenly_spaced
from dlkit.data.table import Table
from dlkit.errors import DataError, UnreadableError
from dlkit.options import option
from dlkit.report import Report, most_common
from dlkit.rows import Rows
from dlkit.tasks.object_detection.columns import Boxes, CrowdBoxes
from dlkit.tasks.object_detection.objects import CLIPPED
from dlkit.vision.choose_flips import choose_flips, inspect_flips
from dlkit.vision.image_facts import ROTATED_WITH_IMAGE, displayed_size, orientation_of_annotation
from dlkit.vision.orientation import orient_boxes

if TYPE_CHECKING:
    from dlkit.tasks.object_detection.task import ObjectDetector
    from dlkit.training.store import Store


@dataclass
class AnnotatedImage:
    """An image file with its objects, of which there may be none.

    Attributes:
        image: path of the image.
        where: name of the annotation in messages.
        boxes: ymin, xmin, ymax, xmax, and 1 for a crowd (else 0) of each object, in pixels or relative to the image
            size.
        labels: class name of each object.
        empty: messages about boxes without an area or with missing numbers, which are left out.
        inverted: messages about inverted or infinite boxes, which are left out.
        size: height and width of the image according to the annotation, in pixels; 0 if not given.
    """

    image: Path
    where: str
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    inverted: list[str] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)

    def add(self, box: Sequence[float], label: str, location: str, *, crowd: bool = False) -> None:
        """Add an object, or a message about an empty or inverted box."""
        ymin, xmin, ymax, xmax = box
        if (ymin == ymax and xmin <= xmax) or (xmin == xmax and ymin <= ymax):
            self.empty.append(
                f"{location}: the box of {label!r} is empty: xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, "
                f"ymax {ymax:g}."
            )
            return
        if not (ymin < ymax and xmin < xmax and math.isfinite(ymin + xmin + ymax + xmax)):
            self.inverted.append(
                f"{location}: the box is inverted or not finite: xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, ymax "
                f"{ymax:g}. Expected xmin < xmax and ymin < ymax. Correct it, or remove it."
            )
            return
        self.boxes.append((ymin, xmin, ymax, xmax, float(crowd)))
        self.labels.append(label)


class ImageBoxes:
    """Boxes that depend on the size or orientation of their image; converted to pixels by `numpy.asarray`.

    Attributes:
        reoriented: whether the boxes were annotated on the image as stored, and were rotated by its EXIF orientation.
    """

    def __init__(self, image: Any, boxes: Any):
        """Initialize from an image, as `image_size` takes it, and boxes, (n, 5), the last number 1 for a crowd."""
        self.image = image
        self.boxes = np.asarray(boxes, np.float64).reshape(-1, 5)
        self.reoriented = False

    def __len__(self) -> int:
        return len(self.boxes)


class RelativeBoxes(ImageBoxes):
    """Boxes relative to the height and width of their image as displayed."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        height, width = displayed_size(self.image) if len(self) else (1, 1)
        return (self.boxes * [height, width, height, width, 1]).astype(dtype or np.float32)


class PixelBoxes(ImageBoxes):
    """Boxes in pixels of an image whose size is given by the annotation.

    If that is the size of the image as stored, not as displayed, the boxes are rotated by the EXIF orientation.
    """

    def __init__(self, image: Any, boxes: Any, size: tuple[int, int]):
        super().__init__(image, boxes)
        self.size = size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        boxes = self.boxes
        if self.orientation() > 1:
            self.reoriented = True
            boxes = orient_boxes(boxes, self.orientation(), *self.size)
        return boxes.astype(dtype or np.float32)

    def orientation(self) -> int:
        """Return the EXIF orientation by which the boxes must be rotated; 1 for none, or without an image."""
        try:
            return orientation_of_annotation(self.image, self.size)
        except UnreadableError:
            return 1


def build_box_table(
    source: str,
    images: Sequence[AnnotatedImage],
    columns: Mapping[str, Column],
    how: ReadOptions,
    classes: Sequence[str] = (),
    *,
    relative: bool = False,
) -> Table:
    """Build a table from images with boxes.

    Args:
        source: name of the source in messages.
        images: images with their objects.
        columns: columns to build.
        how: options of reading.
        classes: class names, if the source lists them.
        relative: whether boxes are relative to the image size.

    Returns:
        The table, with one row per image.

    Raises:
        DataError: more than half of the boxes are empty, or more than a tenth are inverted, so that the numbers must
            have another meaning; or one is, if bad records are errors.
    """
    empty = [reason for image in images for reason in image.empty]
    inverted = [reason for image in images for reason in image.inverted]
    total = len(empty) + len(inverted) + sum(len(image.boxes) for image in images)
    if len(inverted) > total / 10:
        raise DataError(inverted[0])
    if len(empty) > total / 2:
        raise DataError(f"{source}: {len(empty)} of {total} boxes are empty. The first: {empty[0]}")
    remarks = report_skipped([*inverted, *empty], total, "boxes", how.strict)
    boxes = [_to_pixel_boxes(image, relative) for image in images]
    values_by_kind = {
        Image: [image.image for image in images],
        Boxes: boxes,
        Labels: [image.labels for image in images],
    }
    return Table(source, match_kinds(columns, values_by_kind, source), lambda row: images[row].where, classes, remarks)


def _to_pixel_boxes(image: AnnotatedImage, relative: bool) -> Any:
    """Convert boxes to (n, 5) pixels of the image as displayed, or to an object that converts them later."""
    if relative:
        return RelativeBoxes(image.image, image.boxes)
    if min(image.size) > 0 and image.size[0] != image.size[1]:
        return PixelBoxes(image.image, image.boxes, image.size)
    return np.array(image.boxes, np.float32).reshape(-1, 5)


def drop_empty_boxes(table: Table, columns: Mapping[str, Column]) -> None:
    """Drop boxes without an area from a table. Raises DataError for rows with different numbers of boxes and labels."""
    boxes, labels = ([name for name, column in columns.items() if isinstance(column, kind)] for kind in (Boxes, Labels))
    if len(boxes) != 1 or len(labels) != 1:
        return
    rows: dict[str, list[Any]] = {boxes[0]: [], labels[0]: []}
    reasons, total = list[str](), 0
    for row, (boxes_of_row, names) in enumerate(zip(table.columns[boxes[0]], table.columns[labels[0]], strict=True)):
        rows[boxes[0]].append(boxes_of_row)
        rows[labels[0]].append(names)
        try:
            named = len(Labels().raw(names))
        except (TypeError, DataError):  # not a list: reported by the columns
            continue
        if named != len(boxes_of_row):
            raise DataError(
                f"{table.where(row)}: {len(boxes_of_row)} boxes in {boxes[0]!r}, {named} labels in {labels[0]!r}. "
                "Each box needs one label."
            )
        total += named
        keep = _have_area(boxes_of_row)
        if not all(keep):
            where = table.where(row)
            reasons += [f"{where}: box {index} is empty." for index, kept in enumerate(keep) if not kept]
            rows[boxes[0]][-1] = [box for box, kept in zip(boxes_of_row, keep, strict=True) if kept]
            rows[labels[0]][-1] = [name.decode() for name, kept in zip(Labels().raw(names), keep, strict=True) if kept]
    if not reasons:
        return
    if len(reasons) > total / 2:
        raise DataError(f"{table.source}: {len(reasons)} of {total} boxes are empty. The first: {reasons[0]}")
    table.columns = {**table.columns, **rows}
    table.remarks = [*table.remarks, *report_skipped(reasons, total, "boxes", table.strict)]


def _have_area(boxes: Any) -> list[bool]:
    """Return which boxes have an area. Malformed boxes count, since the column reports them better."""
    if isinstance(boxes, ImageBoxes):
        return [True]
    try:
        corners = np.asarray(boxes, np.float64).reshape(len(boxes), -1)
    except (TypeError, ValueError):
        return [True]
    if not len(corners) or corners.shape[1] not in (4, 5):
        return [True]
    heights, widths = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    return (~(((heights == 0) & (widths >= 0)) | ((widths == 0) & (heights >= 0)))).tolist()


_CORNER_COLUMNS = ("xmin", "ymin", "xmax", "ymax")
_COLUMN_ALIASES = {Image: ("image", "file_name", "filename", "image_path"), Labels: ("label", "labels", "class")}
SMALL_OBJECT = 6  # shorter side, in pixels of the network's input, below which objects are hard to detect


def read_box_rows(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """Read a table with one box per row into one row per image, in the order of first appearance.

    Boxes are in pixels. A row without a box is an image without objects. The columns may also be called `file_name`,
    `filename` or `image_path`, and `labels` or `class`.

    Args:
        path: file of the table.
        source: name of the source in messages.
        columns: columns to read.
        how: options of reading.

    Returns:
        The table, with one row per image.

    Raises:
        DataError: a row is not valid; names the file and the line.
    """
    roles: dict[str, Column] = {name: column for name, column in columns.items() if not isinstance(column, Boxes)}
    aliases: Mapping[str, Sequence[str]] = {
        name: names
        for name, column in roles.items()
        for kind, names in _COLUMN_ALIASES.items()
        if isinstance(column, kind)
    }
    wanted = roles | dict.fromkeys(_CORNER_COLUMNS, Boxes())

    def choose(found: Sequence[str], hint: str) -> dict[str, str]:
        return match_names(wanted, found, how.rename, source, alternatives=aliases, hint=hint)

    cells, where, remarks = read_delimited(path, source, choose, how)
    image, label = (next((cells[n] for n in roles if isinstance(roles[n], kind)), None) for kind in (Image, Labels))
    if image is None:
        raise DataError(f"{source} holds boxes of images, but no image is requested. Requested: {', '.join(columns)}.")
    images: dict[str, AnnotatedImage] = {}
    inside = FolderGuard(how, path.parent)
    for row, name in enumerate(image):
        location = where(row)
        if not name.strip():
            raise DataError(f"{location}: the name of the image is empty. Set it, or remove the row.")
        if name not in images:
            images[name] = AnnotatedImage(inside(path.parent / name, location), location)
        boxed = images[name]
        named = "" if label is None else label[row].strip()
        corners = [
            "" if is_missing_number(cells[corner][row]) else cells[corner][row].strip() for corner in _CORNER_COLUMNS
        ]
        if any(corners) and not all(corners):
            boxed.empty.append(f"{location}: a number of the box is missing.")
            continue
        box = _parse_box(corners, location)
        if box is None and named:
            raise DataError(
                f"{location}: the label {named!r} has no box. Fill {', '.join(_CORNER_COLUMNS)}, or clear the label."
            )
        if box is not None and label is not None and not named:
            raise DataError(f"{location}: the box has no label. Set it, or remove the row.")
        if box is not None:
            boxed.add(box, named, location)
    table = build_box_table(source, list(images.values()), columns, how)
    table.remarks = [*remarks, *table.remarks]
    return table


def _parse_box(cells: list[str], location: str) -> tuple[float, float, float, float] | None:
    """Parse the cells of a box to ymin, xmin, ymax, xmax; None if all are empty."""
    if not any(cells):
        return None
    try:
        xmin, ymin, xmax, ymax = map(float, cells)
    except ValueError as error:
        hint = next(filter(None, map(comma_hint, cells)), "")
        raise DataError(
            f"{location}: expected numbers in {', '.join(_CORNER_COLUMNS)}. Received: {', '.join(cells)[:100]}.{hint}"
        ) from error
    return ymin, xmin, ymax, xmax


def choose_image_side(table: Table, default_side: int, max_side: int, object_side: int) -> int:
    """Choose the side of the network's input such that the median object is large enough.

    Args:
        table: with `image` and `boxes`; at most 200 rows are inspected, by the headers of their images.
        default_side: minimum side, in pixels.
        max_side: maximum side, in pixels.
        object_side: required median of the shorter sides of the objects, in pixels of the network's input.

    Returns:
        The side, in pixels.
    """
    relative_sides: list[float] = []
    for row in evenly_spaced(len(table), 200):
        with contextlib.suppress(DataError):  # reported when it is encoded
            boxes = CrowdBoxes().raw(table.columns["boxes"][row])[:, :4]
            relative_sides += (
                (boxes[:, 2:] - boxes[:, :2]).min(axis=1) / max(displayed_size(table.columns["image"][row]))
            ).tolist()
    side = object_side / max(float(np.median(relative_sides)), 1e-9) if relative_sides else 0.0
    return int(np.clip(side, default_side, max_side))


def inspect_boxes(
    report: Report, table: Table, choose_shape: Callable[[Table], tuple[int, int, int]], default_side: int
) -> None:
    """Add statistics of the objects to a report, and refuse implausible boxes.

    Args:
        report: report to extend.
        table: training rows, with `image`, `boxes` and `labels`.
        choose_shape: from a table to height, width and channels of the network's input.
        default_side: side of the network's input, in pixels, above which the report mentions it.
    """
    counts: collections.Counter[str] = collections.Counter()
    outside, tiny, relative = [], [], []
    sides: list[float] = []
    empty_images = num_boxes = 0
    try:
        height, width, _ = choose_shape(table)
    except DataError:
        return  # no image can be read: reported when the task is built
    for row in report.sample(len(table)):
        try:
            boxes = CrowdBoxes().raw(table.columns["boxes"][row])[:, :4]
            size = displayed_size(table.columns["image"][row])
        except DataError:
            continue  # reported when it is encoded
        counts.update(label.decode() for label in Labels().raw(table.columns["labels"][row]))
        empty_images += not len(boxes)
        num_boxes += len(boxes)
        ratio = min(height / size[0], width / size[1])
        for box in boxes:
            side = float(min(box[2] - box[0], box[3] - box[1])) * ratio
            center = (box[:2] + box[2:]) / 2
            sides.append(side)
            if (center < 0).any() or center[0] > size[0] or center[1] > size[1]:
                outside.append(row)
            elif side < 1:
                tiny.append(row)
                if float(box.max()) <= 1:
                    relative.append(row)
    if not num_boxes:
        return
    report.statistics["objects"] = most_common(counts)
    report.statistics["images without objects"] = empty_images
    report.statistics["shorter side of objects"] = (
        f"{np.median(sides):.0f} pixels in the network's {height} x {width} input"
    )
    if max(height, width) > default_side:
        report.remarks.append(
            f"the network's input is {height} x {width} pixels instead of the default {default_side}, because objects "
            f"are small: training takes longer. {option('image_size')} sets it"
        )
    _report_boxes(report, table, {"outside": outside, "tiny": tiny, "relative": relative}, num_boxes, sides)
    absent = [name for name in table.classes if name not in counts]
    if absent:
        report.add_warning(f"{len(absent)} of {len(table.classes)} classes have no object", map(repr, absent))


def _report_boxes(
    report: Report, table: Table, found: Mapping[str, list[int]], count: int, sides: Sequence[float]
) -> None:
    def locations(kind: str) -> list[str]:
        return [table.where(row) for row in dict.fromkeys(found[kind])]

    outside, tiny = len(found["outside"]), len(found["tiny"])
    if outside > count / 2:
        report.add_error(
            f"the centers of {outside} of {count} boxes are outside their image",
            locations("outside"),
            "Boxes must be in pixels, or, in YOLO files, relative to the image size between 0 and 1: check the format.",
        )
    elif outside:
        report.add_warning(f"the centers of {outside} of {count} boxes are outside their image", locations("outside"))
    if tiny > count / 2:
        cure = "They look relative to the image size: multiply them by the width and height, or use the YOLO format."
        cure = (
            cure
            if len(found["relative"]) > tiny / 2
            else f"Raise {option('image_size')}, or split the images into tiles."
        )
        report.add_error(
            f"{tiny} of {count} boxes are smaller than a pixel of the network's input", locations("tiny"), cure
        )
    elif np.median(sides) < SMALL_OBJECT:
        report.add_warning(
            f"half of the {count} objects are smaller than {SMALL_OBJECT} pixels in the network's input",
            cure=f"Raise {option('image_size')}, or split the images into tiles.",
        )
    elif tiny:
        report.add_warning(
            f"{tiny} of {count} boxes are smaller than a pixel of the network's input", locations("tiny")
        )


class ObjectRows(Rows):
    """Images with objects."""

    task: ObjectDetector

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        inspect_boxes(
            report, self.table, self.task.network_shape, max(self.task.image_size, self.task.default_max_side)
        )
        inspect_flips(report, self.task, self.table)

    def continued_from(self, model: ObjectDetector) -> dict[str, Any]:
        count = max((len(labels) for labels in self.table.columns["labels"]), default=0)
        size = model.stages_.network.input["image"].shape[1:3]
        return {
            "max_objects_": max(count, model.max_objects_),  # enough for all objects of an image
            "flips_": choose_flips(self.task, self.table, size).as_dict(),
        }

    def check(self) -> None:
        check_labels(self.table, self.task.target["labels"], self.task.labels_, "labels")

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add the matches with true objects to a prediction.

        Returns:
            The row with `true_boxes`, `true_labels`, and `ious`, the IoU of each predicted box with its object or None;
            and, among predictions with a score of at least 0.5, the numbers `true_positives`, `false_negatives` (missed
            objects) and `false_positives`.
        """
        from dlkit.tasks.object_detection.metrics import CONFIDENT_SCORE, match_boxes

        del row
        boxes, labels = target["boxes"], [label.decode() for label in target["labels"]]
        crowd = boxes[:, 4] > 0
        ious, in_crowd = match_boxes(answer, boxes, labels)
        confident = [score >= CONFIDENT_SCORE for score in answer["scores"]]
        true_positives = sum(sure and iou is not None for sure, iou in zip(confident, ious, strict=True))
        return [
            {
                "true_boxes": boxes[:, :4].tolist(),
                "true_labels": labels,
                **answer,
                "ious": ious,
                "true_positives": true_positives,
                "false_negatives": int((~crowd).sum()) - true_positives,
                "false_positives": sum(confident) - true_positives - sum(map(operator.and_, confident, in_crowd)),
            }
        ]

    def remarks(self, store: Store) -> list[str]:
        flags = store.every(lambda row: row[1]["predictions"])[..., 5]
        clipped = int((flags >= CLIPPED).sum())
        reoriented = sum(isinstance(boxes, ImageBoxes) and boxes.reoriented for boxes in self.table.columns["boxes"])
        remarks = [f"{clipped} boxes extended beyond their image and were clipped"] if clipped else []
        return [*remarks, f"the boxes of {reoriented} images {ROTATED_WITH_IMAGE}"] if reoriented else remarks
