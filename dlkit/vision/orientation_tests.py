"""Two tests on thumbnails: whether mirror images keep their class, and whether images have a preferred orientation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dlkit.columns import Column
from dlkit.data.split import evenly_spaced
from dlkit.data.table import Table
from dlkit.vision.thumbnails import fit_linear, read_thumbnails

MAX_ROWS = 1000  # rows that a test reads
MIN_ROWS = 60  # with fewer rows of labeled images there is no test
TEST_PART = 3  # every third row is held out
MIN_KEPT_SHARE = 0.45  # mirror images keep their class if this share of the accuracy above chance remains
MAX_ACCURACY = 0.68  # images whose flips are told from them with at most this accuracy have no preferred orientation
MIN_IMAGES, WINDOWS, MAX_WINDOWS = 10, 12, 600  # images of a test without labels; windows of each, and of all


@dataclass(frozen=True)
class MirrorTest:
    """Accuracies of a linear classifier of thumbnails on held-out training images.

    Attributes:
        accuracy: on the images as they are.
        mirrored: on their mirror images.
        chance: of always predicting the most frequent class.
        rows: number of held-out images; 0 if there were too few to tell.
    """

    accuracy: float
    mirrored: float
    chance: float
    rows: int

    @property
    def is_informative(self) -> bool:
        """Whether the classifier is better than chance by two standard errors."""
        error = np.sqrt(self.chance * (1.0 - self.chance) / max(self.rows, 1))
        return self.rows > 0 and self.accuracy > self.chance + 2.0 * error

    @property
    def keeps_classes(self) -> bool:
        """Whether the mirror images keep their classes."""
        return self.mirrored - self.chance >= MIN_KEPT_SHARE * (self.accuracy - self.chance)


def compare_mirrored(table: Table, column: Column, labels: list[str], max_pixels: int) -> MirrorTest:
    """Compare the accuracy on held-out images with that on their mirror images.

    Args:
        table: training rows.
        column: the column `image`.
        labels: the label of each row.
        max_pixels: larger images are left out.
    """
    thumbnails, rows = read_thumbnails(table, column, evenly_spaced(len(table), MAX_ROWS), max_pixels)
    if len(rows) < MIN_ROWS:
        return MirrorTest(0.0, 0.0, 0.0, 0)
    order = np.random.RandomState(0).permutation(len(rows))  # rows may be sorted by label
    thumbnails, classes = thumbnails[order], np.unique([labels[row] for row in rows[order]], return_inverse=True)[1]
    held_out = np.arange(len(rows)) % TEST_PART == 0
    predict, true = fit_linear(thumbnails[~held_out], classes[~held_out]), classes[held_out]
    own, mirrored = thumbnails[held_out], thumbnails[held_out][:, :, ::-1]
    return MirrorTest(
        float((predict(own) == true).mean()),
        float((predict(mirrored) == true).mean()),
        float(np.bincount(true).max() / len(true)),
        len(true),
    )


@dataclass(frozen=True)
class OrientationTest:
    """How well a linear classifier of thumbnails tells images from those that are flipped or rotated.

    Attributes:
        horizontal, vertical, rotated: accuracy of telling images from their mirror images, from those upside down, and
            from those rotated by 90 degrees; 0.5 if they look alike.
        images: number of images; 0 if there were too few to tell.
    """

    horizontal: float = 1.0
    vertical: float = 1.0
    rotated: float = 1.0
    images: int = 0

    @property
    def flip(self) -> Literal["horizontal", "both"]:
        """The flips that are safe; horizontal ones by convention."""
        return "both" if self.vertical <= MAX_ACCURACY and self.horizontal <= MAX_ACCURACY else "horizontal"

    @property
    def rotate_90(self) -> bool:
        """Whether rotations by 90 degrees are safe: only with both flips, since those are more alike."""
        return self.flip == "both" and self.rotated <= MAX_ACCURACY

    def as_text(self) -> str:
        """The result of the test, for the report."""
        if not self.images:
            return f"fewer than {MIN_IMAGES} images, so their orientation was not tested"
        return (
            f"a linear classifier of thumbnails tells flipped images from others with an accuracy of "
            f"{self.horizontal:.0%} if they are mirrored, {self.vertical:.0%} if upside down, and rotated ones with "
            f"{self.rotated:.0%}; 50% is chance, and up to {MAX_ACCURACY:.0%} counts as no preferred orientation"
        )


def compare_orientations(table: Table, column: Column, max_pixels: int) -> OrientationTest:
    """Test whether flipped and rotated images can be told from unchanged ones.

    Images without a preferred orientation, such as those of a microscope or from above, cannot be told apart. Each
    image gives several windows, so that few images suffice; those of one image are never in both parts of a fold.

    Args:
        table: training rows.
        column: the column `image`.
        max_pixels: larger images are left out.
    """
    chosen = evenly_spaced(len(table), MAX_ROWS // 2)
    windows = max(1, min(WINDOWS, MAX_WINDOWS // max(len(chosen), 1)))
    thumbnails, rows = read_thumbnails(table, column, chosen, max_pixels, windows)
    images = len(np.unique(rows))
    if images < MIN_IMAGES:
        return OrientationTest()
    transforms: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "horizontal": lambda views: views[:, :, ::-1],
        "vertical": lambda views: views[:, ::-1],
        "rotated": lambda views: np.rot90(views, axes=(1, 2)),
    }
    numbers = np.random.RandomState(0).permutation(images)
    fold = numbers[np.searchsorted(np.unique(rows), rows)] % TEST_PART
    return OrientationTest(
        **{name: _tell(thumbnails, fold, transform) for name, transform in transforms.items()}, images=images
    )


def _tell(thumbnails: np.ndarray, fold: np.ndarray, transform: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the accuracy of telling thumbnails from transformed ones, on folds that the classifier has not seen."""
    hits = []
    for number in range(TEST_PART):
        held_out = fold == number
        both = [np.concatenate([part, transform(part)]) for part in (thumbnails[~held_out], thumbnails[held_out])]
        training, test = (np.repeat([0, 1], len(views) // 2) for views in both)
        hits.append((fit_linear(both[0], training)(both[1]) == test).mean())
    return float(np.mean(hits))
