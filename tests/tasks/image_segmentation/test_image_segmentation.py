"""The segmenter as a user has it: masks of the images' own sizes, tiles, weights, frozen encoders, pictures."""

import base64
import json

import numpy as np
import pytest

import dlkit
from dlkit.data.read import read
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.tasks.image_segmentation.mask_png import decode_mask
from dlkit.vision.png import encode_image
from dlkit.vision.scenes import segmentation_sample

SMALL = {"width": 4, "depth": 2, "epochs": 1, "batch_size": 8, "validation_split": 0.0}


def blobs(count=16, size=(40, 48), seed=0):
    """Bright rectangles on dark noise, and their masks: classes 0 and 1, with a border of no class."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, *size, 3)).astype(np.uint8)
    masks = np.zeros((count, *size), np.uint8)
    for row in range(count):
        top, left = generator.integers(2, 14, 2)
        height, width = generator.integers(12, 22, 2)
        masks[row, top - 1 : top + height + 1, left - 1 : left + width + 1] = 255
        masks[row, top : top + height, left : left + width] = 1
        images[row, top : top + height, left : left + width] += 150
    return {"image": list(images), "mask": list(masks), "classes": ["ground", "box"]}


@pytest.fixture(scope="module")
def fitted():
    task = dlkit.ImageSegmenter(**{**SMALL, "epochs": 12, "learning_rate": 1e-2})
    task.fit(blobs(32), verbose=0)
    return task


def test_it_learns_and_answers_at_the_images_own_sizes(fitted):
    metrics = fitted.evaluate(blobs(8, seed=1))
    assert metrics["mean_iou"] > 0.9 > metrics["baseline_mean_iou"] + 0.3
    assert metrics["confusion"]["labels"] == ["ground", "box"]
    images = [blobs(1, size, seed=2)["image"][0] for size in ((40, 48), (80, 48), (40, 100), (33, 71))]
    for image, answer in zip(images, fitted.predict(images), strict=True):
        assert answer["mask"].shape == image.shape[:2]
        assert answer["mask"].dtype == np.uint8
        assert answer["classes"] == ["ground", "box"]
        assert ((image.mean(axis=-1) > 100) == answer["mask"]).mean() > 0.85


def test_pictures_show_masks_and_confusion(fitted, tmp_path):
    pytest.importorskip("matplotlib")
    assert fitted.draw(blobs(8, seed=1), tmp_path / "masks.png")
    assert (tmp_path / "masks.png").stat().st_size > 10_000


def test_the_command_prints_masks_as_json_and_in_words(fitted, run, tmp_path):
    fitted.save(tmp_path / "model", overwrite=True)
    files = []
    for number, image in enumerate(blobs(2, seed=4)["image"]):
        files.append(tmp_path / f"{number}.png")
        files[-1].write_bytes(encode_image(image))
    lines = run("predict", tmp_path / "model", *files, "--json").splitlines()
    for file, line, answer in zip(files, lines, fitted.predict(files), strict=True):
        printed = json.loads(line)
        assert printed["input"] == str(file)
        np.testing.assert_array_equal(decode_mask(base64.b64decode(printed["mask"]["b64"])), answer["mask"])
        assert printed["pixel_fractions"] == {
            "ground": np.mean(answer["mask"] == 0),
            "box": np.mean(answer["mask"] == 1),
        }
    said = run("predict", tmp_path / "model", files[0])
    assert "mask: 40 x 48 pixels (height x width)" in said
    assert f"ground {fitted.predict(files[0])['pixel_fractions']['ground']:.1%}, box" in said
    (tmp_path / "bad.png").write_bytes(b"none")
    assert run("predict", tmp_path / "model", files[0], "--draw", tmp_path / "drawn").endswith(
        f"1 plot: {tmp_path / 'drawn'}\n"
    )
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["0.png"]


def test_a_mask_of_another_size_an_id_too_many_and_other_classes_are_refused(fitted):
    data = blobs(8)
    with pytest.raises(DataError, match="its image 40 x 48"):
        fitted.evaluate({**data, "mask": [*data["mask"][:-1], np.zeros((40, 40), np.uint8)]})
    with pytest.raises(DataError, match="class id 7"):
        fitted.evaluate({**data, "mask": [*data["mask"][:-1], np.full((40, 48), 7, np.uint8)]})
    with pytest.raises(DataError, match="names the classes"):
        fitted.evaluate({**data, "classes": ["box", "ground"]})
    with pytest.raises(DataError, match="at least two classes"):
        dlkit.ImageSegmenter(**SMALL).fit(
            {**data, "mask": [np.zeros((40, 48), np.uint8)] * 8, "classes": ["a"]}, verbose=0
        )


@pytest.mark.slow
def test_class_weights_come_from_pixels_or_names():
    data = blobs(8)
    task = dlkit.ImageSegmenter(**SMALL, class_weights="balanced")
    task.fit(data, verbose=0)
    ids = np.stack(data["mask"])
    counts = np.array([(ids == number).sum() for number in (0, 1)])
    np.testing.assert_allclose(task.class_weights_, counts.sum() / (2 * counts))
    task = dlkit.ImageSegmenter(**SMALL, class_weights="box=3", losses="focal+dice")
    task.fit(data, verbose=0)
    assert task.class_weights_ == [1.0, 3.0]
    with pytest.raises(HparamError, match="unknown label 'bux'"):
        dlkit.ImageSegmenter(**SMALL, class_weights="bux=3").fit(data, verbose=0)


def test_unknown_losses_are_refused_before_anything_is_read():
    with pytest.raises(HparamError, match="`losses` has no term 'dise'"):
        dlkit.ImageSegmenter(losses="cross_entropy+dise")


@pytest.mark.slow
def test_freezing_a_backbone_leaves_the_decoder_to_train():
    task = dlkit.ImageSegmenter(**SMALL, encoder="MobileNetV2", freeze="backbone")
    task.fit(blobs(8), verbose=0)
    network = task.stages_.network
    assert not network.get_layer("backbone").trainable_weights
    assert network.get_layer("classes").trainable_weights
    with pytest.raises(DlkitError, match="'backbone'"):
        dlkit.ImageSegmenter(**SMALL, freeze="backbone").fit(blobs(8), verbose=0)


@pytest.mark.parametrize("network", ["deeplab_v3", "segformer"])
def test_networks_of_keras_hub_have_a_backbone_to_freeze(network):
    from dlkit.training.freeze import freeze, list_weighted_layers
    from dlkit.training.prepare import build_task

    task = dlkit.ImageSegmenter(**SMALL, network=network, freeze="backbone")
    data = blobs(8)
    build_task(task, task.read(data))
    count = len(freeze(task.stages_.network, task.freeze))
    assert 5 < count < len(list_weighted_layers(task.stages_.network)) - 2


@pytest.mark.slow
def test_tiles_answer_an_image_of_the_network_s_size_as_without(tmp_path):
    plain = dlkit.ImageSegmenter(**SMALL)
    plain.fit(blobs(8), verbose=0)
    tiled = dlkit.ImageSegmenter(**SMALL, tiles=True)
    tiled.fit(blobs(8), verbose=0)
    assert tiled.history_ == plain.history_
    images = blobs(4, seed=3)["image"]
    for left, right in zip(plain.predict(images), tiled.predict(images), strict=True):
        np.testing.assert_array_equal(left["mask"], right["mask"])
    version = tiled.export(tmp_path / "tiles")
    assert (version / "saved_model.pb").is_file()
    tiled.save(tmp_path / "saved")
    large = np.tile(images[0], (4, 3, 1))
    answer = dlkit.load(tmp_path / "saved").predict(large)["mask"]
    assert answer.shape == large.shape[:2]
    np.testing.assert_array_equal(answer, tiled.predict(large)["mask"])


def test_large_training_images_become_windows():
    task = dlkit.ImageSegmenter(**SMALL, tiles=True, image_size=24)
    task.fit(blobs(8), verbose=0)
    assert task.tile_grid_ == [2, 2]
    assert task.fingerprint_["rows"] == 4 * 8


@pytest.mark.slow
def test_signatures_of_the_network_s_own_size(fitted, tmp_path):
    version = fitted.export(tmp_path / "served")
    import tensorflow as tf

    image = blobs(2, seed=4)["image"]
    served = tf.saved_model.load(str(version)).signatures
    assert set(served) >= {"serving_default", "preprocessed", "scores"}
    tensors = served["preprocessed"](image=tf.constant(np.stack(image)))
    scores = served["scores"](image=tf.constant(np.stack(image)))
    assert tensors["mask"].dtype == tf.uint8
    np.testing.assert_array_equal(tensors["mask"], scores["mask"])
    assert scores["scores"].shape == (2, 40, 48)
    assert (scores["scores"].numpy() >= 0.5).all()
    files = tf.constant([encode_image(each) for each in image])
    for row, png in enumerate(served["serving_default"](image=files)["mask_bytes"].numpy()):
        np.testing.assert_array_equal(decode_mask(png), tensors["mask"][row])


def test_the_sample_is_what_the_columns_take():
    task = dlkit.ImageSegmenter()
    sample = segmentation_sample()
    table = read(sample["test"], {**task.inputs, **task.target})
    assert len(table.classes) == 2
    assert table.raw(0, task.target)["mask"].startswith(b"\x89PNG")
