"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

import numpy as np
from edge_inputs import EDGE_IMAGES, INVALID_IMAGES

from dlkit.tasks.image_segmentation.mask_png import decode_mask

SMALL_HPARAMS = {"width": 8, "depth": 2, "image_size": 64, "flip": "none"}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides. Measured on two devices after
# four steps: 2e-5 by adamw, 1e-7 by sgd.
STABLE_HPARAMS = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNING_HPARAMS = {"width": 8, "depth": 2, "image_size": 48, "epochs": 2, "learning_rate": 0.01, "flip": "none"}
RECIPE_FLAGS = ["--width", "8", "--depth", "2", "--image-size", "64", "--epochs", "1"]
EDGE_INPUTS = EDGE_IMAGES
INVALID_INPUTS = INVALID_IMAGES


def check_prediction_file(output, answers):
    """A folder of masks, named as their images."""
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(decode_mask((output / f"{number}.png").read_bytes()), answer["mask"])
