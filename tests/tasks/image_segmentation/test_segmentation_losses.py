"""Losses of masks against NumPy, row for row."""

import keras
import numpy as np
import pytest

from dlkit.errors import HparamError
from dlkit.tasks.image_segmentation.losses import (
    MaskCrossEntropy,
    MaskDice,
    SumOfLosses,
    build_mask_loss,
    pixel_accuracy,
)

CLASSES, IGNORED = 4, 255


def batch(rows=3, seed=0):
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, CLASSES - 1, (rows, 5, 6)).astype(np.uint8)  # the last class is in no row
    ids[0, :2] = IGNORED
    ids[-1, -1, 0] = 3
    return ids, generator.normal(size=(rows, 5, 6, CLASSES)).astype(np.float32) * 2


def probabilities(logits):
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def cross_entropy_of_row(ids, logits, weights, gamma):
    total = count = 0
    for y, x in np.argwhere(ids != IGNORED):
        share = probabilities(logits[y, x])[ids[y, x]]
        total -= weights[ids[y, x]] * (1 - share) ** gamma * np.log(share)
        count += 1
    return total / count if count else 0.0


def dice_of_row(ids, logits, weights):
    shares, counts = probabilities(logits), ids != IGNORED
    total = weight = 0
    for number in set(ids[counts].tolist()):
        true = (ids == number)[counts]
        given = shares[counts][:, number]
        total += weights[number] * (1 - 2 * (true * given).sum() / (true.sum() + given.sum()))
        weight += weights[number]
    return total / weight if weight else 0.0


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 3.0, 2.0]], ids=["plain", "weighted"])
@pytest.mark.parametrize("gamma", [0.0, 2.0], ids=["cross-entropy", "focal"])
def test_cross_entropy_and_focal_against_numpy(weights, gamma):
    ids, logits = batch()
    expected = [cross_entropy_of_row(*row, weights or [1.0] * CLASSES, gamma) for row in zip(ids, logits, strict=True)]
    np.testing.assert_allclose(MaskCrossEntropy(weights, gamma).call(ids, logits), expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 3.0, 2.0]], ids=["plain", "weighted"])
def test_dice_against_numpy(weights):
    ids, logits = batch()
    expected = [dice_of_row(*row, weights or [1.0] * CLASSES) for row in zip(ids, logits, strict=True)]
    np.testing.assert_allclose(MaskDice(weights).call(ids, logits), expected, rtol=1e-5)


def test_without_ignored_pixels_it_is_keras_s_cross_entropy():
    ids, logits = batch()
    ids[ids == IGNORED] = 0
    keras_s = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(ids, logits)
    assert float(MaskCrossEntropy()(ids, logits)) == pytest.approx(float(keras_s), rel=1e-6)


@pytest.mark.parametrize("names", ["cross_entropy", "dice", "focal", "cross_entropy+dice"])
def test_the_loss_of_a_batch_is_the_mean_of_its_rows(names):
    ids, logits = batch()
    loss = build_mask_loss(names, [1.0, 0.5, 3.0, 2.0])
    alone = [float(loss(ids[row : row + 1], logits[row : row + 1])) for row in range(len(ids))]
    assert float(loss(ids, logits)) == pytest.approx(np.mean(alone), rel=1e-6)


def test_keras_s_own_losses_would_couple_the_rows():
    ids, logits = batch()
    for loss in (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED),
        lambda true, given: keras.losses.dice(keras.ops.one_hot(true.astype(int), CLASSES), keras.ops.softmax(given)),
    ):
        alone = [float(loss(ids[row : row + 1], logits[row : row + 1])) for row in range(len(ids))]
        assert float(loss(ids, logits)) != pytest.approx(np.mean(alone), rel=1e-4)


@pytest.mark.parametrize("names", ["cross_entropy", "dice", "focal"])
def test_ignored_pixels_change_nothing_and_get_no_gradient(names):
    import tensorflow as tf

    ids, logits = batch()
    other = logits.copy()
    other[ids == IGNORED] += 7
    loss = build_mask_loss(names)
    np.testing.assert_allclose(loss.call(ids, logits), loss.call(ids, other), rtol=1e-6)
    given = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(ids, given)
    gradient = tape.gradient(value, given).numpy()
    assert np.isfinite(gradient).all()
    assert not gradient[ids == IGNORED].any()
    assert gradient[ids != IGNORED].any()


@pytest.mark.parametrize("names", ["cross_entropy", "dice", "focal"])
def test_a_row_of_no_class_at_all_costs_nothing(names):
    ids, logits = batch(1)
    ids[:] = IGNORED
    assert build_mask_loss(names).call(ids, logits).numpy().tolist() == [0.0]


@pytest.mark.parametrize("names", ["cross_entropy", "dice", "focal"])
def test_a_sure_and_right_answer_costs_nothing(names):
    ids, _ = batch()
    logits = 40.0 * (ids[..., None] == np.arange(CLASSES)).astype(np.float32)
    np.testing.assert_allclose(build_mask_loss(names).call(ids, logits), 0, atol=1e-5)
    np.testing.assert_allclose(pixel_accuracy(ids, logits), 1)
    assert build_mask_loss(names)(ids, -logits) > 0.5


def test_a_sum_is_the_sum_and_survives_its_configuration():
    ids, logits = batch()
    both = build_mask_loss("cross_entropy + dice", [1.0, 2.0, 1.0, 1.0])
    parts = [build_mask_loss(name, [1.0, 2.0, 1.0, 1.0]).call(ids, logits) for name in ("cross_entropy", "dice")]
    np.testing.assert_allclose(both.call(ids, logits), parts[0] + parts[1])
    again = keras.losses.deserialize(keras.losses.serialize(both))
    assert isinstance(again, SumOfLosses)
    np.testing.assert_allclose(again.call(ids, logits), both.call(ids, logits))


def test_an_unknown_part_is_named():
    with pytest.raises(HparamError, match=r"no term 'dise'. Expected one of: .*Did you mean 'dice'"):
        build_mask_loss("cross_entropy+dise")


def test_the_accuracy_of_a_row_by_hand():
    ids = np.array([[[0, 1], [IGNORED, 2]]], np.uint8)
    logits = np.zeros((1, 2, 2, 3), np.float32)
    logits[0, :, :, 1] = 1  # always class 1
    np.testing.assert_allclose(pixel_accuracy(ids, logits), [1 / 3])
