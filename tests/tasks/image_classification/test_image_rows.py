"""Rows of images to classify."""

import numpy as np

import dlkit


def test_a_tenth_of_the_images_is_held_out_but_at_most_2000():
    task = dlkit.ImageClassifier()
    for images, held_out in ((50, 5), (30_000, 2000)):
        rows = task.read({"image": np.zeros((images, 2, 2), np.uint8), "label": ["a", "b"] * (images // 2)})
        rest, validation = rows.hold_out(task.validation_split)
        assert (len(rest), len(validation)) == (images - held_out, held_out)
    assert len(rows.hold_out(0.1)[1]) == 3000
    assert rows.hold_out(0.0)[1] is None
