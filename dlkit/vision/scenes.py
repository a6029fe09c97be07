"""Scenes: scikit-learn's handwritten digits, pasted on parts of its two photographs, with exact boxes and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.errors import DlkitError
from dlkit.vision.digits import digits

CLASSES = ("background", *map(str, range(10)))
COUNTS = {"train": 400, "validation": 60, "test": 100}
_SEEDS = {"train": 0, "validation": 1, "test": 2}
_COLUMNS = {"train": (0, 320), "validation": (320, 480), "test": (480, 640)}  # of the photographs' 640, no pixel in two
_EMPTY_SHARE = 0.08  # share of the scenes without a digit
_MAX_DIGITS, _MIN_HEIGHT, _MAX_HEIGHT = 6, 14, 40  # digits a scene; their height in pixels, of a scene of 128
_MAX_OVERLAP = 0.1  # the largest share of a box that another one may cover
_MIN_CONTRAST = 90  # between the ink and what lies below, in grey values


def scenes(count: int, *, part: str, size: int = 128) -> dict[str, list]:
    """Square photographs with up to six digits each, the same at each call; a longer list begins like a shorter one.

    Args:
        count: how many.
        part: train, validation or test: each has digits and stretches of the photographs of its own.
        size: side of the scenes, in pixels; the digits' heights, 14 to 40 pixels at 128, grow with it.

    Returns:
        Column name to one value a scene: `image`, (size, size, 3) uint8; `boxes`, (digits, 4) float32, ymin, xmin,
        ymax, xmax in pixels, exact around the ink; `labels`, the digits' names "0" to "9"; `mask`, (size, size) uint8,
        0 where there is no ink, else 1 + the digit.

    Raises:
        DlkitError: scikit-learn is not installed, or there is no such part.
    """
    if part not in _SEEDS:
        raise DlkitError(f"scenes have no split {part!r}. Expected one of: {', '.join(_SEEDS)}.")
    ink, photographs = digits()[part], _photographs(part)
    rows = [_scene(ink, photographs, np.random.RandomState([_SEEDS[part], index]), size) for index in range(count)]
    return {name: [row[name] for row in rows] for name in ("image", "boxes", "labels", "mask")}


def detection_sample() -> dict[str, dict[str, list]]:
    """The splits train (400), validation (60) and test (100) with `image`, `boxes` and `labels`."""
    made = {part: scenes(count, part=part) for part, count in COUNTS.items()}
    return {part: {name: data[name] for name in ("image", "boxes", "labels")} for part, data in made.items()}


def segmentation_sample() -> dict[str, dict[str, list]]:
    """The splits train (400), validation (60) and test (100) with `image`, `mask` and the names of the `classes`.

    Two classes, the photograph and any digit: which digit it is takes longer to learn than a first look should.
    """
    sample = {}
    for part, count in COUNTS.items():
        data = scenes(count, part=part)
        masks = [(mask > 0).astype(np.uint8) for mask in data["mask"]]
        sample[part] = {"image": data["image"], "mask": masks, "classes": [CLASSES[0], "digit"]}
    return sample


def _photographs(part: str) -> list[np.ndarray]:
    from sklearn.datasets import load_sample_images

    first, last = _COLUMNS[part]
    return [photograph[:, first:last] for photograph in load_sample_images().images]


def _scene(ink: dict[str, Any], photographs: list[np.ndarray], random: np.random.RandomState, size: int) -> dict:
    image = _background(photographs[random.randint(len(photographs))], random, size)
    mask = np.zeros((size, size), np.uint8)
    boxes: list[tuple[int, ...]] = []
    labels: list[str] = []
    wanted = 0 if random.rand() < _EMPTY_SHARE else random.randint(1, _MAX_DIGITS + 1)
    for _ in range(8 * wanted):  # a digit that finds no room is drawn anew
        if len(boxes) == wanted:
            break
        index = random.randint(len(ink["label"]))
        cover = render_digit(ink["image"][index], random.randint(_MIN_HEIGHT, _MAX_HEIGHT + 1) * size // 128)
        height, width = cover.shape
        y, x = random.randint(size - height + 1), random.randint(size - width + 1)
        box = (y, x, y + height, x + width)
        place = np.s_[y : y + height, x : x + width]
        if any(_covered_share(box, other) > _MAX_OVERLAP for other in boxes) or mask[place][cover > 0].any():
            continue
        colour = _contrasting(image[place][cover > 0].mean(axis=0), random)
        image[place] += cover[..., None] * (colour - image[place])
        mask[place][cover > 0] = 1 + int(ink["label"][index])
        boxes.append(box)
        labels.append(ink["label"][index])
    return {
        "image": np.round(image).astype(np.uint8),
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "labels": labels,
        "mask": mask,
    }


def _background(photograph: np.ndarray, random: np.random.RandomState, size: int) -> np.ndarray:
    """A random square of a photograph, as (size, size, 3) float32."""
    from PIL import Image

    side = random.randint(80, photograph.shape[1] + 1)
    y, x = (random.randint(length - side + 1) for length in photograph.shape[:2])
    square = Image.fromarray(np.ascontiguousarray(photograph[y : y + side, x : x + side]))
    pixels = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR)).astype(np.float32)
    return pixels[:, ::-1] if random.rand() < 0.5 else pixels


def render_digit(digit: np.ndarray, height: int) -> np.ndarray:
    """How much ink covers each pixel, in [0, 1], cut to the ink: some in each edge's row and column."""
    from PIL import Image

    digit = _cut(digit)
    width = max(round(height * digit.shape[1] / digit.shape[0]), 1)
    grey = np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float32)
    return _cut(np.clip((grey / 255.0 - 0.4) / 0.2, 0.0, 1.0))


def _cut(ink: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return np.ascontiguousarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _contrasting(below: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """A random colour, (3,) in [0, 255], far in brightness from the mean colour below; black or white at worst."""
    for _ in range(20):
        colour = random.randint(0, 256, 3).astype(np.float32)
        if abs(_grey(colour) - _grey(below)) >= _MIN_CONTRAST:
            return colour
    return np.full(3, 255.0 if _grey(below) < 128 else 0.0, np.float32)


def _grey(colour: np.ndarray) -> float:
    return float(colour @ np.array([0.299, 0.587, 0.114], np.float32))


def _covered_share(box: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The share of the smaller box that the other covers."""
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return max(height, 0) * max(width, 0) / smaller
