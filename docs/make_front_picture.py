"""Draws the pictures of the README and of two pages: python docs/make_front_picture.py

Each model is trained from scratch on the built-in sample of its task, on a CPU: a few minutes on two cores. The
answers are those to test rows that no training has seen, and the first of them, not the best ones. `front.png` has four
tasks side by side, `image_classification.png` and `sentiment.png` show one each.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

import dlkit
from dlkit.task import Task

DOCS = Path(__file__).parent
WIDTH = 760  # pixels of each picture
GAP = 24  # pixels between pictures
SHOWN = 4  # test images of each task on images
TITLE = 40  # pixels above each picture
OPTIONS: dict[str, dict[str, Any]] = {
    "ImageClassifier": {"epochs": 10},
    "Forecaster": {"epochs": 30, "batch_size": 16},
    "ImageSegmenter": {"width": 16, "depth": 2, "image_size": 64, "epochs": 8},
    "ObjectDetector": {"width": 16, "image_size": 64, "epochs": 60},
}


def trained(name: str) -> Task:
    """Train a task on its built-in sample."""
    model = getattr(dlkit, name)(**OPTIONS.get(name, {}))
    sample = model.samples()
    model.fit(sample["train"], validation=sample["validation"], verbose=0)
    return model


def answers(model: Task) -> Image.Image:
    """Draw a model's answers to the first test rows."""
    test = model.samples()["test"]
    first = list(test["image"][:SHOWN]) if "image" in test else {name: test[name][0] for name in ("ds", "y")}
    return drawn(model.plot(first))


def drawn(figure: Any) -> Image.Image:
    """Turn a matplotlib figure into an image."""
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return Image.open(written).convert("RGB")


def side_by_side(pictures: dict[str, Image.Image]) -> Image.Image:
    """Put pictures of one width on white, two in a row, each under its title and in the middle of its place."""
    scaled = [picture.resize((WIDTH, round(picture.height * WIDTH / picture.width))) for picture in pictures.values()]
    heights = [
        TITLE + max(picture.height for picture in scaled[start : start + 2]) for start in range(0, len(scaled), 2)
    ]
    whole = Image.new("RGB", (2 * WIDTH + GAP, sum(heights) + GAP * (len(heights) - 1)), "white")
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(26)
    for number, (name, picture) in enumerate(zip(pictures, scaled, strict=True)):
        row, left = number // 2, (number % 2) * (WIDTH + GAP)
        top = sum(heights[:row]) + GAP * row
        pen.text((left + WIDTH // 2, top + 8), name, "black", font, anchor="mt")
        whole.paste(picture, (left, top + TITLE + (heights[row] - TITLE - picture.height) // 2))
    return whole


if __name__ == "__main__":
    pictures = {name: answers(trained(name)) for name in OPTIONS}
    side_by_side(pictures).save(DOCS / "front.png", optimize=True)
    pictures["ImageClassifier"].save(DOCS / "image_classification.png", optimize=True)
    drawn(trained("SentimentClassifier").plot_history()).save(DOCS / "sentiment.png", optimize=True)
