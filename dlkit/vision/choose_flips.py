"""Choice of random flips and rotations by the training images, for tasks with boxes or masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report
from dlkit.vision.orientation_tests import MAX_ACCURACY, compare_orientations

FLIP_HELP = (
    "Random flips. Training images are flipped with a probability of 0.5 along each axis. With `auto`, they are "
    "flipped along both axes if the images have no preferred orientation, as is usual for aerial and microscope "
    "images, and horizontally otherwise. Images have no preferred orientation if a linear classifier of thumbnails "
    f"tells flipped images from unchanged ones with an accuracy of at most {MAX_ACCURACY:.0%} for each axis."
)
ROTATE_HELP = (
    "Whether to rotate images by 90 degrees. A random half of the training images is rotated. By default, images "
    "are rotated if the network input is square, `flip=auto` selects flips along both axes, and a linear classifier "
    f"tells rotated images from unchanged ones with an accuracy of at most {MAX_ACCURACY:.0%}, too. "
    "(default: automatic)"
)


class HasFlips(Protocol):
    """The options of a task whose images are flipped together with boxes or masks."""

    flip: Any
    rotate_90: bool | None
    max_pixels: int

    @property
    def inputs(self) -> Mapping[str, Column]: ...

    def network_shape(self, examples: Table) -> tuple[int, int, int]: ...


@dataclass(frozen=True)
class Flips:
    """Flips and rotations.

    Attributes:
        flip: "none", "horizontal", "vertical" or "both".
        rotate_90: whether images are rotated by 90 degrees.
        reason: why the data have led to them; "" if they were given.
    """

    flip: str
    rotate_90: bool
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The values as the task keeps them."""
        return asdict(self)

    def as_text(self) -> str:
        """The values and the reason, for the report."""
        flips = {"none": "no flips", "both": "horizontal and vertical flips"}.get(self.flip, f"{self.flip} flips")
        text = f"{flips} and rotations by 90 degrees" if self.rotate_90 else flips
        return f"{text}; {self.reason}" if self.reason else text


def choose_flips(task: HasFlips, table: Table, size: tuple[int, int]) -> Flips:
    """Choose the flips and rotations of a table's images.

    Args:
        task: whose options `flip` and `rotate_90` count where they are given.
        table: training rows.
        size: height and width of the network's input.
    """
    if task.flip != "auto":
        return Flips(task.flip, bool(task.rotate_90))
    test = compare_orientations(table, task.inputs["image"], task.max_pixels)
    rotated = test.rotate_90 and size[0] == size[1] if task.rotate_90 is None else task.rotate_90
    return Flips(test.flip, rotated, test.as_text())


def inspect_flips(report: Report, task: HasFlips, table: Table) -> None:
    """Add the flips and rotations to a report."""
    try:
        shape = task.network_shape(table)
    except DataError:
        return  # no image can be read, which is an error when the task is built
    report.statistics["augmentation"] = choose_flips(task, table, shape[:2]).as_text()
