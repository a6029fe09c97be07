"""augment_images: what it does to pixels and targets, and that (seed, step) alone decides it."""

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.image_classification.augment_images import augment_images

EVERYTHING = {
    "flip": "horizontal",
    "shift": 2,
    "crop": 0.5,
    "rand_augment": 0.5,
    "erase": 0.5,
    "mixup_alpha": 0.4,
    "cutmix_alpha": 1.0,
}


def batch(size=16, shape=(12, 14, 3), seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (size, *shape), dtype=np.uint8)
    return tf.constant(images), tf.one_hot(np.arange(size) % 5, 5)


def run(steps, parallel, options, seed=7):
    """Augmented batches by step, from a tf.data pipeline."""
    images, targets = batch()
    steps = list(steps)
    data = tf.data.Dataset.from_tensor_slices(np.array(steps, np.int64))
    data = data.map(
        lambda step: augment_images(images, targets, seed=seed, step=step, **options), num_parallel_calls=parallel
    )
    return {step: (x.numpy(), y.numpy()) for step, (x, y) in zip(steps, data, strict=True)}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(EVERYTHING, marks=pytest.mark.slow, id="everything"),
        pytest.param({"flip": "vertical", "shift": 1}, id="shift"),
    ],
)
def test_result_depends_on_seed_and_step_alone(options):
    first = run(range(4), 1, options)
    again = run([3, 1], 2, options)
    for step in again:
        assert (first[step][0] == again[step][0]).all(), step
        assert (first[step][1] == again[step][1]).all(), step
    assert not (first[0][0] == first[1][0]).all()
    other = run([0], 1, options, seed=8)
    assert not (first[0][0] == other[0][0]).all()


def test_eager_equals_tf_data():
    images, targets = batch()
    eager = augment_images(images, targets, seed=7, step=3, **EVERYTHING)
    graph = run([3], 1, EVERYTHING)[3]
    np.testing.assert_allclose(eager[0], graph[0], atol=0.1)
    np.testing.assert_allclose(eager[1], graph[1], atol=1e-6)


def test_nothing_asked_nothing_changed():
    images, targets = batch()
    answer = augment_images(images, targets, seed=0, step=0)
    assert (answer[0].numpy() == images.numpy()).all()
    assert (answer[1].numpy() == targets.numpy()).all()


@pytest.mark.parametrize(("flip", "axis"), [("horizontal", 2), ("vertical", 1)])
def test_flip_mirrors_about_half_of_the_images(flip, axis):
    images, targets = batch(200)
    answer = augment_images(images, targets, seed=1, step=0, flip=flip)[0].numpy()
    assert answer.dtype == np.uint8
    mirrored = np.flip(images.numpy(), axis)
    flipped = (answer == mirrored).all((1, 2, 3))
    same = (answer == images.numpy()).all((1, 2, 3))
    assert (flipped ^ same).all()
    assert 70 <= flipped.sum() <= 130


def test_shift_moves_each_image_by_its_own_offset_and_fills_with_black():
    images, targets = batch(300)
    answer = augment_images(images, targets, seed=1, step=0, shift=2)[0].numpy()
    padded = np.pad(images.numpy(), [(0, 0), (2, 2), (2, 2), (0, 0)])
    seen = set()
    for before, after in zip(padded, answer, strict=True):
        fits = [(y, x) for y in range(5) for x in range(5) if (before[y : y + 12, x : x + 14] == after).all()]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 25


