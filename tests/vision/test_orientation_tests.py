"""Which images can be mirrored and rotated, on images where the answer is known."""

import numpy as np
import pytest

import dlkit
from dlkit.columns import Image
from dlkit.data.table import Table
from dlkit.tasks.object_detection.task import ObjectDetector
from dlkit.vision.choose_flips import choose_flips
from dlkit.vision.orientation_tests import MIN_ROWS, compare_mirrored, compare_orientations

PIXELS = 10**6


def table_of(images):
    return Table("images", {"image": list(images)}, lambda row: f"image {row}")


def noise(count, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 80, (count, 16, 16, channels), np.uint8)


def bars(classes, positions):
    """A bright vertical bar at one of several positions, by class."""
    images = noise(len(classes))
    for image, number in zip(images, classes, strict=True):
        image[:, positions[number] : positions[number] + 3] += 150
    return images


CLASSES = np.arange(150) % 2


def find(images, classes=CLASSES):
    return compare_mirrored(table_of(images), Image(), [str(number) for number in classes], PIXELS)


def test_classes_that_differ_by_the_side_are_not_kept_by_mirror_images():
    found = find(bars(CLASSES, (2, 11)))
    assert found.accuracy == 1.0
    assert found.mirrored == 0.0
    assert found.is_informative
    assert not found.keeps_classes


def test_classes_that_mirror_images_keep():
    images = noise(150)
    images[CLASSES == 1, 10:14] += 150  # a horizontal bar, whose mirror image is one
    found = find(images)
    assert found.accuracy == found.mirrored == 1.0
    assert found.keeps_classes


@pytest.mark.parametrize("count", [MIN_ROWS - 1, 150])
def test_labels_that_thumbnails_do_not_tell_and_few_rows_are_not_informative(count):
    classes = np.random.default_rng(1).integers(0, 2, count)
    assert not find(noise(count), classes).is_informative


def test_a_sky_is_an_orientation_and_dots_have_none():
    sky = noise(60)
    sky[:, :6] += 150
    upright = compare_orientations(table_of(sky), Image(), PIXELS)
    assert upright.vertical > 0.9 < upright.rotated
    assert (upright.flip, upright.rotate_90) == ("horizontal", False)
    dots = compare_orientations(table_of(noise(60)), Image(), PIXELS)
    assert max(dots.horizontal, dots.vertical, dots.rotated) < 0.62
    assert (dots.flip, dots.rotate_90) == ("both", True)


def test_few_images_and_unreadable_ones_are_flipped_by_convention():
    assert compare_orientations(table_of([*noise(9), b"no image"]), Image(), PIXELS).flip == "horizontal"
    assert compare_orientations(table_of(noise(60)), Image(), 255).images == 0  # all have 256 pixels


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({}, (16, 16), ("both", True)),
        ({}, (16, 24), ("both", False)),  # rotated images would be cut
        ({"rotate_90": False}, (16, 16), ("both", False)),
        ({"flip": "vertical"}, (16, 16), ("vertical", False)),
        ({"flip": "none", "rotate_90": True}, (16, 16), ("none", True)),
    ],
)
@pytest.mark.parametrize("kind", [dlkit.ImageSegmenter, ObjectDetector])
def test_given_options_count(kind, options, size, expected):
    turns = choose_flips(kind(**options), table_of(noise(20)), size)
    assert (turns.flip, turns.rotate_90) == expected
