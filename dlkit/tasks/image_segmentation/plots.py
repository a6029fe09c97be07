"""Pictures of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure
from dlkit.tasks.image_segmentation.mask_png import NO_CLASS
from dlkit.vision.plots import class_color, make_image_grid
from dlkit.vision.png import displayed_pixels

OPACITY = 0.45
LEGEND = 1.5  # inches
NAMED_UNDER = 4  # classes whose shares stand under an image
MOST_NAMED = 20  # classes whose names and shares fit into the picture of the confusion


def plot_masks(
    images: Sequence[bytes],
    truths: Sequence[np.ndarray],
    answers: Sequence[np.ndarray],
    confusion: dict[str, Any],
) -> Any:
    """Images under their true and their answered masks, one above the other, and the confusion of classes.

    Args:
        images: encoded.
        truths, answers: (height, width) class ids, 255 for no class.
        confusion: `labels`, and `counts` by true and answered class.

    Returns:
        The figure.
    """
    names = confusion["labels"]
    figure = new_figure(2.4 * len(images) + 4.6, 5.4)
    shape = figure.add_gridspec(2, len(images) + 2)
    for column, (image, *masks) in enumerate(zip(images, truths, answers, strict=True)):
        pixels = displayed_pixels(image)
        for row, ids in enumerate(masks):
            axes = figure.add_subplot(shape[row, column])
            axes.imshow(overlaid(pixels, ids, names))
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(("true", "answered")[row])
    _plot_confusion(figure.add_subplot(shape[:, len(images) :]), names, np.array(confusion["counts"]))
    return figure


def plot_tinted(images: Sequence[bytes], masks: Sequence[np.ndarray], names: Sequence[str]) -> Any:
    """Images under their answered masks, (height, width) class ids each, with a legend of the classes that they have
    and the share of each."""
    from matplotlib.patches import Patch

    pictures = [overlaid(displayed_pixels(image), mask, names) for image, mask in zip(images, masks, strict=True)]
    figure, places = make_image_grid(pictures)
    counts = np.array([np.bincount(mask.ravel(), minlength=256) for mask in masks])
    for axes, own in zip(places, counts, strict=True):
        largest = sorted(np.flatnonzero(own), key=lambda number: -own[number])[:NAMED_UNDER]
        axes.set_xlabel(", ".join(f"{_named(number, names)} {own[number] / own.sum():.0%}" for number in largest),
                        fontsize=8)  # fmt: skip
    present = np.flatnonzero(counts.sum(axis=0))[:MOST_NAMED]
    patches = [
        Patch(label=f"{_named(number, names)}{' (clear)' if is_clear(number, names) else ''}", edgecolor="0.4",
              facecolor="none" if is_clear(number, names) else (*class_color(number) / 255, OPACITY))
        for number in present
    ]  # fmt: skip
    figure.set_figwidth(figure.get_figwidth() + LEGEND)
    figure.legend(handles=patches, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def is_clear(number: int, names: Sequence[str]) -> bool:
    """Whether a class leaves the image as it is: the first one, which is the background by convention, one of that
    name, and what is no class."""
    return number in (0, NO_CLASS) or [*names[number : number + 1]] == ["background"]


def _named(number: Any, names: Sequence[str]) -> str:
    return names[number] if number < len(names) else "no class"


def overlaid(pixels: np.ndarray, ids: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """An image tinted by its mask, (height, width, 3) uint8, but where the mask is clear."""
    tints = np.array([class_color(number) for number in range(256)])
    clear = np.array([is_clear(number, names) for number in range(256)])
    share = np.where(clear, 0.0, OPACITY)[ids][..., None]
    return np.round((1 - share) * pixels + share * tints[ids]).astype(np.uint8)


def _plot_confusion(axes: Any, names: Sequence[str], counts: np.ndarray) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set(xlabel="answered class", ylabel="true class", title="fraction of the pixels of the true class")
    if len(names) > MOST_NAMED:
        return
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    for label, number in zip(axes.get_yticklabels(), range(len(names)), strict=True):
        if not is_clear(number, names):
            label.set_backgroundcolor((*class_color(number) / 255, OPACITY))
    for row, column in np.ndindex(*shares.shape):
        if len(names) <= 6 or row == column:
            axes.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", fontsize=7,
                      color="white" if shares[row, column] > 0.5 else "black")  # fmt: skip
