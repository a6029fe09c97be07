"""Plots of detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure
from dlkit.vision.plots import UNSURE_SCORE, class_color, make_image_grid
from dlkit.vision.png import displayed_pixels

MIN_DRAWN_SCORE = 0.2  # minimum score of the boxes that are drawn, unless all boxes of an image are below it


def plot_detections(
    images: Sequence[bytes],
    true_boxes: Sequence[np.ndarray],
    answers: Sequence[dict[str, Any]],
    precision: Sequence[float],
) -> Any:
    """Plot images with predicted and true boxes, and the precision-recall curve.

    Args:
        images: encoded images.
        true_boxes: (n, 5) boxes of each image.
        answers: prediction for each image, as returned by `predict`.
        precision: precision at equally spaced recalls from 0 to 1.

    Returns:
        A matplotlib figure.
    """
    columns = -(-len(images) // 2)
    figure = new_figure(3.2 * (columns + 1), 6.6)
    grid = figure.add_gridspec(2, columns + 1)
    for number, (image, truth, answer) in enumerate(zip(images, true_boxes, answers, strict=True)):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        axes.imshow(displayed_pixels(image))
        for box in truth:
            _draw_rectangle(axes, box, "white", 0.8)
        _draw_boxes(axes, answer, {})
        axes.axis("off")
    axes = figure.add_subplot(grid[:, columns])
    axes.plot(np.linspace(0, 1, len(precision)), precision, color="tab:orange")
    axes.set(xlabel="recall", ylabel="precision at IoU 0.5", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("white: true, orange: predicted,\ndashed: score below 0.5", fontsize=8)
    return figure


def plot_predicted_boxes(images: Sequence[bytes], answers: Sequence[dict[str, Any]], labels: Sequence[str]) -> Any:
    """Plot images with predicted boxes, colored by class, with label and score; dashed if the score is below 0.5.

    Boxes with a score below 0.2 are not drawn if there are better ones; their number is given below the image.

    Args:
        images: encoded images.
        answers: prediction for each image, as returned by `predict`.
        labels: class names, in the order of their colors.

    Returns:
        A matplotlib figure.
    """
    figure, grid = make_image_grid([displayed_pixels(image) for image in images])
    colors = {label: tuple(class_color(number) / 255) for number, label in enumerate(labels)}
    for axes, answer in zip(grid, answers, strict=True):
        drawn = _draw_boxes(axes, answer, colors)
        hidden = len(answer["boxes"]) - drawn
        caption = "1 box" if drawn == 1 else f"{drawn} boxes"
        axes.set_xlabel(f"{caption}; {hidden} below {MIN_DRAWN_SCORE:g} not shown" if hidden else caption, fontsize=8)
    return figure


def _draw_boxes(axes: Any, answer: dict[str, Any], colors: Mapping[str, Any]) -> int:
    """Draw the boxes with a sufficient score, the best on top. Returns their number."""
    min_score = max(min(MIN_DRAWN_SCORE, max(answer["scores"], default=0.0)), 0.0)
    drawn = [index for index, score in enumerate(answer["scores"]) if score >= min_score]
    top, bottom = sorted(axes.get_ylim())
    for index in reversed(drawn):
        box, label, score = (answer[name][index] for name in ("boxes", "labels", "scores"))
        color, confident = colors.get(label, "tab:orange"), score >= UNSURE_SCORE
        _draw_rectangle(axes, box, color, 1.6, dashed=not confident)
        inside = box[0] - top < 0.05 * (bottom - top)  # a label above the box would leave the image
        background = {"facecolor": color if confident else _lighten(color), "edgecolor": "none", "pad": 0.8}
        axes.text(box[1], box[0] + 1 if inside else box[0] - 1, f"{label} {score:.2f}", fontsize=6, color="black",
                  va="top" if inside else "bottom", clip_on=True, bbox=background)  # fmt: skip
    return len(drawn)


def _lighten(color: Any) -> Any:
    from matplotlib.colors import to_rgb

    return tuple(0.4 * channel + 0.6 for channel in to_rgb(color))


def _draw_rectangle(axes: Any, box: Sequence[float], color: Any, width: float, *, dashed: bool = False) -> None:
    top, left, bottom, right = box[:4]
    style: dict[str, Any] = {"linestyle": "--", "alpha": 0.6} if dashed else {}
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=color, linewidth=width, **style)
