"""Images with boxes: what every format of them comes down to, and tables of boxes, one a row."""

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

from dlkit.classification.labels import check_labels, respelled
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
from dlkit.vision.image_facts import (
    ROTATED_WITH_IMAGE,
    displayed_size,
    image_size,
    orientation_of_annotation,
    turns_images,
)
from dlkit.vision.orientation import orient_boxes

if TYPE_CHECKING:
    from dlkit.tasks.object_detection.task import ObjectDetector
    from dlkit.training.store import Store


@dataclass
class BoxedImage:
    """An image file with its objects, of which there may be none.

    Attributes:
        image: the file.
        where: what a message calls it.
        boxes: ymin, xmin, ymax, xmax and 1 for a crowd (else 0) of each object, in pixels or in shares of the image.
        labels: the name of each object's class.
        empty, inverted: what is said of boxes without an area or a number, and of those that are none: both are left
            out.
        size: the height and width that the annotation tells of its image; 0 where it tells none.
    """

    image: Path
    where: str
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    inverted: list[str] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)

    def add(self, box: Sequence[float], label: str, place: str, *, crowd: bool = False) -> None:
        """Adds an object, or what is said of one without an area or with an inverted box."""
        ymin, xmin, ymax, xmax = box
        if (ymin == ymax and xmin <= xmax) or (xmin == xmax and ymin <= ymax):
            self.empty.append(
                f"{place}: the box of {label!r} is empty: xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, ymax {ymax:g}."
            )
            return
        if not (ymin < ymax and xmin < xmax and math.isfinite(ymin + xmin + ymax + xmax)):
            self.inverted.append(
                f"{place}: the box is inverted or not finite: xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, ymax "
                f"{ymax:g}. Expected xmin < xmax and ymin < ymax. Correct it, or remove it."
            )
            return
        self.boxes.append((ymin, xmin, ymax, xmax, float(crowd)))
        self.labels.append(label)


class BoxesOfImage:
    """Boxes for which one must know how their image lies. In pixels of it as it is seen only when asked for.

    Attributes:
        upright: whether the model turns images by their EXIF orientation, and boxes are of images so turned.
        turned: whether they were found to be of the image as it is stored, and turned along with it.
    """

    def __init__(self, image: Any, boxes: Any):
        """`image` as `image_size` takes it; `boxes` (n, 5): ymin, xmin, ymax, xmax, and 1 for a crowd."""
        self.image = image
        self.boxes = np.asarray(boxes, np.float64).reshape(-1, 5)
        self.upright, self.turned = True, False

    def __len__(self) -> int:
        return len(self.boxes)


