"""What the masks of a table are like: all of them are decoded for it."""

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
from dlkit.tasks.image_segmentation.mask_png import NO_CLASS, encode_mask
from dlkit.vision.image_facts import (
    ROTATED_WITH_IMAGE,
    displayed_size,
    image_size,
    orientation_of_annotation,
    turns_images,
)
from dlkit.vision.orientation import orient_array

if TYPE_CHECKING:
    from dlkit.tasks.image_segmentation.task import ImageSegmenter
    from dlkit.training.store import Store


class TurnedMask:
    """A mask of an image as it is stored, turned to lie on the one that is seen when it is asked for."""

    def __init__(self, mask: Any, orientation: int):
        """`mask` as `Mask.raw` takes it; the EXIF orientation of its image."""
        self.mask, self.orientation = mask, orientation

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        ids = Mask().show(Mask().raw(self.mask))
        return orient_array(ids, self.orientation).astype(dtype or np.uint8)


def check_masks(table: Table, classes: int = 0, *, upright: bool = True) -> int:
    """Refuses a mask of another size than its image, and ids beyond the classes.

    A mask that is of its image's size as that is stored, and not as it is seen, is turned in the table.

    Args:
        table: with the columns `image` and `mask`. Rows that cannot be read are passed over: encoding names them.
        classes: how many classes there are; 0 for those that the table names, if it does.
        upright: whether images are turned by their EXIF orientation.

    Returns:
        The number of classes seen: the largest id, other than 255, plus one.

    Raises:
        DataError: names the row and the mask; or, where classes are to be learned, the masks hold 0 and 255 alone.
    """
    learning = not classes
    classes = classes or len(table.classes) or NO_CLASS
    seen = np.zeros(256, bool)
    for row in range(len(table)):
        try:
            ids = _ids(table, row)
            size = _size(table.columns["image"][row], upright)
            if upright and ids.shape != size and _turn(table, row, ids.shape):
                ids = _ids(table, row)
        except UnreadableError:
            continue
        if ids.shape != size:
            raise DataError(
                f"{_named(table, row)} is {ids.shape[0]} x {ids.shape[1]} pixels, its image {size[0]} x {size[1]} "
                "(height x width). A mask must have the size of its image."
            )
        present = np.bincount(ids.ravel(), minlength=256)
        beyond = [number for number in np.flatnonzero(present) if classes <= number < NO_CLASS]
        if beyond:
            raise DataError(
                f"{_named(table, row)} has {present[beyond[0]]} pixels of the class id {beyond[0]}. The ids of the "
                f"{classes} classes are 0 to {classes - 1}; {NO_CLASS} marks ignored pixels."
            )
        seen |= present > 0
    known = np.flatnonzero(seen[:NO_CLASS])
    if learning and seen[NO_CLASS] and known.tolist() in ([0], []):
        raise DataError(
            f"{table.source}: its masks hold only {' and '.join(map(str, [*known, NO_CLASS]))}, and {NO_CLASS} marks "
            "ignored pixels. If it is a class, name both by their colors in a file classes.json next to the masks: "
            '{"background": [0, 0, 0], "object": [255, 255, 255]}.'
        )
    return int(known[-1]) + 1 if len(known) else 0


