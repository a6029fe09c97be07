"""Sheets of generated images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure

TILE_INCHES = 1.4


def plot_sheet(images: Sequence[np.ndarray], names: Sequence[str], columns: int = 8) -> Any:
    """Plot images in rows, with a name above each.

    Args:
        images: (height, width) or (height, width, 3) uint8 each.
        names: name of each image, such as its label; "" for none.
        columns: images in a row.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(columns * TILE_INCHES, rows * (TILE_INCHES + 0.2))
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes in grid:
        axes.axis("off")
    for axes, image, name in zip(grid, images, names, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(name, fontsize=8, pad=2)
    return figure


def plot_nearest(
    generated: Sequence[np.ndarray], seed: int, nearest: Sequence[Sequence[tuple[np.ndarray, float]]]
) -> Any:
    """Plot generated images in a row, and below each the images nearest to it, with their differences.

    Args:
        generated: (height, width) or (height, width, 3) uint8 each.
        seed: of the first generated image.
        nearest: pairs of an image and its difference for each generated image, equally many.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    images, names = [*generated], [f"seed {seed + number}" for number in range(len(generated))]
    for rank in range(len(nearest[0])):
        images += [found[rank][0] for found in nearest]
        names += [f"{found[rank][1]:.1f}" for found in nearest]
    return plot_sheet(images, names, columns=len(generated))
