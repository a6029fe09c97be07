"""Tasks on pictures: a row that cannot be read is answered by its error, left out of training, refused in Python."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import dlkit
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.training.prepare import build_task, encode_rows
from dlkit.vision.image_facts import find_max_sample, infer_shape
from dlkit.vision.orientation import orient_array

RANDOM = np.random.default_rng(0)
SIZE = 16


def png(pixels, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def noise(height=SIZE, width=SIZE):
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def tasks():
    images = [png(noise()) for _ in range(4)] + [png(noise(), "JPEG")[:-30], b"hello"]
    masks = [np.arange(SIZE**2, dtype=np.uint8).reshape(SIZE, SIZE) % 2] * 6
    boxes = {"boxes": [[[2, 3, 9, 11]]] * 6, "labels": [["a"]] * 6}
    shared = {"validation_split": 0.0, "batch_size": 4}
    segmenter = {**shared, "width": 2, "depth": 1, "image_size": 8}
    return {
        "classifier": (dlkit.ImageClassifier(network="mlp", **shared), {"image": images, "label": list("ababab")}),
        "labels": (
            dlkit.ImageClassifier(network="mlp", multi_label=True, flip_average=True, **shared),
            {"image": images, "label": [["a"], ["b"]] * 3},
        ),
        "segmenter": (dlkit.ImageSegmenter(**segmenter), {"image": images, "mask": masks}),
        "by tiles": (dlkit.ImageSegmenter(tiles=True, **segmenter), {"image": images, "mask": masks}),
        "detector": (
            dlkit.ObjectDetector(width=8, image_size=32, score_threshold=0.0, max_detections=3, **shared),
            {"image": images, **boxes},
        ),
    }


@pytest.mark.parametrize(
    "name", ["labels", *(pytest.param(name, marks=pytest.mark.slow) for name in ("by tiles", "detector"))]
)
def test_a_bad_row_costs_itself_alone(name):
    task, data = tasks()[name]
    rows = task.read(data)
    build_task(task, rows)
    store, _ = encode_rows(task, rows, None, quiet=True)
    assert store.rows == 4 * rows.windows_per_row
    (said,) = task.report_["remarks"]
    assert said.startswith("2 of 6 rows skipped")
    assert "index 4: the file is truncated" in said and "index 5: not a JPEG" in said
    assert len(task.examples_) == 4

    images = data["image"]
    graph = task.served()["serving_default"].graph
    together = {key: value.numpy() for key, value in graph(image=tf.constant(images)).items()}
    alone = {key: value.numpy() for key, value in graph(image=tf.constant(images[:1])).items()}
    assert [bool(reason) for reason in together.pop("error")] == [False] * 4 + [True] * 2
    for key, values in together.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values[0], alone[key][0], atol=1e-5)
        else:
            assert np.all(values[0] == alone[key][0])
        blank = b"" if values.dtype == object else 0
        assert np.all(values[4:] == blank), key
    with pytest.raises(DataError, match="input 1: the file is truncated"):
        task.predict([images[0], images[4]])
    assert "error" not in task.predict(images[0])
    tensors = task.served()["preprocessed"]
    assert "error" not in tensors.inputs
    if name == "detector":
        asked = {"image": images, "score_threshold": [0.0] * 6, "iou_threshold": [0.5] * 6}
        made = task.served()["thresholds"].graph(**{key: tf.constant(value) for key, value in asked.items()})
        assert [bool(reason) for reason in made["error"].numpy()] == [False] * 4 + [True] * 2
        assert not made["scores"].numpy()[4:].any()


def test_answers_to_turned_files_are_those_to_upright_ones():
    task, data = tasks()["classifier"]
    build_task(task, task.read(data))
    upright = noise(9, 14)
    answers = [task.predict(png(upright))]
    for orientation, back in zip(range(2, 9), (2, 3, 4, 5, 8, 7, 6), strict=True):
        exif = Image.Exif()
        exif[274] = orientation
        answers.append(task.predict(png(np.ascontiguousarray(orient_array(upright, back)), exif=exif.tobytes())))
    for answer in answers[1:]:
        assert answer["label"] == answers[0]["label"]
        np.testing.assert_allclose(answer["scores"], answers[0]["scores"], atol=2e-3)


def table(images):
    return Table("rows", {"image": images}, lambda row: f"row {row}")


def test_a_shape_is_found_without_decoding():
    column = dlkit.ImageClassifier().inputs["image"]
    exif = Image.Exif()
    exif[274] = 8
    assert infer_shape(table([png(noise(20, 30), exif=exif.tobytes())] * 3), column, 1000) == (30, 20, 3)
    assert infer_shape(table([png(noise(20, 30)[..., 0])] * 3), column, 1000) == (20, 30, 1)
    broken = png(noise(20, 30))[:60]  # its header is whole
    assert infer_shape(table([broken]), column, 1000) == (20, 30, 3)
    with pytest.raises(DataError, match="20 x 30 pixels, allowed: 599"):
        infer_shape(table([broken]), column, 599)


def test_16_bits_are_scaled_by_what_training_saw():
    column = dlkit.ImageClassifier().inputs["image"]
    dim, bright = (np.full((SIZE, SIZE), value, np.uint16) for value in (90, 240))
    assert find_max_sample(table([noise(), dim, bright, b"broken"]), column, 1000) == 240
    assert find_max_sample(table([noise(), bright]), column, 99) == 0
    task = dlkit.ImageClassifier(network="mlp", validation_split=0.0)
    rows = task.read({"image": [dim, bright] * 4, "label": ["dim", "bright"] * 4})
    build_task(task, rows)
    store, _ = encode_rows(task, rows, None, quiet=True)
    assert store.all()[0]["image"][:2, 0, 0, 0].tolist() == [96, 255]


def test_small_images_are_enlarged_for_lenet():
    task = dlkit.ImageClassifier(network="lenet", validation_split=0.0)
    build_task(task, task.read({"image": [noise(8, 10)] * 4, "label": list("abab")}))
    assert task.stages_.network.input["image"].shape == (None, 24, 30, 3)


@pytest.mark.slow
def test_labels_of_another_site_are_mapped():
    task, data = tasks()["classifier"]
    build_task(task, task.read(data))
    other = {"image": data["image"][:4], "label": ["cat", "b", "cat", "dog"]}
    with pytest.raises(DataError, match=r'label_map=\{"cat": '):
        task.evaluate(other)
    metrics = task.evaluate(other, label_map={"cat": "a", "*": "b"})
    assert {name: each["rows"] for name, each in metrics["per_class"].items()} == {"a": 2, "b": 2}
    with pytest.raises(DataError, match="names 'bird', which does not occur"):
        task.evaluate(other, label_map={"bird": "a"})
    detector, boxed = tasks()["detector"]
    build_task(detector, detector.read(boxed))
    other = {"image": boxed["image"][:1], "boxes": boxed["boxes"][:1], "labels": [["tree"]], "classes": ["tree"]}
    assert detector.evaluate(other, label_map={"tree": "a"})["objects"] == 1
    with pytest.raises(DataError, match="needs labels"):
        segmenter, masks = tasks()["segmenter"]
        segmenter.read(masks).relabeled({"a": "b"})
