"""What pictures of answers to pictures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure

MAX_IMAGES = 16  # pictures in one figure
SIDE_INCHES = 3.6  # inches of the longer side of a picture among others; twice as much alone
UNSURE_SCORE = 0.5  # a score below which an answer is drawn faint


def make_image_grid(pictures: Sequence[np.ndarray], beside: float = 0.0) -> tuple[Any, list[Any]]:
    """A figure of pictures, and the axes of each.

    Args:
        pictures: (height, width, 3) uint8 each.
        beside: inches to the right of each picture, for axes of another kind.

    Returns:
        The figure; and of each picture its axes, or, with `beside`, the pair of its axes and those beside it.
    """
    side = SIDE_INCHES * (2 if len(pictures) == 1 else 1)
    columns = min(len(pictures), 2 if beside else 4)
    rows = -(-len(pictures) // columns)
    sizes = np.array([picture.shape[:2] for picture in pictures], float)
    shapes = side * sizes / sizes.max(axis=1, keepdims=True)  # inches
    height, width = shapes.max(axis=0)
    figure = new_figure(columns * (width + beside) + 0.3, rows * (max(height, 1.6 if beside else 0.8) + 0.35))
    each = 2 if beside else 1
    ratios = {"width_ratios": [width, beside] * columns} if beside else {}
    grid = figure.subplots(rows, columns * each, squeeze=False, **ratios).reshape(-1, each)
    for spare in np.ravel(grid[len(pictures) :]):
        spare.axis("off")
    for axes, picture in zip(grid[: len(pictures), 0], pictures, strict=True):
        axes.imshow(picture)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure, [pair if beside else pair[0] for pair in grid[: len(pictures)]]


def class_color(number: int) -> np.ndarray:
    """The colour of a class, (3,) in [0, 255]: hues by the reference example ratio, so that neighbours differ."""
    from matplotlib.colors import hsv_to_rgb

    return 255 * hsv_to_rgb((number * 0.61803 % 1, 0.9, 1.0))
