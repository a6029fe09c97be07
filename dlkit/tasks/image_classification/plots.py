"""Plots of classified images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure
from dlkit.vision.plots import UNSURE_SCORE, make_image_grid
from dlkit.vision.png import displayed_pixels

MAX_BARS = 5  # number of scores beside an image


def plot_labeled_images(images: Sequence[bytes], true_labels: Sequence[str], answers: Sequence[dict[str, Any]]) -> Any:
    """Plot images in a grid, titled with the predicted label and its score.

    Args:
        images: encoded images.
        true_labels: true label of each image; several labels are joined by commas.
        answers: prediction for each image, as returned by `predict`.

    Returns:
        A matplotlib figure. Titles of correct predictions are green; wrong ones are red and show the true label too.
    """
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(1.5 * columns, 1.75 * rows)
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    # The grid may be larger than the number of images.
    for axes, image, truth, answer in zip(grid, images, true_labels, answers, strict=False):
        pixels = displayed_pixels(image)
        names = answer["label"] if "label" in answer else ", ".join(answer["labels"]) or "none"
        score = f" {answer['score']:.2f}" if "score" in answer else ""
        correct = names == truth
        axes.imshow(pixels)
        axes.set_title(f"{names}{score}" + ("" if correct else f"\n(is {truth})"), fontsize=8,
                       color="tab:green" if correct else "tab:red")  # fmt: skip
    for axes in figure.axes:
        axes.axis("off")
    return figure


def plot_scores(images: Sequence[bytes], answers: Sequence[dict[str, Any]]) -> Any:
    """Plot images next to bars of their highest scores.

    Args:
        images: encoded images.
        answers: prediction for each image, as returned by `predict`.

    Returns:
        A matplotlib figure. Predicted labels are blue, and dashed if their score is below 0.5.
    """
    figure, axes_pairs = make_image_grid([displayed_pixels(image) for image in images], side_axes=3.0)
    for (_, axes), answer in zip(axes_pairs, answers, strict=True):
        ranked = answer.get("ranked_labels", answer["labels"])[:MAX_BARS]
        scores = answer.get("ranked_scores", answer["scores"])[:MAX_BARS]
        predicted = [answer["label"]] if "label" in answer else answer["labels"]
        bars = axes.barh(range(len(ranked)), scores, color="0.8")
        for bar, name, score in zip(bars, ranked, scores, strict=True):
            if name in predicted:
                bar.set(facecolor="tab:blue", alpha=1.0 if score >= UNSURE_SCORE else 0.45)
                if score < UNSURE_SCORE:
                    bar.set(edgecolor="tab:blue", linestyle="--")
            axes.text(min(score, 0.82) + 0.02, bar.get_y() + bar.get_height() / 2, f"{score:.2f}", va="center",
                      fontsize=8)  # fmt: skip
        axes.set_yticks(range(len(ranked)), ranked, fontsize=8)
        axes.set(xlim=(0, 1), ylim=(MAX_BARS - 0.5, -0.5), xlabel="score")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
