"""Pictures of labeled images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure
from dlkit.vision.plots import UNSURE_SCORE, make_image_grid
from dlkit.vision.png import displayed_pixels

BARS = 5  # scores beside an image


def plot_labelled_images(images: Sequence[bytes], truths: Sequence[str], answers: Sequence[dict[str, Any]]) -> Any:
    """Images in a grid under the answered label and its score, wrong ones in red with the true label."""
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(1.5 * columns, 1.75 * rows)
    grid = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, image, truth, answer in zip(grid, images, truths, answers, strict=False):  # the last row may have gaps
        pixels = displayed_pixels(image)
        names = answer["label"] if "label" in answer else ", ".join(answer["labels"]) or "none"
        score = f" {answer['score']:.2f}" if "score" in answer else ""
        right = names == truth
        axes.imshow(pixels)
        axes.set_title(f"{names}{score}" + ("" if right else f"\n(is {truth})"), fontsize=8,
                       color="tab:green" if right else "tab:red")  # fmt: skip
    for axes in figure.axes:
        axes.axis("off")
    return figure


def plot_scores(images: Sequence[bytes], answers: Sequence[dict[str, Any]]) -> Any:
    """Images, each with the highest scores beside it: those that hold in blue, faint where the score is below 0.5."""
    figure, places = make_image_grid([displayed_pixels(image) for image in images], beside=3.0)
    for (_, axes), answer in zip(places, answers, strict=True):
        ranked = answer.get("ranked_labels", answer["labels"])[:BARS]
        scores = answer.get("ranked_scores", answer["scores"])[:BARS]
        holding = [answer["label"]] if "label" in answer else answer["labels"]
        bars = axes.barh(range(len(ranked)), scores, color="0.8")
        for bar, name, score in zip(bars, ranked, scores, strict=True):
            if name in holding:
                bar.set(facecolor="tab:blue", alpha=1.0 if score >= UNSURE_SCORE else 0.45)
                if score < UNSURE_SCORE:
                    bar.set(edgecolor="tab:blue", linestyle="--")
            axes.text(min(score, 0.82) + 0.02, bar.get_y() + bar.get_height() / 2, f"{score:.2f}", va="center",
                      fontsize=8)  # fmt: skip
        axes.set_yticks(range(len(ranked)), ranked, fontsize=8)
        axes.set(xlim=(0, 1), ylim=(BARS - 0.5, -0.5), xlabel="score")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
