"""Masks of photos that lie on their side: turned along where they are of the stored picture; whole and by tiles."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dlkit.errors import DataError
from dlkit.tasks.image_segmentation.mask_png import decode_mask
from dlkit.tasks.image_segmentation.task import ImageSegmenter
from dlkit.tasks.image_segmentation.tiles import SegmentTiles, cut_tiles
from dlkit.training.prepare import build_task, encode_rows
from dlkit.vision.decode_image import as_displayed
from dlkit.vision.orientation import orient_array

SMALL = {"width": 2, "depth": 1, "image_size": 16, "validation_split": 0.0}
PIXELS = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 50, np.ones((6, 6), np.uint8))  # 12 x 18, all unlike


def turned(orientation, pixels=PIXELS):
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("tiles", [False, True])
def test_masks_of_stored_pictures_are_turned_along_and_counted(tiles):
    bright = (PIXELS > 120).astype(np.uint8)
    orientations = [1, 6, 8, 5]
    masks = [bright, bright, orient_array(bright, 8), bright]  # the third is of the picture as it is seen
    task = ImageSegmenter(**SMALL, tiles=tiles, resize="stretch")
    rows = task.read({"image": [turned(each) for each in orientations], "mask": masks})
    build_task(task, rows)
    store, _ = encode_rows(task, rows, None, quiet=True)
    assert task.report_["remarks"] == [
        "2 masks were annotated on the image as stored, and were rotated by its EXIF orientation"
    ]
    tensors, targets = store.all()
    sees = targets["logits"] != 255
    assert set(tensors) == {"image"}
    assert ((tensors["image"][..., 0] > 120) == (targets["logits"] == 1))[sees].mean() > 0.93  # but for resized borders
    seen = [decode_mask(png).shape for png in rows.table.raw_column("mask", task.target["mask"])]
    assert seen == [(12, 18), (18, 12), (18, 12), (18, 12)]


def test_a_mask_of_neither_size_is_refused():
    task = ImageSegmenter(**SMALL)
    rows = task.read({"image": [turned(6)], "mask": [np.zeros((12, 17), np.uint8)]})
    with pytest.raises(DataError, match="12 x 17 pixels, its image 18 x 12"):
        build_task(task, rows)


def by_brightness():
    """Sees one pixel alone: class 1 where it is bright."""
    image = keras.Input((8, 8, 1), name="image")
    logits = keras.layers.Conv2D(2, 1)
    model = keras.Model({"image": image}, {"logits": logits(image)})
    logits.set_weights([np.array([[[[0.0, 1.0]]]]), np.array([120.0, 0.0])])
    return model


def test_tiles_are_of_the_picture_that_is_seen_and_a_bad_row_costs_itself_alone():
    layer = SegmentTiles(by_brightness(), reading=as_displayed())
    files = [turned(6), b"hello", turned(1), turned(7)[:-9]]
    made = {name: value.numpy() for name, value in layer(tf.constant(files)).items()}
    np.testing.assert_array_equal(decode_mask(made["mask_bytes"][0]), orient_array(PIXELS > 120, 6))
    np.testing.assert_array_equal(decode_mask(made["mask_bytes"][2]), PIXELS > 120)
    assert [bool(reason) for reason in made["error"]] == [False, True, False, True]
    assert made["mask_bytes"][1] == made["mask_bytes"][3] == b""
    again = SegmentTiles.from_config(layer.get_config())
    assert again.reading == layer.reading
    masks = tf.constant([turned(1, orient_array((PIXELS > 120).astype(np.uint8), 6))])
    images, ids, _ = cut_tiles(tf.constant(files[:1]), masks, layer.decode, (3, 2))
    np.testing.assert_array_equal(images[..., 0] > 120, ids.numpy() == 1)
