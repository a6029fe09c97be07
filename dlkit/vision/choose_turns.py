"""The flips and rotations of training images of objects and masks, where they are left to the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.report import Report
from dlkit.vision.orientation_tests import TOLD, turn_test

FLIP_HELP = (
    "Random flips, each applied to half of the training images. auto: both if the images have no preferred orientation,"
    f" else horizontal. They have none if a linear classifier of thumbnails tells flipped from other training images"
    f" with an accuracy of at most {TOLD:.0%}, as is usual for images from above or of a microscope."
)
ROTATE_HELP = (
    "Rotates half of the training images by 90 degrees. If it is not given, they are rotated where flip is left to the"
    " data and both flips are chosen, the network's input is square, and rotated images cannot be told either."
)


class Turnable(Protocol):
    """What a task with images of objects or masks has."""

    flip: Any
    rotate_90: bool | None
    max_pixels: int

    @property
    def inputs(self) -> Mapping[str, Column]: ...

    def network_shape(self, examples: Table) -> tuple[int, int, int]: ...


@dataclass(frozen=True)
class Turns:
    """Flips and rotations.

    Attributes:
        flip: "none", "horizontal", "vertical" or "both".
        rotate_90: whether images are rotated by 90 degrees.
        reason: of those that the data have chosen.
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
        turned = f"{flips} and rotations by 90 degrees" if self.rotate_90 else flips
        return f"{turned}; {self.reason}" if self.reason else turned


def choose_turns(task: Turnable, table: Table, size: tuple[int, int]) -> Turns:
    """Choose the flips and rotations of a table's images.

    Args:
        task: whose options `flip` and `rotate_90` count where they are given.
        table: training rows.
        size: height and width of the network's input.
    """
    if task.flip != "auto":
        return Turns(task.flip, bool(task.rotate_90))
    test = turn_test(table, task.inputs["image"], task.max_pixels)
    rotated = test.rotate_90 and size[0] == size[1] if task.rotate_90 is None else task.rotate_90
    return Turns(test.flip, rotated, test.as_text())


def inspect_turns(report: Report, task: Turnable, table: Table) -> None:
    """Add the flips and rotations to a report."""
    try:
        shape = task.network_shape(table)
    except DataError:
        return  # no image can be read, which is an error when the task is built
    report.statistics["augmentation"] = choose_turns(task, table, shape[:2]).as_text()
