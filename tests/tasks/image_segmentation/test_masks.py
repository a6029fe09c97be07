"""Masks to the network's size and back: aligned with the image, and each row for itself."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tasks.image_segmentation import logits_to_masks
from dlkit.tasks.image_segmentation.logits_to_masks import LogitsToMasks, resize_and_classify, resize_masks
from dlkit.tasks.image_segmentation.mask_png import decode_mask, encode_mask
from dlkit.tasks.image_segmentation.mask_rows import MaskRows
from dlkit.tasks.image_segmentation.metrics import compute_ious
from dlkit.tasks.image_segmentation.plots import overlay_mask
from dlkit.vision.decode_image import DecodeImage
from dlkit.vision.png import encode_image

SIZES = [(24, 36), (60, 36), (36, 60), (1, 40), (40, 1), (7, 5)]


def random_mask(size, seed=0):
    blocks = np.random.default_rng(seed).integers(0, 4, (-(-size[0] // 6), -(-size[1] // 6))).astype(np.uint8)
    return np.kron(blocks, np.ones((6, 6), np.uint8))[: size[0], : size[1]]


def test_an_image_of_the_network_s_size_keeps_its_mask():
    mask = random_mask((24, 36))
    for fit in ("stretch", "pad"):
        np.testing.assert_array_equal(resize_masks(tf.constant([encode_mask(mask)]), 24, 36, fit)[0], mask)


def test_stretching_takes_the_nearest_pixel_of_pillow():
    mask = random_mask((60, 36))
    expected = Image.fromarray(mask).resize((36, 24), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resize_masks(tf.constant([encode_mask(mask)]), 24, 36, "stretch")[0], expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_masks_lie_where_their_images_do(resize, size):
    """An image that shows its mask, both fitted: they differ at borders alone; what is padded is black and no class."""
    mask = random_mask(size)
    image = DecodeImage(48, 48, 1, fit=resize)(tf.constant([encode_image(mask * 60 + 40)]))["image"].numpy()[0, ..., 0]
    fitted = resize_masks(tf.constant([encode_mask(mask)]), 48, 48, resize).numpy()[0]
    np.testing.assert_array_equal(fitted == 255, image < 20)
    seen = fitted != 255
    wrong = np.abs(image.astype(int) - (fitted.astype(int) * 60 + 40)) > 91
    assert wrong[seen].mean() < 0.02
    if min(size) > 6:
        assert (np.abs(image.astype(int) - (fitted.astype(int) * 60 + 40))[seen] < 10).mean() > 0.6


def test_a_broken_mask_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        resize_masks(tf.constant([encode_mask(random_mask((24, 36)))[:40]]), 24, 36, "pad")


def logits_for(mask, classes=4):
    return 5.0 * tf.one_hot(tf.constant(mask), classes)


@pytest.mark.parametrize("size", [*SIZES, (300, 500)])
def test_classes_are_those_of_tensorflow_s_resizing(size, monkeypatch):
    logits = tf.constant(np.random.default_rng(1).normal(size=(24, 36, 5)), tf.float32)
    expected = tf.argmax(tf.image.resize(logits, size), axis=-1).numpy()
    for strip in (2**22, 2000, 1):  # one strip, several, and one line each
        monkeypatch.setattr(logits_to_masks, "MAX_STRIP_LOGITS", strip)
        made = resize_and_classify(logits, tf.constant(size)).numpy()
        assert made.shape == size
        assert (made != expected).mean() < 1e-3  # ties


@pytest.mark.parametrize("resize", ["stretch", "pad"])
def test_there_and_back_again(resize):
    """What a perfect network says of a fitted mask is the mask again, but for pixels at borders."""
    for size in ((120, 90), (90, 120), (100, 100)):
        mask = np.kron(random_mask((12, 12)), np.ones((20, 20), np.uint8))[: size[0], : size[1]]
        fitted = resize_masks(tf.constant([encode_mask(mask)]), 96, 96, resize)
        answer = LogitsToMasks(resize)(logits_for(np.where(fitted == 255, 3, fitted)), tf.constant([size]))
        back = decode_mask(answer.numpy()[0])
        assert back.shape == size
        assert (back == mask).mean() > 0.97


def test_rows_of_several_sizes_answer_as_alone():
    sizes = tf.constant([(24, 36), (5, 90), (90, 5), (1, 1)])
    logits = tf.constant(np.random.default_rng(2).normal(size=(4, 24, 36, 3)), tf.float32)
    layer = LogitsToMasks("pad")
    together = layer(logits, sizes).numpy()
    for row in range(4):
        assert layer(logits[row : row + 1], sizes[row : row + 1]).numpy()[0] == together[row]
        image = Image.open(io.BytesIO(together[row]))
        assert (image.mode, image.size[::-1]) == ("L", tuple(sizes[row].numpy()))


def test_the_letterbox_is_cut_away():
    logits = np.zeros((1, 24, 24, 2), np.float32)
    logits[..., 1] = 1
    logits[:, 6:18, :, 0] = 2  # class 0 where a 10 x 20 image lies, class 1 above and below
    assert not decode_mask(LogitsToMasks("pad")(logits, tf.constant([(10, 20)])).numpy()[0]).any()
    assert decode_mask(LogitsToMasks("stretch")(logits, tf.constant([(10, 20)])).numpy()[0]).any()


def test_a_wrong_resize_is_refused():
    with pytest.raises(ValueError, match="Received: resize='crop'"):
        LogitsToMasks("crop")


def test_the_iou_of_one_mask_counts_the_classes_that_it_has():
    true = np.array([[0, 0, 1, 1], [255, 255, 1, 1]], np.uint8)
    predicted = np.array([[0, 1, 1, 1], [2, 2, 1, 0]], np.uint8)
    by_class, accuracy = compute_ious(true, predicted, ["ground", "box", "sky"])
    assert by_class == {"ground": pytest.approx(1 / 3), "box": pytest.approx(3 / 5)}  # the sky is where nothing counts
    assert accuracy == pytest.approx(4 / 6)
    assert compute_ious(np.full((2, 2), 255, np.uint8), predicted[:, :2], ["ground", "box", "sky"]) == ({}, None)


def test_new_classes_of_masks_come_after_those_of_the_model():
    def rows(classes, ids):
        masks = np.array([[0, ids]], np.uint8)
        table = Table("new", {"image": [np.zeros((1, 2, 3), np.uint8)], "mask": [masks]}, str, classes)
        return MaskRows(SimpleNamespace(transparency="white", max_sample_=0), table)

    assert rows(["ground", "box", "sky"], 2).new_labels(["ground", "box"]) == ["sky"]
    assert rows([], 2).new_labels(["0", "1"]) == ["2"]
    assert rows([], 1).new_labels(["ground", "box"]) == []
    with pytest.raises(DataError, match="The model's classes must come first"):
        rows(["box", "ground", "sky"], 2).new_labels(["ground", "box"])
    with pytest.raises(DataError, match="beyond the 2 classes of the model, but no class names"):
        rows([], 2).new_labels(["ground", "box"])


def test_the_first_class_and_no_class_leave_the_image_as_it_is():
    pytest.importorskip("matplotlib")
    pixels = np.full((1, 4, 3), 100, np.uint8)
    seen = overlay_mask(pixels, np.array([[0, 1, 2, 255]], np.uint8), ["road", "car", "background"])
    assert (seen[0, [0, 2, 3]] == 100).all()
    assert (seen[0, 1] != 100).any()
