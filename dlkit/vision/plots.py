"""Figures of images with their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure

MAX_IMAGES = 16  # maximum number of images in one figure
SIDE_INCHES = 3.6  # of the longer side of an image; twice as much for a single image
UNSURE_SCORE = 0.5  # predictions with a lower score are drawn faintly


def make_image_grid(images: Sequence[np.ndarray], side_axes: float = 0.0) -> tuple[Any, list[Any]]:
    """Make a figure with a grid of images; return it and the axes of each.

    Args:
        images: (height, width, 3) uint8 each.
        side_axes: width of additional axes to the right of each image, in inches.

    Returns:
        Tuple of the figure and a list of the axes of each image or, with `side_axes`, of pairs of axes.
    """
    side = SIDE_INCHES * (2 if len(images) == 1 else 1)
    columns = min(len(images), 2 if side_axes else 4)
    rows = -(-len(images) // columns)
    sizes = np.array([image.shape[:2] for image in images], float)
    shapes = side * sizes / sizes.max(axis=1, keepdims=True)  # inches
    height, width = shapes.max(axis=0)
    figure = new_figure(columns * (width + side_axes) + 0.3, rows * (max(height, 1.6 if side_axes else 0.8) + 0.35))
    each = 2 if side_axes else 1
    ratios = {"width_ratios": [width, side_axes] * columns} if side_axes else {}
    grid = figure.subplots(rows, columns * each, squeeze=False, **ratios).reshape(-1, each)
    for spare in np.ravel(grid[len(images) :]):
        spare.axis("off")
    for axes, image in zip(grid[: len(images), 0], images, strict=True):
        axes.imshow(image)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure, [pair if side_axes else pair[0] for pair in grid[: len(images)]]


def class_color(number: int) -> np.ndarray:
    """Return the color of a class, (3,) in [0, 255]: hues by the golden ratio, so that neighbors differ."""
    from matplotlib.colors import hsv_to_rgb

    return 255 * hsv_to_rgb((number * 0.61803 % 1, 0.9, 1.0))
