"""Pictures of masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.plots import new_figure, save_figure
from dlkit.tasks.image_segmentation.mask_facts import NO_CLASS
from dlkit.vision.png import seen_pixels

OPACITY = 0.45
MOST_NAMED = 20  # classes whose names and shares fit into the picture of the confusion


def plot_masks(
    images: Sequence[bytes],
    truths: Sequence[np.ndarray],
    answers: Sequence[np.ndarray],
    confusion: dict[str, Any],
    path: Path,
) -> None:
    """Images under their true and their answered masks, one above the other, and the confusion of classes.

    Args:
        images: encoded.
        truths, answers: (height, width) class ids, 255 for no class.
        confusion: `labels`, and `counts` by true and answered class.
    """
    names = confusion["labels"]
    figure = new_figure(2.4 * len(images) + 4.6, 5.4)
    shape = figure.add_gridspec(2, len(images) + 2)
    for column, (image, *masks) in enumerate(zip(images, truths, answers, strict=True)):
        pixels = seen_pixels(image)
        for row, ids in enumerate(masks):
            axes = figure.add_subplot(shape[row, column])
            axes.imshow(overlaid(pixels, ids, names))
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(("true", "answered")[row])
    _plot_confusion(figure.add_subplot(shape[:, len(images) :]), names, np.array(confusion["counts"]))
    save_figure(figure, path)


def overlaid(pixels: np.ndarray, ids: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """An image tinted by its mask, (height, width, 3) uint8; but for what is no class, or called "background"."""
    tints = np.array([tint(number) for number in range(256)])
    clear = np.array([number == NO_CLASS or names[number : number + 1] == ["background"] for number in range(256)])
    share = np.where(clear, 0.0, OPACITY)[ids][..., None]
    return np.round((1 - share) * pixels + share * tints[ids]).astype(np.uint8)


def tint(number: int) -> np.ndarray:
    """The colour of a class, (3,) in [0, 255]: hues by the golden ratio, so that neighbours differ."""
    from matplotlib.colors import hsv_to_rgb

    return 255 * hsv_to_rgb((number * 0.61803 % 1, 0.9, 1.0))


def _plot_confusion(axes: Any, names: Sequence[str], counts: np.ndarray) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set(xlabel="answered class", ylabel="true class", title="share of a true class's pixels")
    if len(names) > MOST_NAMED:
        return
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    for label, number in zip(axes.get_yticklabels(), range(len(names)), strict=True):
        if names[number] != "background":
            label.set_backgroundcolor((*tint(number) / 255, OPACITY))
    for row, column in np.ndindex(*shares.shape):
        if len(names) <= 6 or row == column:
            axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", fontsize=7,
                      color="white" if shares[row, column] > 0.5 else "black")  # fmt: skip
