"""What the contract checks need to know of the task; `tests/contract/knowledge.py` says what each is."""

import json

import numpy as np
from inputs import BROKEN_IMAGES, IMAGES

SMALL = {"width": 8, "image_size": 64}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides. Measured on two devices after
# four steps: 2e-5 by adamw, 1e-7 by sgd.
STEADY = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNS = {
    **{"width": 16, "image_size": 96, "epochs": 3, "batch_size": 8},
    **{"mosaic": 0.0, "color_jitter": 0.0, "scale": 0.0, "crop": 1.0, "flip": "none"},
}
RECIPE = ["--width", "8", "--image-size", "64", "--epochs", "1"]
EDGES = IMAGES
BROKEN = BROKEN_IMAGES


def check_answer_file(output, answers):
    """COCO's results: images are numbered from 1, boxes are x, y, width and height."""
    results = json.loads(output.read_text())
    for number, answer in enumerate(answers):
        own = [result for result in results if result["file_name"] == f"{number}.png"]
        assert {result["image_id"] for result in own} <= {number + 1}
        assert [result["category"] for result in own] == answer["labels"]
        for result, (top, left, bottom, right) in zip(own, answer["boxes"], strict=True):
            np.testing.assert_allclose(result["bbox"], [left, top, right - left, bottom - top], atol=0.05)