def pixels_and_sizes(table: Table, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of each class, (classes,), and the height and width of each mask that can be read, (masks, 2)."""
    counts, sizes = np.zeros(256, np.int64), []
    for row in range(len(table)):
        try:
            ids = _ids(table, row)
        except UnreadableError:
            continue
        counts += np.bincount(ids.ravel(), minlength=256)
        sizes.append(ids.shape)
    return counts[:classes], np.array(sizes)


def _ids(table: Table, row: int) -> np.ndarray:
    """(height, width) uint8, the class ids of a mask. Raises UnreadableError, as `Mask.raw` does."""
    return Mask().show(table.raw(row, {"mask": Mask()})["mask"])


def _size(image: Any, upright: bool) -> tuple[int, int]:
    return (displayed_size if upright else image_size)(_known(image))


def _known(image: Any) -> Any:
    """An image as `image_size` takes it."""
    known = isinstance(image, (str, bytes, np.ndarray)) or hasattr(image, "__fspath__")
    return image if known else Image().raw(image)


def _turn(table: Table, row: int, size: tuple[int, ...]) -> bool:
    """Turns a mask in a table, if it is of its image as it is stored. Returns whether it is."""
    orientation = orientation_of_annotation(_known(table.columns["image"][row]), (size[0], size[1]))
    if orientation > 1:
        masks = list(table.columns["mask"])
        masks[row] = TurnedMask(masks[row], orientation)
        table.columns = {**table.columns, "mask": masks}
    return orientation > 1


def _named(table: Table, row: int) -> str:
    mask = table.columns["mask"][row]
    mask = getattr(mask, "mask", mask)  # of a coloured one, its file
    file = f" {str(mask)!r}" if isinstance(mask, str) or hasattr(mask, "__fspath__") else ""
    return f"{table.where(row)}: the mask{file}"


def inspect_masks(report: Report, table: Table) -> None:
    """Adds the pixels of each class to a report, and refuses masks whose ids cannot be meant."""
    counts = np.zeros(256, np.int64)
    for row in report.sample(len(table)):
        try:
            ids = _ids(table, row)
        except DataError:
            continue  # encoding names it
        counts += np.bincount(ids.ravel(), minlength=256)
    seen = np.flatnonzero(counts).tolist()
    if not seen:
        return
    names = table.classes or [str(number) for number in range(NO_CLASS)]
    named = {(names[number] if number < len(names) else str(number)): int(counts[number]) for number in seen}
    report.statistics["pixels"] = {
        name: f"{count / counts.sum():.1%}" for name, count in most_common(named, 254).items()
    }
    classes = [number for number in seen if number != NO_CLASS]
    if seen in ([0, NO_CLASS], [NO_CLASS]):
        report.add_error(
            "the masks hold only the ids 0 and 255, and 255 marks ignored pixels: there is only one class",
            [str(table.where(0))],
            "If 255 is a class, name the colors in a file classes.json next to the masks: "
            '{"background": [0, 0, 0], "object": [255, 255, 255]}; or write it as 1.',
        )
    elif not table.classes and len(classes) > 1 and len(classes) <= (classes[-1] + 1) / 2 and classes[-1] > 3:
        report.add_error(
            f"the masks have {len(classes)} class ids with large gaps: {', '.join(map(str, classes[:12]))}",
            [str(table.where(0))],
            "They may be gray values or colors. Name the classes, or their colors, in a file classes.json next to "
            "the masks, or number them 0, 1, 2, ...",
        )
    absent = [name for number, name in enumerate(table.classes) if not counts[number]]
    if absent:
        report.add_warning(f"{len(absent)} of {len(table.classes)} classes have no pixel", map(repr, absent))


class MaskRows(Rows):
    """Images with masks, whose classes must be those of training."""

    task: ImageSegmenter

    @property
    def windows_per_row(self) -> int:
        """The tiles of an image."""
        down, across = self.task.tiles_
        return down * across

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        inspect_masks(report, self.table)

    def new_labels(self, known: Sequence[str]) -> list[str]:
        listed = [*map(to_nfc, self.table.classes)]
        if listed and listed[: len(known)] != [*map(to_nfc, known)]:
            raise DataError(
                f"{self.table.source} names the classes {listed}, the model has {list(known)}. The model's classes "
                "must come first, in the same order, as the mask ids refer to it."
            )
        if listed:
            return listed[len(known) :]
        new = [str(number) for number in range(len(known), check_masks(self.table, upright=turns_images(self.task)))]
        if new and [*known] != [str(number) for number in range(len(known))]:
            raise DataError(
                f"{self.table.source} has class ids beyond the {len(known)} classes of the model, but no class "
                "names. Name all classes, the model's first, in a file classes.json next to the masks."
            )
        return new

    def continued_from(self, model: ImageSegmenter) -> dict[str, Any]:
        self.task.learn_from_masks(self.table, model.stages_.network.input["image"].shape[1:3])
        return {}

    def classes_of(self, row: int) -> Iterable[str]:
        try:
            ids = np.unique(_ids(self.table, row))
        except DataError:
            return []  # encoding names it
        names = self.table.classes
        return [names[number] if number < len(names) else str(number) for number in ids if number != NO_CLASS]

    def check(self) -> None:
        table, labels = self.table, self.task.labels_
        if table.classes and list(table.classes) != [*map(to_nfc, labels)]:
            raise DataError(
                f"{table.source} names the classes {list(table.classes)}, training had {labels}. They must match, "
                "in the same order."
            )
        check_masks(table, len(labels), upright=turns_images(self.task))

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """The mean intersection over union of the classes that the row's masks have, that of each, and the share of
        right pixels; null where no pixel counts."""
        from dlkit.tasks.image_segmentation.metrics import ious

        made = super().with_errors(row, target, answer)[0]
        shares, accuracy = ious(Mask().show(target["mask"]), answer["mask"], self.task.labels_)
        mean = sum(shares.values()) / len(shares) if shares else None
        return [{**made, "iou": mean, "pixel_accuracy": accuracy, "iou_by_class": shares}]

    def remarks(self, store: Store) -> list[str]:
        turned = sum(isinstance(mask, TurnedMask) for mask in self.table.columns["mask"])
        return [f"{turned} masks {ROTATED_WITH_IMAGE}"] if turned else []


def write_masks(
    task: ImageSegmenter, answers: Iterable[tuple[str, dict[str, Any]]], folder: Path, output: Path
) -> None:
    """A folder of masks, PNGs of class ids: each at the place of its image, which may lie in a folder below."""
    del task
    output.mkdir()
    for path, answer in answers:
        mask = output / Path(path).relative_to(folder).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.write_bytes(encode_mask(answer["mask"]))
