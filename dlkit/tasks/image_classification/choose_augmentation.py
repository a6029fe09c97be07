"""The augmentation that suits the training images, for the options that are left to the data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.vision.orientation_tests import MIN_KEPT_SHARE, compare_mirrored

BY_DATA = -1  # the value of an option that `augmentation` sets
SHIFT_PARTS = {"light": 12, "strong": 8}  # of the image's shorter side: images are shifted by up to one
COLOR_JITTER = {"light": 0.2, "strong": 0.4}
ERASED = {"light": 0.0, "strong": 0.25}  # fraction of the images with an erased rectangle


@dataclass(frozen=True)
class Augmentation:
    """What `augmentation` sets, and why.

    Attributes:
        flip: "none" or "horizontal".
        shift: maximum translation in pixels.
        color_jitter: strength of random color jitter.
        erase: fraction of the images with a randomly erased rectangle.
        reason: why images are flipped, or not.
    """

    flip: str = "none"
    shift: int = 0
    color_jitter: float = 0.0
    erase: float = 0.0
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The values as the task keeps them."""
        return asdict(self)

    def as_text(self) -> str:
        """The values and the reason, for the report."""
        parts = [f"{self.flip} flips"] if self.flip != "none" else ["no flips"]
        parts += [f"shifts of up to {self.shift} pixels"] if self.shift else []
        parts += [f"color jitter {self.color_jitter:g}"] if self.color_jitter else []
        parts += [f"a rectangle erased in {self.erase:.0%} of the images"] if self.erase else []
        return f"{', '.join(parts)}; {self.reason}" if self.reason else ", ".join(parts)


def choose_augmentation(
    strength: str,
    table: Table,
    column: Column,
    labels: list[str] | None,
    shape: tuple[int, int, int],
    max_pixels: int,
    *,
    tests_flips: bool = True,
) -> Augmentation:
    """Choose the augmentation of a table's images.

    Args:
        strength: "none", "light" or "strong"; "auto" is "light".
        table: training rows.
        column: the column `image`.
        labels: the label of each row; None where rows have several.
        shape: height, width and channels of the network's input.
        max_pixels: larger images are left out of the test.
        tests_flips: whether the test for flips is needed; false where the option is given.
    """
    if strength == "none":
        return Augmentation()
    strength = "light" if strength == "auto" else strength
    in_color = shape[2] == 3
    flips, reason = _mirror_rule(table, column, labels, in_color, max_pixels) if tests_flips else (False, "")
    return Augmentation(
        "horizontal" if flips else "none",
        min(shape[:2]) // SHIFT_PARTS[strength],
        COLOR_JITTER[strength] if in_color else 0.0,
        ERASED[strength],
        reason,
    )


def _mirror_rule(
    table: Table, column: Column, labels: list[str] | None, in_color: bool, max_pixels: int
) -> tuple[bool, str]:
    """Return whether images are flipped, and why."""
    kind = "in color" if in_color else "in grayscale"
    if labels is None:
        return in_color, f"the images are {kind}, and rows with several labels are not tested"
    test = compare_mirrored(table, column, labels, max_pixels)
    if not test.is_informative:
        return (
            in_color,
            (
                f"the images are {kind}, and a linear classifier of their thumbnails is no better than chance, so that "
                "mirror images were not tested"
            ),
        )
    return test.keeps_classes, (
        f"a linear classifier of thumbnails has accuracy {test.accuracy:.2f} on held-out training images and "
        f"{test.mirrored:.2f} on their mirror images, where chance is {test.chance:.2f}: they keep "
        f"{'at least' if test.keeps_classes else 'less than'} {MIN_KEPT_SHARE:.0%} of what is above chance"
    )
