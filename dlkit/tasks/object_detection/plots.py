"""Pictures of detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.plots import new_figure, save_figure
from dlkit.vision.png import seen_pixels

SHOWN = 0.2  # lowest score of a box in a picture, unless none of its image has it


def plot_detections(
    images: Sequence[bytes],
    truths: Sequence[np.ndarray],
    answers: Sequence[dict[str, Any]],
    precision: Sequence[float],
    path: Path,
) -> None:
    """Images in two rows, answered boxes with label and score over thin true ones; and the precision at each recall."""
    columns = -(-len(images) // 2)
    figure = new_figure(3.2 * (columns + 1), 6.6)
    shape = figure.add_gridspec(2, columns + 1)
    for number, (image, truth, answer) in enumerate(zip(images, truths, answers, strict=True)):
        axes = figure.add_subplot(shape[number // columns, number % columns])
        axes.imshow(seen_pixels(image))
        for box in truth:
            _rectangle(axes, box, "white", 0.8)
        shown = max(min(SHOWN, max(answer["scores"], default=0.0)), 0.0)
        for box, label, score in zip(answer["boxes"], answer["labels"], answer["scores"], strict=True):
            if score >= shown:
                _rectangle(axes, box, "tab:orange", 1.6)
                axes.text(box[1], box[0] - 1, f"{label} {score:.2f}", fontsize=6, color="black",
                          bbox={"facecolor": "tab:orange", "edgecolor": "none", "pad": 0.8})  # fmt: skip
        axes.axis("off")
    axes = figure.add_subplot(shape[:, columns])
    axes.plot(np.linspace(0, 1, len(precision)), precision, color="tab:orange")
    axes.set(xlabel="recall", ylabel="precision at an overlap of 0.5", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("white: true, orange: answered", fontsize=8)
    save_figure(figure, path)


def _rectangle(axes: Any, box: Sequence[float], color: str, width: float) -> None:
    top, left, bottom, right = box[:4]
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=color, linewidth=width)
