"""Rows of images with masks: checks, statistics and reports on masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlkit.columns import Image
from dlkit.data.match import to_nfc
from dlkit.data.table import Table
from dlkit.errors import DataError, UnreadableError
from dlkit.report import Report, most_common
from dlkit.rows import Rows
from dlkit.tasks.image_segmentation.columns import Mask
from dlkit.tasks.image_segmentation.mask_png import IGNORE_CLASS, encode_mask
from dlkit.vision.choose_flips import choose_flips, inspect_flips
from dlkit.vision.image_facts import ROTATED_WITH_IMAGE, displayed_size, orientation_of_annotation
from dlkit.vision.orientation import orient_array

if TYPE_CHECKING:
    from dlkit.tasks.image_segmentation.task import ImageSegmenter
    from dlkit.training.store import Store


class ReorientedMask:
    """A mask of an image as stored, rotated by its EXIF orientation when converted by `numpy.asarray`."""

    def __init__(self, mask: Any, orientation: int):
        """Initialize from a mask, as `Mask.raw` takes it, and the EXIF orientation of its image."""
        self.mask, self.orientation = mask, orientation

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        ids = Mask().show(Mask().raw(self.mask))
        return orient_array(ids, self.orientation).astype(dtype or np.uint8)


def check_masks(table: Table, num_classes: int = 0) -> int:
    """Check the sizes and class ids of all masks.

    A mask of the size of the image as stored, not as displayed, is rotated by the EXIF orientation in the table.

    Args:
        table: with the columns `image` and `mask`. Rows that cannot be read are skipped; encoding reports them.
        num_classes: number of classes; 0 for the classes that the table names, if it does.

    Returns:
        The number of classes found: the largest class id other than 255, plus one.

    Raises:
        DataError: a mask has another size than its image, or an unknown class id: names the row and the mask. Or, if
            classes are to be learned, the masks hold only 0 and 255.
    """
    learns_classes = not num_classes
    num_classes = num_classes or len(table.classes) or IGNORE_CLASS
    present = np.zeros(256, bool)
    for row in range(len(table)):
        try:
            ids = _class_ids(table, row)
            size = displayed_size(_readable_image(table.columns["image"][row]))
            if ids.shape != size and _reorient(table, row, ids.shape):
                ids = _class_ids(table, row)
        except UnreadableError:
            continue
        if ids.shape != size:
            raise DataError(
                f"{_describe_mask(table, row)} is {ids.shape[0]} x {ids.shape[1]} pixels, its image "
                f"{size[0]} x {size[1]} (height x width). A mask must have the size of its image."
            )
        counts = np.bincount(ids.ravel(), minlength=256)
        invalid = [number for number in np.flatnonzero(counts) if num_classes <= number < IGNORE_CLASS]
        if invalid:
            raise DataError(
                f"{_describe_mask(table, row)} has {counts[invalid[0]]} pixels of the class id {invalid[0]}. The "
                f"ids of the {num_classes} classes are 0 to {num_classes - 1}; {IGNORE_CLASS} marks ignored pixels."
            )
        present |= counts > 0
    found = np.flatnonzero(present[:IGNORE_CLASS])
    if learns_classes and present[IGNORE_CLASS] and found.tolist() in ([0], []):
        raise DataError(
            f"{table.source}: its masks hold only {' and '.join(map(str, [*found, IGNORE_CLASS]))}, and {IGNORE_CLASS} "
            "marks ignored pixels. If it is a class, name both by their colors in a file classes.json next to the "
            'masks: {"background": [0, 0, 0], "object": [255, 255, 255]}.'
        )
    return int(found[-1]) + 1 if len(found) else 0


def count_pixels_and_sizes(table: Table, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Count the pixels of each class and collect the sizes of the masks.

    Args:
        table: with the column `mask`. Masks that cannot be read are skipped.
        num_classes: number of classes.

    Returns:
        The number of pixels of each class, (num_classes,), and height and width of each mask, (masks, 2) in pixels.
    """
    counts, sizes = np.zeros(256, np.int64), []
    for row in range(len(table)):
        try:
            ids = _class_ids(table, row)
        except UnreadableError:
            continue
        counts += np.bincount(ids.ravel(), minlength=256)
        sizes.append(ids.shape)
    return counts[:num_classes], np.array(sizes)


def _class_ids(table: Table, row: int) -> np.ndarray:
    """Read the class ids of a mask, (height, width) uint8. Raises UnreadableError."""
    return Mask().show(table.raw(row, {"mask": Mask()})["mask"])


def _readable_image(image: Any) -> Any:
    """Convert an image to a form that `image_size` reads."""
    readable = isinstance(image, (str, bytes, np.ndarray)) or hasattr(image, "__fspath__")
    return image if readable else Image().raw(image)


def _reorient(table: Table, row: int, size: tuple[int, ...]) -> bool:
    """Rotate a mask in the table if it has the size of its image as stored. Returns whether it was rotated."""
    orientation = orientation_of_annotation(_readable_image(table.columns["image"][row]), (size[0], size[1]))
    if orientation > 1:
        masks = list(table.columns["mask"])
        masks[row] = ReorientedMask(masks[row], orientation)
        table.columns = {**table.columns, "mask": masks}
    return orientation > 1


def _describe_mask(table: Table, row: int) -> str:
    """Describe a mask in messages: its row, and its file if there is one."""
    mask = table.columns["mask"][row]
    mask = getattr(mask, "mask", mask)  # the file of a color mask
    file = f" {str(mask)!r}" if isinstance(mask, str) or hasattr(mask, "__fspath__") else ""
    return f"{table.where(row)}: the mask{file}"


