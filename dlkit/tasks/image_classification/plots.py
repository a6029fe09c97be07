"""A picture of labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.plots import new_figure, save_figure
from dlkit.vision.png import seen_pixels


def plot_labelled_images(
    images: Sequence[bytes], truths: Sequence[str], answers: Sequence[dict[str, Any]], path: Path
) -> None:
    """Images in a grid under the answered label and its score, wrong ones in red with the true label."""
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(1.5 * columns, 1.75 * rows)
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, image, truth, answer in zip(grid, images, truths, answers, strict=False):  # the last row may have gaps
        pixels = seen_pixels(image)
        names = answer["label"] if "label" in answer else ", ".join(answer["labels"]) or "none"
        score = f" {answer['score']:.2f}" if "score" in answer else ""
        right = names == truth
        axes.imshow(pixels)
        axes.set_title(f"{names}{score}" + ("" if right else f"\n(is {truth})"), fontsize=8,
                       color="tab:green" if right else "tab:red")  # fmt: skip
    for axes in figure.axes:
        axes.axis("off")
    save_figure(figure, path)
