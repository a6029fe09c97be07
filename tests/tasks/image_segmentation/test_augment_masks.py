"""Masks stay on what they name, whatever moves."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.image_segmentation.augment_masks import augment_masks

SIZE, BATCH, NONE = 64, 8, 255


def scene():
    """Images of broad blocks, each of one brightness, which is that of its class: 60, 120, 180."""
    blocks = np.random.default_rng(0).integers(0, 3, (BATCH, 4, 4))
    masks = np.kron(blocks, np.ones((1, 16, 16), int)).astype(np.uint8)
    return tf.constant(np.repeat((60 * (masks + 1))[..., None], 3, axis=-1).astype(np.uint8)), tf.constant(masks)


def erosion(mask):
    """Where all neighbors, also across, are of one class."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(mask.astype(int), 1, constant_values=-1), (3, 3)).reshape(
        *mask.shape, 9
    )
    return (around == mask[..., None]).all(axis=-1)


def augmented(step=0, **hparams):
    images, masks = augment_masks(*scene(), seed=3, step=tf.constant(step, tf.int64), **hparams)
    return images.numpy(), masks.numpy()


MOVES = [
    {"flip": "horizontal"},
    {"flip": "vertical"},
    {"flip": "both", "rotate_90": True},
    {"rotate": 30.0},
    {"scale": 1.0},
    {"crop": 0.36},
    {"flip": "both", "rotate_90": True, "rotate": 20.0, "scale": 0.5, "crop": 0.49},
]


@pytest.mark.parametrize("hparams", MOVES, ids=str)
def test_masks_follow_their_images(hparams):
    changed = 0
    for step in range(4):
        images, masks = augmented(step, **hparams)
        assert (images.shape, images.dtype) == ((BATCH, SIZE, SIZE, 3), np.uint8)
        assert (masks.shape, masks.dtype) == ((BATCH, SIZE, SIZE), np.uint8)
        wanted = np.where(masks == NONE, 0, 60.0 * (masks.astype(int) + 1))
        inside = np.stack([erosion(mask) for mask in masks])  # at borders an image is between two blocks
        np.testing.assert_allclose(images[..., 0][inside], wanted[inside], atol=1)
        assert inside.mean() > 0.4
        changed += (masks != scene()[1].numpy()).any(axis=(1, 2)).sum()
    assert changed > 8


def test_flips_alone_are_exact():
    original = scene()[1].numpy()
    mirrored = 0
    for image, mask, before in zip(*augmented(flip="horizontal"), original, strict=True):
        assert np.array_equal(mask, before) or np.array_equal(mask, before[:, ::-1])
        np.testing.assert_array_equal(image[..., 0], 60 * (mask + 1))
        mirrored += not np.array_equal(mask, before)
    assert 0 < mirrored < BATCH


def test_turns_alone_are_exact():
    _, masks = augmented(flip="both", rotate_90=True)
    kinds = set()
    for mask, before in zip(masks, scene()[1].numpy(), strict=True):
        turned = [np.rot90(kind, quarters) for kind in (before, before.T) for quarters in range(4)]
        kinds.add([np.array_equal(mask, each) for each in turned].index(True))
    assert len(kinds) > 3


def test_what_comes_in_is_black_and_no_class():
    images, masks = augmented(scale=2.0)
    outside = np.stack([erosion(mask) & (mask == NONE) for mask in masks])
    assert outside.mean() > 0.1
    assert not images[outside].any()


def test_colors_change_and_masks_do_not():
    images, masks = augmented(color_jitter=1.0)
    np.testing.assert_array_equal(masks, scene()[1])
    assert (images != scene()[0].numpy()).any(axis=(1, 2, 3)).sum() > BATCH // 2


def test_the_same_step_gives_the_same_and_another_one_another():
    hparams = {"flip": "both", "rotate_90": True, "rotate": 10.0, "scale": 0.5, "crop": 0.49, "color_jitter": 0.5}
    (images, masks), (again, same), (other, _) = (
        augmented(5, **hparams),
        augmented(5, **hparams),
        augmented(6, **hparams),
    )
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(masks, same)
    assert (images != other).any()


def test_without_hparams_nothing_changes():
    images, masks = augmented()
    np.testing.assert_array_equal(images, scene()[0])
    np.testing.assert_array_equal(masks, scene()[1])


def test_it_runs_inside_of_a_data_set():
    def augment(images, masks):
        return augment_masks(
            images, masks, seed=3, step=tf.constant(0, tf.int64), scale=0.5, flip="both", rotate_90=True
        )

    made = next(iter(tf.data.Dataset.from_tensors(scene()).map(augment)))
    for inside, outside in zip(made, augmented(scale=0.5, flip="both", rotate_90=True), strict=True):
        np.testing.assert_array_equal(inside, outside)
