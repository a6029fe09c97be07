"""Boxes on photos that lie on their side: turned along where they are of the stored picture, and counted."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import dlkit
from dlkit.columns import Image as ImageColumn
from dlkit.tasks.object_detection.columns import CrowdBoxes
from dlkit.tasks.object_detection.task import ObjectDetector
from dlkit.training.prepare import build_task, encode_rows

STORED, SEEN = [4.0, 6.0, 14.0, 26.0], [6.0, 16.0, 26.0, 26.0]  # yxyx in 30 x 40 as it is stored, and in 40 x 30
TASK = {"width": 8, "image_size": 32, "validation_split": 0.0}


@pytest.fixture
def photos(tmp_path):
    """Two photos, one of them stored on its side (orientation 6: a quarter to the right), in a COCO folder."""
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "images").mkdir()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8))
    picture.save(tmp_path / "images" / "a.jpg")
    picture.save(tmp_path / "images" / "b.jpg", exif=exif.tobytes())
    return tmp_path


def coco(folder, size, box):
    images = [{"id": n, "file_name": f"{name}.jpg"} for n, name in enumerate("ab")]
    images[0] |= {"height": 30, "width": 40}
    images[1] |= dict(zip(("height", "width"), size, strict=True))
    boxes = [STORED, box]
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [x, y, right - x, bottom - y]}
        for n, (y, x, bottom, right) in enumerate(boxes)
    ]
    data = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": annotations}
    (folder / "annotations.json").write_text(json.dumps(data))
    return str(folder)


def boxes_of(task, source):
    table = task.read(source).table
    return [table.raw(row, {"boxes": CrowdBoxes()})["boxes"][0, :4].tolist() for row in range(2)]


def test_coco_boxes_of_a_stored_picture_are_turned_along_and_counted(photos):
    task = ObjectDetector(**TASK)
    source = coco(photos, (30, 40), STORED)
    assert boxes_of(task, source) == [STORED, SEEN]
    rows = task.read(source)
    build_task(task, rows)
    store, _ = encode_rows(task, rows, None, quiet=True)
    assert "the boxes of 1 images were annotated on the image as stored" in task.report_["remarks"][-1]
    objects = store.all()[1]["predictions"][1, 0, :4]  # 40 x 30 letterboxed into 32 x 32: 24 wide, 4 from the left
    np.testing.assert_allclose(objects, [6 * 0.8, 16 * 0.8 + 4, 26 * 0.8, 26 * 0.8 + 4], rtol=1e-5)


def test_coco_boxes_of_the_seen_picture_stay(photos):
    assert boxes_of(ObjectDetector(**TASK), coco(photos, (40, 30), SEEN)) == [STORED, SEEN]


def test_voc_boxes_of_a_stored_picture_are_turned_along(photos):
    (photos / "Annotations").mkdir()
    top, left, bottom, right = STORED
    for name in "ab":
        (photos / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename><size><width>40</width><height>30</height></size><object>"
            f"<name>cat</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
            "</bndbox></object></annotation>"
        )
    assert boxes_of(ObjectDetector(**TASK), str(photos)) == [STORED, SEEN]


def test_shares_are_of_the_seen_picture(photos):
    (photos / "labels").mkdir()
    for name in "ab":
        (photos / "labels" / f"{name}.txt").write_text("0 0.5 0.25 0.5 0.25\n")
    found = boxes_of(ObjectDetector(**TASK), str(photos))
    np.testing.assert_allclose(found, [[3.75, 10, 11.25, 30], [5, 7.5, 15, 22.5]])


def test_a_model_saved_before_leaves_boxes_as_they_are_stored(photos):
    task = ObjectDetector(**TASK)
    source = coco(photos, (30, 40), STORED)
    build_task(task, task.read(source))
    task.stages_.preprocess.get_layer("decode_image").orient = False  # as such a model is loaded
    assert boxes_of(task, source) == [STORED, STORED]


def test_the_images_of_answers_and_boxes_are_alike(photos):
    pixels = np.asarray(Image.open(photos / "images" / "b.jpg"))
    raw = ImageColumn().raw(photos / "images" / "b.jpg")
    task = ObjectDetector(**TASK)
    build_task(task, task.read(coco(photos, (30, 40), STORED)))
    assert pixels.shape[:2] == (30, 40)
    assert task.stages_.preprocess({"image": tf.constant([raw])})["original_size"].numpy().tolist() == [[40, 30]]


def scenes(size, side, count=3):
    """Images of noise with an object of a size in the middle of each."""
    images = [np.random.default_rng(n).integers(0, 255, (*size, 3), np.uint8) for n in range(count)]
    return {"image": images, "boxes": [[[5, 5, 5 + side, 5 + side]]] * count, "labels": [["cat"]] * count}


@pytest.mark.parametrize(("size", "side", "expected"), [
    ((1200, 1200), 60, 512),  # 26 pixels at 512
    ((1200, 1200), 12, 800),  # 5 at 512, 8 at 800
    ((1200, 1200), 4, 1024),  # the most
    ((400, 400), 4, 416),  # images are not enlarged, but for the multiple of 32
])  # fmt: skip
def test_the_networks_image_grows_where_objects_are_small(size, side, expected):
    table = ObjectDetector().read(scenes(size, side)).table
    assert ObjectDetector().network_shape(table)[:2] == (expected, expected)
    assert ObjectDetector(image_size=320).network_shape(table)[:2] == (320, 320)
    said = dlkit.ObjectDetector(validation_split=0.0).check(scenes(size, side))
    assert any("instead of the usual 512" in text for text in said["remarks"]) == (expected > 512)