def test_crop_keeps_the_size_and_stays_within_the_values():
    rows = np.broadcast_to(np.linspace(50, 200, 30)[None, :, None, None], (64, 30, 20, 1)).astype(np.uint8)
    answer = augment_images(tf.constant(rows), tf.zeros([64, 2]), seed=0, step=0, crop=0.25)[0].numpy()
    assert (answer.shape, answer.dtype) == (rows.shape, np.uint8)
    assert answer.min() >= 50 and answer.max() <= 200
    spans = (answer[:, -1].astype(int) - answer[:, 0]).mean((1, 2))  # the share of the height, times 150
    assert spans.min() < 90 and spans.max() > 120


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_keeps_shape_and_type(channels):
    images, targets = batch(4, (12, 14, channels))
    augment = tf.function(lambda step: augment_images(images, targets, seed=0, step=step, rand_augment=0.6)[0])
    answers = [augment(tf.constant(step, tf.int64)).numpy() for step in range(30)]
    assert all(answer.shape == (4, 12, 14, channels) and answer.dtype == np.uint8 for answer in answers)
    changed = [not (answer == images.numpy()).all() for answer in answers]
    assert sum(changed) > 20


def test_erase_changes_its_share_of_images_in_a_rectangle():
    images, targets = batch(300)
    answer = augment_images(images, targets, seed=0, step=0, erase=0.4)[0].numpy()
    assert answer.dtype == np.uint8
    changed = (answer != images.numpy()).any(3)
    assert 80 <= changed.any((1, 2)).sum() <= 160
    for image in changed[changed.any((1, 2))]:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.mean() > 0.9


def test_mixup_mixes_images_and_targets_alike():
    classes = np.arange(64) % 2
    images = np.broadcast_to(classes[:, None, None, None] * 200, (64, 6, 6, 1)).astype(np.uint8)
    targets = tf.one_hot(classes, 2)
    mixed, shares = augment_images(tf.constant(images), targets, seed=0, step=0, mixup_alpha=1.0)
    assert mixed.dtype == shares.dtype == tf.float32
    np.testing.assert_allclose(shares.numpy().sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(mixed.numpy()[:, 0, 0, 0] / 200, shares.numpy()[:, 1], atol=1e-5)
    assert ((shares.numpy() > 0.05) & (shares.numpy() < 0.95)).any()


def test_cutmix_gives_targets_the_share_of_the_area():
    classes = np.arange(64) % 2
    images = np.broadcast_to(classes[:, None, None, None] * 200, (64, 40, 40, 1)).astype(np.uint8)
    mixed, shares = augment_images(tf.constant(images), tf.one_hot(classes, 2), seed=0, step=0, cutmix_alpha=1.0)
    np.testing.assert_allclose(shares.numpy().sum(1), 1, atol=1e-6)
    assert set(np.unique(mixed.numpy())) <= {0.0, 200.0}
    np.testing.assert_allclose(mixed.numpy().mean((1, 2, 3)) / 200, shares.numpy()[:, 1], atol=0.05)  # whole pixels
    assert ((shares.numpy() > 0.05) & (shares.numpy() < 0.95)).any()


def test_mixup_and_cutmix_take_turns():
    classes = np.arange(16) % 2
    images = tf.constant(np.broadcast_to(classes[:, None, None, None] * 200, (16, 8, 8, 1)).astype(np.uint8))
    targets = tf.one_hot(classes, 2)
    mix = tf.function(
        lambda step: augment_images(images, targets, seed=0, step=step, mixup_alpha=1.0, cutmix_alpha=1.0)[0]
    )
    cut = [np.isin(mix(tf.constant(step, tf.int64)).numpy(), [0, 200]).all() for step in range(20)]
    assert 3 <= sum(cut) <= 17


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"flip": "both"}, "`flip` must be None, horizontal or vertical. Received: flip='both'."),
        ({"shift": -1}, "`shift` must be a whole number of pixels, 0 or more. Received: shift=-1."),
        ({"crop": 0}, "`crop` must be above 0 and at most 1. Received: crop=0."),
        ({"mixup_alpha": 2}, "`mixup_alpha` must be between 0 and 1. Received: mixup_alpha=2."),
    ],
)
def test_bad_options(options, text):
    images, targets = batch(2)
    with pytest.raises(ValueError) as error:
        augment_images(images, targets, seed=0, step=0, **options)
    assert text in str(error.value)