def inspect_masks(report: Report, table: Table) -> None:
    """Add the fractions of the classes to a report, and refuse masks whose class ids are implausible."""
    counts = np.zeros(256, np.int64)
    for row in report.sample(len(table)):
        try:
            ids = _class_ids(table, row)
        except DataError:
            continue  # reported when it is encoded
        counts += np.bincount(ids.ravel(), minlength=256)
    found = np.flatnonzero(counts).tolist()
    if not found:
        return
    names = table.classes or [str(number) for number in range(IGNORE_CLASS)]
    by_name = {(names[number] if number < len(names) else str(number)): int(counts[number]) for number in found}
    report.statistics["pixels"] = {
        name: f"{count / counts.sum():.1%}" for name, count in most_common(by_name, 254).items()
    }
    class_ids = [number for number in found if number != IGNORE_CLASS]
    if found in ([0, IGNORE_CLASS], [IGNORE_CLASS]):
        report.add_error(
            "the masks hold only the ids 0 and 255, and 255 marks ignored pixels: there is only one class",
            [str(table.where(0))],
            "If 255 is a class, name the colors in a file classes.json next to the masks: "
            '{"background": [0, 0, 0], "object": [255, 255, 255]}; or write it as 1.',
        )
    elif not table.classes and 1 < len(class_ids) <= (class_ids[-1] + 1) / 2 and class_ids[-1] > 3:
        report.add_error(
            f"the masks have {len(class_ids)} class ids with large gaps: {', '.join(map(str, class_ids[:12]))}",
            [str(table.where(0))],
            "They may be gray values or colors. Name the classes, or their colors, in a file classes.json next to "
            "the masks, or number them 0, 1, 2, ...",
        )
    absent = [name for number, name in enumerate(table.classes) if not counts[number]]
    if absent:
        report.add_warning(f"{len(absent)} of {len(table.classes)} classes have no pixel", map(repr, absent))


class MaskRows(Rows):
    """Images with masks."""

    task: ImageSegmenter

    @property
    def windows_per_row(self) -> int:
        """Number of tiles of an image."""
        rows, columns = self.task.tile_grid_
        return rows * columns

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        inspect_masks(report, self.table)
        inspect_flips(report, self.task, self.table)

    def new_labels(self, known: Sequence[str]) -> list[str]:
        listed = [*map(to_nfc, self.table.classes)]
        if listed and listed[: len(known)] != [*map(to_nfc, known)]:
            raise DataError(
                f"{self.table.source} names the classes {listed}, the model has {list(known)}. The model's classes "
                "must come first, in the same order, as the mask ids refer to it."
            )
        if listed:
            return listed[len(known) :]
        new = [str(number) for number in range(len(known), check_masks(self.table))]
        if new and [*known] != [str(number) for number in range(len(known))]:
            raise DataError(
                f"{self.table.source} has class ids beyond the {len(known)} classes of the model, but no class "
                "names. Name all classes, the model's first, in a file classes.json next to the masks."
            )
        return new

    def continued_from(self, model: ImageSegmenter) -> dict[str, Any]:
        size = model.stages_.network.input["image"].shape[1:3]
        self.task.compute_mask_statistics(self.table, size)
        return {"flips_": choose_flips(self.task, self.table, size).as_dict()}

    def classes_of(self, row: int) -> Iterable[str]:
        try:
            ids = np.unique(_class_ids(self.table, row))
        except DataError:
            return []  # reported when it is encoded
        names = self.table.classes
        return [names[number] if number < len(names) else str(number) for number in ids if number != IGNORE_CLASS]

    def check(self) -> None:
        table, labels = self.table, self.task.labels_
        if table.classes and list(table.classes) != [*map(to_nfc, labels)]:
            raise DataError(
                f"{table.source} names the classes {list(table.classes)}, training had {labels}. They must match, "
                "in the same order."
            )
        check_masks(table, len(labels))

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add intersection over union and accuracy to a prediction.

        Returns:
            The row with `iou`, the mean over the classes of the row, `iou_by_class`, and `pixel_accuracy`, the fraction
            of correct pixels; None if no pixel is valid.
        """
        from dlkit.tasks.image_segmentation.metrics import compute_ious

        errors = super().with_errors(row, target, answer)[0]
        by_class, accuracy = compute_ious(Mask().show(target["mask"]), answer["mask"], self.task.labels_)
        mean = sum(by_class.values()) / len(by_class) if by_class else None
        return [{**errors, "iou": mean, "pixel_accuracy": accuracy, "iou_by_class": by_class}]

    def remarks(self, store: Store) -> list[str]:
        reoriented = sum(isinstance(mask, ReorientedMask) for mask in self.table.columns["mask"])
        return [f"{reoriented} masks {ROTATED_WITH_IMAGE}"] if reoriented else []


def write_masks(
    task: ImageSegmenter, answers: Iterable[tuple[str, dict[str, Any]]], folder: Path, output: Path
) -> None:
    """Write predicted masks into a folder, as PNGs of class ids at the relative paths of their images.

    Args:
        task: not used.
        answers: path of each image, and its prediction.
        folder: folder of the images.
        output: folder to create.
    """
    del task
    output.mkdir()
    for path, answer in answers:
        mask = output / Path(path).relative_to(folder).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.write_bytes(encode_mask(answer["mask"]))
