"""Plots of masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure
from dlkit.tasks.image_segmentation.mask_png import IGNORE_CLASS
from dlkit.vision.plots import class_color, make_image_grid
from dlkit.vision.png import displayed_pixels

OPACITY = 0.45
LEGEND_WIDTH = 1.5  # inches
CLASSES_IN_CAPTION = 4  # number of classes in the caption of an image
MAX_LABELED_CLASSES = 20  # number of classes up to which the confusion matrix is labeled


def plot_masks(
    images: Sequence[bytes],
    true_masks: Sequence[np.ndarray],
    predicted_masks: Sequence[np.ndarray],
    confusion: dict[str, Any],
) -> Any:
    """Plot images with their true and predicted masks, and the confusion matrix.

    Args:
        images: encoded images.
        true_masks, predicted_masks: (height, width) class ids of each image; 255 is the ignored class.
        confusion: `labels`, and `counts` by true and predicted class.

    Returns:
        A matplotlib figure.
    """
    class_names = confusion["labels"]
    figure = new_figure(2.4 * len(images) + 4.6, 5.4)
    grid = figure.add_gridspec(2, len(images) + 2)
    for column, (image, *masks) in enumerate(zip(images, true_masks, predicted_masks, strict=True)):
        pixels = displayed_pixels(image)
        for row, ids in enumerate(masks):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(overlay_mask(pixels, ids, class_names))
            axes.set_xticks([])
            axes.set_yticks([])
            if column == 0:
                axes.set_ylabel(("true", "predicted")[row])
    _plot_confusion(figure.add_subplot(grid[:, len(images) :]), class_names, np.array(confusion["counts"]))
    return figure


def plot_predicted_masks(images: Sequence[bytes], masks: Sequence[np.ndarray], class_names: Sequence[str]) -> Any:
    """Plot images with their predicted masks, the fractions of the largest classes, and a legend.

    Args:
        images: encoded images.
        masks: (height, width) class ids of each image.
        class_names: names of the class ids, in order.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.patches import Patch

    pictures = [
        overlay_mask(displayed_pixels(image), mask, class_names) for image, mask in zip(images, masks, strict=True)
    ]
    figure, grid = make_image_grid(pictures)
    counts = np.array([np.bincount(mask.ravel(), minlength=256) for mask in masks])
    for axes, image_counts in zip(grid, counts, strict=True):
        largest = sorted(np.flatnonzero(image_counts), key=lambda number: -image_counts[number])[:CLASSES_IN_CAPTION]
        fractions = [f"{_class_name(n, class_names)} {image_counts[n] / image_counts.sum():.0%}" for n in largest]
        axes.set_xlabel(", ".join(fractions), fontsize=8)
    present = np.flatnonzero(counts.sum(axis=0))[:MAX_LABELED_CLASSES]
    patches = []
    for number in present:
        untinted = is_transparent(number, class_names)
        label = f"{_class_name(number, class_names)}{' (not tinted)' if untinted else ''}"
        color = "none" if untinted else (*class_color(number) / 255, OPACITY)
        patches.append(Patch(label=label, edgecolor="0.4", facecolor=color))
    figure.set_figwidth(figure.get_figwidth() + LEGEND_WIDTH)
    figure.legend(handles=patches, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def is_transparent(number: int, class_names: Sequence[str]) -> bool:
    """Return whether a class is drawn without a tint: class 0, a class named "background", and the ignored class."""
    return number in (0, IGNORE_CLASS) or [*class_names[number : number + 1]] == ["background"]


def _class_name(number: Any, class_names: Sequence[str]) -> str:
    return class_names[number] if number < len(class_names) else "no class"


def overlay_mask(pixels: np.ndarray, ids: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Tint an image by its mask.

    Args:
        pixels: (height, width, 3) uint8.
        ids: (height, width) class ids.
        class_names: names of the class ids, in order.

    Returns:
        (height, width, 3) uint8.
    """
    tints = np.array([class_color(number) for number in range(256)])
    transparent = np.array([is_transparent(number, class_names) for number in range(256)])
    opacity = np.where(transparent, 0.0, OPACITY)[ids][..., None]
    return np.round((1 - opacity) * pixels + opacity * tints[ids]).astype(np.uint8)


def _plot_confusion(axes: Any, class_names: Sequence[str], counts: np.ndarray) -> None:
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set(xlabel="predicted class", ylabel="true class", title="fraction of the pixels of the true class")
    if len(class_names) > MAX_LABELED_CLASSES:
        return
    axes.set_xticks(range(len(class_names)), class_names, rotation=90)
    axes.set_yticks(range(len(class_names)), class_names)
    for label, number in zip(axes.get_yticklabels(), range(len(class_names)), strict=True):
        if not is_transparent(number, class_names):
            label.set_backgroundcolor((*class_color(number) / 255, OPACITY))
    for row, column in np.ndindex(*fractions.shape):
        if len(class_names) <= 6 or row == column:
            axes.text(column, row, f"{fractions[row, column]:.2f}", ha="center", va="center", fontsize=7,
                      color="white" if fractions[row, column] > 0.5 else "black")  # fmt: skip
