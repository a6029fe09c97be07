"""What the contract checks need to know of the task; `tests/contract/knowledge.py` says what each is."""

import numpy as np
from inputs import BROKEN_IMAGES, IMAGES

from dlkit.tasks.image_segmentation.mask_png import decode_mask

SMALL = {"width": 8, "depth": 2, "image_size": 64}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides. Measured on two devices after
# four steps: 2e-5 by adamw, 1e-7 by sgd.
STEADY = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNS = {"width": 8, "depth": 2, "image_size": 48, "epochs": 3, "learning_rate": 0.01}
RECIPE = ["--width", "8", "--depth", "2", "--image-size", "64", "--epochs", "1"]
EDGES = IMAGES
BROKEN = BROKEN_IMAGES


def check_answer_file(output, answers):
    """A folder of masks, named as their images."""
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(decode_mask((output / f"{number}.png").read_bytes()), answer["mask"])
