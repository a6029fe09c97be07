"""Boxes stay on their objects, whatever moves."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.object_detection.augment_objects import augment_objects
from dlkit.tasks.object_detection.objects import CROWD

SIZE, BATCH = 64, 8


def scene(seed=0):
    """Gray images with one bright rectangle each, and its box; the last image has none."""
    generator = np.random.default_rng(seed)
    images = np.full((BATCH, SIZE, SIZE, 3), 40, np.uint8)
    objects = np.tile(np.float32([0, 0, 0, 0, -1, 0]), (BATCH, 3, 1))
    for row in range(BATCH - 1):
        top, left = generator.integers(6, 30, 2)
        height, width = generator.integers(12, 26, 2)
        images[row, top : top + height, left : left + width] = 220
        objects[row, 1] = [top, left, top + height, left + width, row % 3, 0]
    return tf.constant(images), tf.constant(objects)


def augmented(step=0, **hparams):
    images, objects = scene()
    moved, boxes = augment_objects(images, objects, seed=3, step=tf.constant(step, tf.int64), **hparams)
    return moved.numpy(), boxes.numpy()


def bright(image):
    rows, columns = np.nonzero(image.mean(axis=-1) > 130)
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])


@pytest.mark.parametrize(
    "hparams",
    [
        {"flip": "horizontal"},
        {"flip": "both", "rotate_90": True},
        {"scale": 1.0},
        {"crop": 0.36},
        {"flip": "both", "rotate_90": True, "scale": 0.5, "crop": 0.49},
    ],
    ids=str,
)
def test_boxes_follow_their_rectangles(hparams):
    seen = changed = 0
    original = scene()[1].numpy()
    for step in range(6):
        images, objects = augmented(step, **hparams)
        for row in range(BATCH - 1):
            valid = objects[row][objects[row, :, 4] >= 0]
            if len(valid) and valid[0, 5] == 0:
                np.testing.assert_allclose(bright(images[row]), valid[0, :4], atol=1.6)
                assert valid[0, 4] == row % 3
                seen += 1
                changed += not np.allclose(valid[0, :4], original[row, 1, :4], atol=1)
        assert (objects[-1, :, 4] == -1).all()
    assert seen > 20
    assert changed > 10


def test_a_mosaic_holds_the_objects_of_four_images():
    counts = []
    for step in range(8):
        images, objects = augmented(step, mosaic=1.0, scale=0.9)
        for row in range(BATCH):
            valid = objects[row][(objects[row, :, 4] >= 0)]
            counts.append(len(valid))
            painted = np.zeros((SIZE, SIZE), bool)
            for box in valid:
                top, left, bottom, right = np.round(box[:4]).astype(int)
                painted[top:bottom, left:right] = True
            assert ((images[row].mean(axis=-1) > 150) & ~painted).mean() < 0.03
    assert max(counts) >= 3


def test_what_is_hardly_visible_becomes_a_crowd():
    images, objects = scene()
    found = [augment_objects(images, objects, seed=s, step=tf.constant(0, tf.int64), crop=0.09)[1] for s in range(8)]
    flags = np.concatenate([each.numpy()[..., 5][each.numpy()[..., 4] >= 0] for each in found])
    assert (flags == CROWD).any()
    assert (flags == 0).any()


def test_mixup_has_the_objects_of_both():
    images, objects = augmented(mixup=1.0)
    first = scene()[1].numpy()
    np.testing.assert_array_equal(objects[1][objects[1, :, 4] >= 0][:, :4], [first[1, 1, :4], first[0, 1, :4]])
    assert 120 < images[1].max() <= 220


def test_color_moves_nothing():
    images, objects = augmented(color_jitter=1.0)
    np.testing.assert_array_equal(np.sort(objects, 1), np.sort(scene()[1].numpy(), 1))
    assert (images != scene()[0].numpy()).any(axis=(1, 2, 3)).sum() >= BATCH - 1


def test_the_same_step_gives_the_same_and_another_one_another():
    hparams = {
        "flip": "both",
        "rotate_90": True,
        "scale": 0.5,
        "crop": 0.49,
        "color_jitter": 0.5,
        "mosaic": 0.5,
        "mixup": 0.5,
    }
    (images, objects), (again, same), (other, _) = (
        augmented(5, **hparams),
        augmented(5, **hparams),
        augmented(6, **hparams),
    )
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(objects, same)
    assert (images != other).any()


def test_without_hparams_nothing_changes():
    images, objects = augmented()
    np.testing.assert_array_equal(images, scene()[0])
    np.testing.assert_array_equal(np.sort(objects, 1), np.sort(scene()[1].numpy(), 1))


def test_it_runs_inside_of_a_data_set():
    def augment(images, objects):
        return augment_objects(images, objects, seed=3, step=tf.constant(0, tf.int64), scale=0.5, rotate_90=True)

    made = next(iter(tf.data.Dataset.from_tensors(scene()).map(augment)))
    for inside, outside in zip(made, augmented(scale=0.5, rotate_90=True), strict=True):
        np.testing.assert_allclose(inside, outside, atol=1e-4)