class RelativeBoxes(BoxesOfImage):
    """Boxes in shares of their image's height and width, as it is seen."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        size = displayed_size if self.upright else image_size
        height, width = size(self.image) if len(self) else (1, 1)
        return (self.boxes * [height, width, height, width, 1]).astype(dtype or np.float32)


class SizedBoxes(BoxesOfImage):
    """Boxes in pixels of an image whose size the annotation tells.

    Where that is the size of the image as it is stored, and not of the one that is seen, they are turned along.
    """

    def __init__(self, image: Any, boxes: Any, size: tuple[int, int]):
        super().__init__(image, boxes)
        self.size = size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        boxes = self.boxes
        if self.upright and self.turned_by() > 1:
            self.turned = True
            boxes = orient_boxes(boxes, self.turned_by(), *self.size)
        return boxes.astype(dtype or np.float32)

    def turned_by(self) -> int:
        """The EXIF orientation by which the boxes are to be turned, 1 for none, or no image."""
        try:
            return orientation_of_annotation(self.image, self.size)
        except UnreadableError:
            return 1


def box_table(
    source: str,
    images: Sequence[BoxedImage],
    columns: Mapping[str, Column],
    how: ReadOptions,
    classes: Sequence[str] = (),
    *,
    relative: bool = False,
) -> Table:
    """The wanted columns of images with boxes; `relative` boxes are shares of the image.

    Raises:
        DataError: more than half of the boxes have no area, or a tenth is inverted, so that the numbers must mean
            something else; or one is, where bad records are errors.
    """
    empty = [reason for image in images for reason in image.empty]
    inverted = [reason for image in images for reason in image.inverted]
    total = len(empty) + len(inverted) + sum(len(image.boxes) for image in images)
    if len(inverted) > total / 10:
        raise DataError(inverted[0])
    if len(empty) > total / 2:
        raise DataError(f"{source}: {len(empty)} of {total} boxes are empty. The first: {empty[0]}")
    remarks = report_skipped([*inverted, *empty], total, "boxes", how.strict)
    boxes = [_laid(image, relative) for image in images]
    held = {
        Image: [image.image for image in images],
        Boxes: boxes,
        Labels: [image.labels for image in images],
    }
    return Table(source, match_kinds(columns, held, source), lambda row: images[row].where, classes, remarks)


def _laid(image: BoxedImage, relative: bool) -> Any:
    """(n, 5) boxes in pixels of the image as it is seen, or what becomes them."""
    if relative:
        return RelativeBoxes(image.image, image.boxes)
    if min(image.size) > 0 and image.size[0] != image.size[1]:
        return SizedBoxes(image.image, image.boxes, image.size)
    return np.array(image.boxes, np.float32).reshape(-1, 5)


def check_objects(table: Table, columns: Mapping[str, Column]) -> None:
    """Leaves out boxes without an area. Raises DataError for a row with another number of labels than of boxes."""
    boxes, labels = ([name for name, column in columns.items() if isinstance(column, kind)] for kind in (Boxes, Labels))
    if len(boxes) != 1 or len(labels) != 1:
        return
    rows: dict[str, list[Any]] = {boxes[0]: [], labels[0]: []}
    reasons, total = list[str](), 0
    for row, (some, names) in enumerate(zip(table.columns[boxes[0]], table.columns[labels[0]], strict=True)):
        rows[boxes[0]].append(some)
        rows[labels[0]].append(names)
        try:
            named = len(Labels().raw(names))
        except (TypeError, DataError):  # no lists at all: the columns have the words for it
            continue
        if named != len(some):
            raise DataError(
                f"{table.where(row)}: {len(some)} boxes in {boxes[0]!r}, {named} labels in {labels[0]!r}. "
                "Each box needs one label."
            )
        total += named
        keep = _with_area(some)
        if not all(keep):
            where = table.where(row)
            reasons += [f"{where}: box {place} is empty." for place, there in enumerate(keep) if not there]
            rows[boxes[0]][-1] = [box for box, there in zip(some, keep, strict=True) if there]
            rows[labels[0]][-1] = [
                name.decode() for name, there in zip(Labels().raw(names), keep, strict=True) if there
            ]
    if not reasons:
        return
    if len(reasons) > total / 2:
        raise DataError(f"{table.source}: {len(reasons)} of {total} boxes are empty. The first: {reasons[0]}")
    table.columns = {**table.columns, **rows}
    table.remarks = [*table.remarks, *report_skipped(reasons, total, "boxes", table.strict)]


def _with_area(boxes: Any) -> list[bool]:
    """Which boxes have an area, or are none that the column takes: it says so better."""
    if isinstance(boxes, BoxesOfImage):
        return [True]
    try:
        corners = np.asarray(boxes, np.float64).reshape(len(boxes), -1)
    except (TypeError, ValueError):
        return [True]
    if not len(corners) or corners.shape[1] not in (4, 5):
        return [True]
    high, wide = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    return (~(((high == 0) & (wide >= 0)) | ((wide == 0) & (high >= 0)))).tolist()


_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_ALSO = {Image: ("image", "file_name", "filename", "image_path"), Labels: ("label", "labels", "class")}
SMALL = 6  # pixels of an object's shorter side, below which a network hardly finds it


def read_box_rows(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    """One row an image, in the order in which they first appear; a row of the file whose box is blank has no object.

    Boxes are in pixels. The files' names may also stand in `file_name`, `filename` or `image_path`, the labels in
    `labels` or `class`.

    Raises:
        DataError: names the file, the line and what is wrong with it.
    """
    roles: dict[str, Column] = {name: column for name, column in columns.items() if not isinstance(column, Boxes)}
    also: Mapping[str, Sequence[str]] = {
        name: names for name, column in roles.items() for kind, names in _ALSO.items() if isinstance(column, kind)
    }
    wanted = roles | dict.fromkeys(_CORNERS, Boxes())

    def choose(found: Sequence[str], hint: str) -> dict[str, str]:
        return match_names(wanted, found, how.rename, source, alternatives=also, hint=hint)

    cells, where, remarks = read_delimited(path, source, choose, how)
    image, label = (next((cells[n] for n in roles if isinstance(roles[n], kind)), None) for kind in (Image, Labels))
    if image is None:
        raise DataError(f"{source} holds boxes of images, but no image is requested. Requested: {', '.join(columns)}.")
    images: dict[str, BoxedImage] = {}
    inside = FolderGuard(how, path.parent)
    for row, name in enumerate(image):
        place = where(row)
        if not name.strip():
            raise DataError(f"{place}: the name of the image is empty. Set it, or remove the row.")
        if name not in images:
            images[name] = BoxedImage(inside(path.parent / name, place), place)
        boxed = images[name]
        named = "" if label is None else label[row].strip()
        corners = ["" if is_missing_number(cells[corner][row]) else cells[corner][row].strip() for corner in _CORNERS]
        if any(corners) and not all(corners):
            boxed.empty.append(f"{place}: a number of the box is missing.")
            continue
        box = _box(corners, place)
        if box is None and named:
            raise DataError(f"{place}: the label {named!r} has no box. Fill {', '.join(_CORNERS)}, or clear the label.")
        if box is not None and label is not None and not named:
            raise DataError(f"{place}: the box has no label. Set it, or remove the row.")
        if box is not None:
            boxed.add(box, named, place)
    table = box_table(source, list(images.values()), columns, how)
    table.remarks = [*remarks, *table.remarks]
    return table


def _box(cells: list[str], place: str) -> tuple[float, float, float, float] | None:
    """ymin, xmin, ymax, xmax; None where all cells are blank."""
    if not any(cells):
        return None
    try:
        xmin, ymin, xmax, ymax = map(float, cells)
    except ValueError as error:
        hint = next(filter(None, map(comma_hint, cells)), "")
        raise DataError(
            f"{place}: expected numbers in {', '.join(_CORNERS)}. Received: {', '.join(cells)[:100]}.{hint}"
        ) from error
    return ymin, xmin, ymax, xmax


def side_for_objects(table: Table, usual: int, most_common: int, wanted: int) -> int:
    """The side of a network's image in which half of a table's objects have so many pixels on their shorter side.

    Args:
        table: with `image` and `boxes`; at most 200 of its rows are looked at, by the headers of their images.
        usual, most: the least and the greatest side.
        wanted: pixels.
    """
    shares: list[float] = []
    for row in evenly_spaced(len(table), 200):
        with contextlib.suppress(DataError):  # encoding names it
            boxes = CrowdBoxes().raw(table.columns["boxes"][row])[:, :4]
            shares += (
                (boxes[:, 2:] - boxes[:, :2]).min(axis=1) / max(displayed_size(table.columns["image"][row]))
            ).tolist()
    side = wanted / max(float(np.median(shares)), 1e-9) if shares else 0.0
    return int(np.clip(side, usual, most_common))


def inspect_boxes(report: Report, table: Table, shape_of: Callable[[Table], tuple[int, int, int]], usual: int) -> None:
    """Adds what the objects of images are like to a report, and refuses boxes that cannot be meant.

    Args:
        report: to add to.
        table: training rows, with `image`, `boxes` and `labels`.
        shape_of: from a table to the height, width and channels of the network's image.
        usual: the side of the network's image beyond which it is said.
    """
    counts: collections.Counter[str] = collections.Counter()
    outside, tiny, inside = [], [], []
    sides: list[float] = []
    empty = boxes_seen = images = 0
    try:
        height, width, _ = shape_of(table)
    except DataError:
        return  # no image can be read: building the task says so
    for row in report.sample(len(table)):
        try:
            boxes = CrowdBoxes().raw(table.columns["boxes"][row])[:, :4]
            size = displayed_size(table.columns["image"][row])
        except DataError:
            continue  # encoding names it
        counts.update(label.decode() for label in Labels().raw(table.columns["labels"][row]))
        images += 1
        empty += not len(boxes)
        boxes_seen += len(boxes)
        ratio = min(height / size[0], width / size[1])
        for box in boxes:
            side = float(min(box[2] - box[0], box[3] - box[1])) * ratio
            middle = (box[:2] + box[2:]) / 2
            sides.append(side)
            if (middle < 0).any() or middle[0] > size[0] or middle[1] > size[1]:
                outside.append(row)
            elif side < 1:
                tiny.append(row)
                if float(box.max()) <= 1:
                    inside.append(row)
    if not boxes_seen:
        return
    report.statistics["objects"] = most_common(counts)
    report.statistics["images without objects"] = empty
    report.statistics["shorter side of objects"] = (
        f"{np.median(sides):.0f} pixels in the network's {height} x {width} input"
    )
    if max(height, width) > usual:
        report.remarks.append(
            f"the network's input is {height} x {width} pixels instead of the usual {usual}, because objects are "
            f"small: training takes longer. {option('image_size')} sets it"
        )
    _judge_boxes(report, table, {"outside": outside, "tiny": tiny, "shares": inside}, boxes_seen, sides)
    absent = [name for name in table.classes if name not in counts]
    if absent:
        report.add_warning(f"{len(absent)} of {len(table.classes)} classes have no object", map(repr, absent))


def _judge_boxes(
    report: Report, table: Table, found: Mapping[str, list[int]], count: int, sides: Sequence[float]
) -> None:
    def places(kind: str) -> list[str]:
        return [table.where(row) for row in dict.fromkeys(found[kind])]

    outside, tiny = len(found["outside"]), len(found["tiny"])
    if outside > count / 2:
        report.add_error(
            f"the centers of {outside} of {count} boxes are outside their image",
            places("outside"),
            "Boxes must be in pixels, or, in YOLO files, relative to the image size between 0 and 1: check the format.",
        )
    elif outside:
        report.add_warning(f"the centers of {outside} of {count} boxes are outside their image", places("outside"))
    if tiny > count / 2:
        cure = "They look relative to the image size: multiply them by the width and height, or use the YOLO format."
        cure = (
            cure
            if len(found["shares"]) > tiny / 2
            else f"Raise {option('image_size')}, or split the images into tiles."
        )
        report.add_error(
            f"{tiny} of {count} boxes are smaller than a pixel of the network's input", places("tiny"), cure
        )
    elif np.median(sides) < SMALL:
        report.add_warning(
            f"half of the {count} objects are smaller than {SMALL} pixels in the network's input",
            cure=f"Raise {option('image_size')}, or split the images into tiles.",
        )
    elif tiny:
        report.add_warning(f"{tiny} of {count} boxes are smaller than a pixel of the network's input", places("tiny"))


class ObjectRows(Rows):
    """Images with objects, whose labels must be those of training."""

    task: ObjectDetector

    def __init__(self, task: ObjectDetector, table: Table):
        super().__init__(task, table)
        if not turns_images(task):
            for boxes in table.columns.get("boxes", ()):  # none in what is to be answered alone
                if isinstance(boxes, BoxesOfImage):
                    boxes.upright = False

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        inspect_boxes(report, self.table, self.task.network_shape, max(self.task.image_size, self.task.usual_side))

    def continued_from(self, model: ObjectDetector) -> dict[str, Any]:
        count = max((len(labels) for labels in self.table.columns["labels"]), default=0)
        return {"max_objects_": max(count, model.max_objects_)}  # room for all objects of an image

    def to_encode(self) -> Table:
        return respelled(self.table, "labels", self.task.target["labels"], self.task.labels_)

    def to_evaluate(self) -> Table:
        return self.to_encode()

    def check(self) -> None:
        check_labels(self.table, self.task.target["labels"], self.task.labels_, "labels")

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Each answered box's overlap with the object that it finds; and objects found and missed, and false boxes,
        among answers of a score of at least 0.5."""
        from dlkit.tasks.object_detection.metrics import SURE, match_boxes

        del row
        boxes, labels = target["boxes"], [label.decode() for label in target["labels"]]
        crowd = boxes[:, 4] > 0
        overlaps, lies_in_crowd = match_boxes(answer, boxes, labels)
        sure = [score >= SURE for score in answer["scores"]]
        matched = sum(holds and overlap is not None for holds, overlap in zip(sure, overlaps, strict=True))
        return [
            {
                "true_boxes": boxes[:, :4].tolist(),
                "true_labels": labels,
                **answer,
                "overlaps": overlaps,
                "matched": matched,
                "missed": int((~crowd).sum()) - matched,
                "false": sum(sure) - matched - sum(map(operator.and_, sure, lies_in_crowd)),
            }
        ]

    def remarks(self, store: Store) -> list[str]:
        flags = store.every(lambda row: row[1]["predictions"])[..., 5]
        clipped = int((flags >= CLIPPED).sum())
        turned = sum(isinstance(boxes, BoxesOfImage) and boxes.turned for boxes in self.table.columns["boxes"])
        said = [f"{clipped} boxes extended beyond their image and were clipped"] if clipped else []
        return [*said, f"the boxes of {turned} images {ROTATED_WITH_IMAGE}"] if turned else said
