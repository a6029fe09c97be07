"""Thumbnails of a table's images, and a linear classifier of them that takes a second."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np

from dlkit.columns import Column
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.reading_errors import as_data_error
from dlkit.vision.png import render_pil

SIDE = 16  # of a thumbnail, in pixels
CELLS = 4  # cells per side in which gradients are counted
DIRECTIONS = 8  # of gradients
GRADIENT_WEIGHT = 4.0  # of directions, in comparison with colors
RIDGE = 3.0  # penalty of the classifier's weights


def read_thumbnails(
    table: Table, column: Column, rows: Sequence[int], max_pixels: int, windows: int = 1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Decode images to thumbnails in color, upright as they are displayed and on white where they are transparent.

    Args:
        table: the rows.
        column: the column `image`.
        rows: numbers of the rows to read; those that cannot be read are left out.
        max_pixels: larger images are left out.
        windows: thumbnails of each image: the whole image, and square windows at random positions.
        seed: decides the windows.

    Returns:
        thumbnails: (rows · windows, 16, 16, 3) float32, 0 to 255.
        source_rows: (rows · windows,) int64, the number of the row of each.
    """
    random = np.random.RandomState(seed)
    thumbnails, source_rows = [], []
    for row in rows:
        try:
            pixels = _decode(table, column, row, max_pixels)
        except DataError:
            continue  # reported when it is encoded
        thumbnails.append(_shrink(pixels))
        for _ in range(windows - 1):
            height, width = pixels.shape[:2]
            side = max(int(random.uniform(0.4, 0.9) * min(height, width)), 1)
            top, left = random.randint(height - side + 1), random.randint(width - side + 1)
            thumbnails.append(_shrink(pixels[top : top + side, left : left + side]))
        source_rows += [row] * windows
    shape = (0, SIDE, SIDE, 3)
    return np.stack(thumbnails) if thumbnails else np.zeros(shape, np.float32), np.array(source_rows, np.int64)


def fit_linear(thumbnails: np.ndarray, classes: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a ridge regression of class membership on the features of thumbnails.

    Args:
        thumbnails: (rows, 16, 16, 3) float32.
        classes: (rows,) integers from 0.

    Returns:
        A function from thumbnails to their classes.
    """
    features, targets = _features(thumbnails), np.eye(int(classes.max()) + 1)[classes]
    center, mean = features.mean(axis=0), targets.mean(axis=0)
    centered = features - center
    gram = centered.T @ centered + RIDGE * np.eye(centered.shape[1])
    weights = np.linalg.solve(gram, centered.T @ (targets - mean))
    return lambda given: ((_features(given) - center) @ weights + mean).argmax(axis=1)


def _decode(table: Table, column: Column, row: int, max_pixels: int) -> np.ndarray:
    from PIL import Image

    encoded = table.raw(row, {"image": column})["image"]
    with as_data_error(table.where(row), "an image file"), Image.open(io.BytesIO(encoded)) as image:
        if image.width * image.height > max_pixels:
            raise DataError(f"{table.where(row)}: the image has more than {max_pixels} pixels.")
        image.draft("RGB", (8 * SIDE, 8 * SIDE))  # decodes a JPEG at a fraction of its size
        return render_pil(image)


def _shrink(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image

    smaller = min(pixels.shape[:2]) >= SIDE
    how = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), how), np.float32)


def _features(thumbnails: np.ndarray) -> np.ndarray:
    """Histograms of gradient directions by cell (Dalal and Triggs, 2005) and mean colors of cells."""
    gray = thumbnails.mean(axis=-1)
    across, down = np.zeros_like(gray), np.zeros_like(gray)
    across[:, :, 1:-1] = gray[:, :, 2:] - gray[:, :, :-2]
    down[:, 1:-1] = gray[:, 2:] - gray[:, :-2]
    strength = np.hypot(across, down)
    angle = np.arctan2(down, across) % np.pi * (DIRECTIONS / np.pi)
    lower = np.floor(angle)
    upper_share = angle - lower
    lower = lower.astype(np.int64) % DIRECTIONS
    count, cell = len(thumbnails), SIDE // CELLS
    parts = []
    for direction in range(DIRECTIONS):
        share = (lower == direction) * (1.0 - upper_share) + ((lower + 1) % DIRECTIONS == direction) * upper_share
        parts.append((strength * share).reshape(count, CELLS, cell, CELLS, cell).sum(axis=(2, 4)))
    histograms = np.stack(parts, axis=-1).reshape(count, -1)
    histograms = np.sqrt(histograms / (histograms.sum(axis=1, keepdims=True) + 1e-6))
    colors = thumbnails.reshape(count, CELLS, cell, CELLS, cell, 3).mean(axis=(2, 4)).reshape(count, -1) / 255.0
    return np.concatenate([GRADIENT_WEIGHT * histograms, colors], axis=1).astype(np.float64)
