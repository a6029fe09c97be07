"""Pictures of detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.plots import new_figure
from dlkit.vision.plots import UNSURE_SCORE, class_color, make_image_grid
from dlkit.vision.png import displayed_pixels

SHOWN = 0.2  # lowest score of a box in a picture, unless none of its image has it


def plot_detections(
    images: Sequence[bytes], truths: Sequence[np.ndarray], answers: Sequence[dict[str, Any]], precision: Sequence[float]
) -> Any:
    """Images in two rows, answered boxes with label and score over thin true ones; and the precision at each recall."""
    columns = -(-len(images) // 2)
    figure = new_figure(3.2 * (columns + 1), 6.6)
    shape = figure.add_gridspec(2, columns + 1)
    for number, (image, truth, answer) in enumerate(zip(images, truths, answers, strict=True)):
        axes = figure.add_subplot(shape[number // columns, number % columns])
        axes.imshow(displayed_pixels(image))
        for box in truth:
            _rectangle(axes, box, "white", 0.8)
        _draw_answers(axes, answer, {})
        axes.axis("off")
    axes = figure.add_subplot(shape[:, columns])
    axes.plot(np.linspace(0, 1, len(precision)), precision, color="tab:orange")
    axes.set(xlabel="recall", ylabel="precision at IoU 0.5", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("white: true, orange: predicted,\ndashed: score below 0.5", fontsize=8)
    return figure


def plot_boxes(images: Sequence[bytes], answers: Sequence[dict[str, Any]], labels: Sequence[str]) -> Any:
    """Images with the answered boxes, each with label and score in the colour of its class; dashed and faint below 0.5.

    Boxes below 0.2 are left out, where there are better ones, and counted under the image.
    """
    figure, places = make_image_grid([displayed_pixels(image) for image in images])
    colors = {label: tuple(class_color(number) / 255) for number, label in enumerate(labels)}
    for axes, answer in zip(places, answers, strict=True):
        drawn = _draw_answers(axes, answer, colors)
        left = len(answer["boxes"]) - drawn
        said = "1 box" if drawn == 1 else f"{drawn} boxes"
        axes.set_xlabel(f"{said}; {left} below {SHOWN:g} not shown" if left else said, fontsize=8)
    return figure


def _draw_answers(axes: Any, answer: dict[str, Any], colors: Mapping[str, Any]) -> int:
    """Draws the boxes that are sure enough, the best ones on top. Returns how many."""
    least = max(min(SHOWN, max(answer["scores"], default=0.0)), 0.0)
    shown = [place for place, score in enumerate(answer["scores"]) if score >= least]
    top, bottom = sorted(axes.get_ylim())
    for place in reversed(shown):
        box, label, score = (answer[name][place] for name in ("boxes", "labels", "scores"))
        color, sure = colors.get(label, "tab:orange"), score >= UNSURE_SCORE
        _rectangle(axes, box, color, 1.6, dashed=not sure)
        inside = box[0] - top < 0.05 * (bottom - top)  # else the label would leave the image
        paper = {"facecolor": color if sure else _pale(color), "edgecolor": "none", "pad": 0.8}
        axes.text(box[1], box[0] + 1 if inside else box[0] - 1, f"{label} {score:.2f}", fontsize=6, color="black",
                  va="top" if inside else "bottom", clip_on=True, bbox=paper)  # fmt: skip
    return len(shown)


def _pale(color: Any) -> Any:
    from matplotlib.colors import to_rgb

    return tuple(0.4 * part + 0.6 for part in to_rgb(color))


def _rectangle(axes: Any, box: Sequence[float], color: Any, width: float, *, dashed: bool = False) -> None:
    top, left, bottom, right = box[:4]
    style: dict[str, Any] = {"linestyle": "--", "alpha": 0.6} if dashed else {}
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=color, linewidth=width, **style)
