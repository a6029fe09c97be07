"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

import json

import numpy as np
from edge_inputs import EDGE_IMAGES, INVALID_IMAGES

SMALL_HPARAMS = {"width": 8, "image_size": 64, "flip": "horizontal"}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides. Measured on two devices after
# four steps: 2e-5 by adamw, 1e-7 by sgd.
STABLE_HPARAMS = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNING_HPARAMS = {
    **{"width": 16, "image_size": 96, "epochs": 3, "batch_size": 8, "learning_rate": 0.006},
    **{"mosaic": 0.0, "color_jitter": 0.0, "scale": 0.0, "crop": 1.0, "flip": "none"},
}
RECIPE_FLAGS = ["--width", "8", "--image-size", "64", "--epochs", "1"]
EDGE_INPUTS = EDGE_IMAGES
INVALID_INPUTS = INVALID_IMAGES


def check_prediction_file(output, answers):
    """COCO's results: images are numbered from 1, boxes are x, y, width and height."""
    results = json.loads(output.read_text())
    for number, answer in enumerate(answers):
        own = [result for result in results if result["file_name"] == f"{number}.png"]
        assert {result["image_id"] for result in own} <= {number + 1}
        assert [result["category"] for result in own] == answer["labels"]
        for result, (top, left, bottom, right) in zip(own, answer["boxes"], strict=True):
            np.testing.assert_allclose(result["bbox"], [left, top, right - left, bottom - top], atol=0.05)
