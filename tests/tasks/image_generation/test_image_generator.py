"""The task as users see it: sources, requests, images that are the same for the same seed."""

import base64
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import dlkit
from dlkit.cli import main as cli
from dlkit.errors import DataError, DlkitError, HparamError
from dlkit.tasks.image_generation.read_request import ReadRequest

SMALL = {"width": 8, "blocks": 1, "depth": 1, "sampling_steps": 2, "epochs": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def model():
    """A generator, not trained, of colored squares, red or green with transparent corners."""
    images = np.zeros((40, 9, 12, 4), np.uint8)
    images[:20, :, :, 0] = images[20:, :, :, 1] = 200
    images[:, 2:7, 2:9, 3] = 255
    task = dlkit.ImageGenerator(**SMALL)
    task.stages_ = task.build(task.read({"image": images, "label": ["red"] * 20 + ["green"] * 20}).table)
    return task


def test_labels_and_shape_are_those_of_the_data(model):
    assert model.labels_ == ["green", "red"]
    assert model.shape_ == [9, 12, 3]
    assert model.predict({"label": "red"})["image"].shape == (9, 12, 3)


def test_transparent_pixels_are_learned_as_white(model):
    picture = Image.new("RGBA", (12, 9), (0, 0, 0, 0))
    picture.paste((10, 20, 30, 255), (0, 0, 6, 9))
    file = io.BytesIO()
    picture.save(file, "PNG")
    tensors, _ = model.encode({"label": tf.constant(["red"])}, {"image": tf.constant([file.getvalue()])})
    assert tensors["image"].numpy()[0, 0, [0, 11]].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert tensors["label_id"].numpy().tolist() == [2]


def test_the_same_seed_is_the_same_image_however_it_is_asked_for(model):
    several = model.generate("red", count=4, seed=7)
    assert len({image.tobytes() for image in several}) == 4
    for number, image in enumerate(several):
        np.testing.assert_array_equal(image, model.generate("red", seed=7 + number)[0])
        np.testing.assert_array_equal(image, model.predict({"label": "red", "seed": 7 + number})["image"])


def test_a_bad_request_costs_only_itself(model, tmp_path):
    requests = [{"label": "red", "seed": 1}, {"label": "blue", "seed": 1}, {"label": "red", "seed": 1, "steps": 40_000}]
    table = {name: [row.get(name, 2) for row in requests] for name in ("label", "seed", "steps")}
    told = model.predict_to(table, tmp_path / "images.jsonl", verbose=False)
    assert (told["predicted"], told["bad"]) == (1, 2)
    (line,) = [json.loads(line) for line in (tmp_path / "images.jsonl").read_text().splitlines() if "null" not in line]
    written = np.asarray(Image.open(io.BytesIO(base64.b64decode(line["image"]))))
    np.testing.assert_array_equal(written, model.predict({"label": "red", "seed": 1, "steps": 2})["image"])
    assert "no label 'blue'. It has: green, red." in told["reasons"][0]
    assert f"`steps` must be between 1 and {2**22 // 108}. Received: 40000." in told["reasons"][1]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"label": "blue"}, "no label"), ({"guidance": 51.0}, "between 0 and 50"), ({"steps": 0}, "between 1 and")],
)
def test_what_cannot_be_generated_is_refused(model, options, message):
    with pytest.raises(DataError, match=message):
        model.generate(**options)
    with pytest.raises(HparamError, match="at least 1"):
        model.generate(count=0)


def test_a_long_list_of_labels_is_cut_in_messages():
    read = ReadRequest([f"class {number}" for number in range(25)], {"steps": (1, 10)})
    row = {"label": ["x"], "seed": [0], "steps": [1]}
    error = read({name: tf.constant(value) for name, value in row.items()})["error"]
    assert error[0].numpy().decode().endswith("class 19 and 5 more.")


def test_training_drops_a_share_of_the_labels_and_seeds_by_step_alone(model):
    tensors = {"label_id": tf.ones([2000], tf.int32), "row_seed": tf.zeros([2000, 2], tf.int32)}
    first, again, other = (model.augment(tensors, {}, tf.constant(step, tf.int64))[0] for step in (3, 3, 4))
    assert float(tf.reduce_mean(tf.cast(first["label_id"], tf.float32))) == pytest.approx(0.9, abs=0.03)
    np.testing.assert_array_equal(first["row_seed"], again["row_seed"])
    assert (first["row_seed"].numpy() != other["row_seed"].numpy()).any(1).all()
    assert len(np.unique(first["row_seed"], axis=0)) == 2000


@pytest.mark.parametrize("labels", [("cat", "dog"), ()])
def test_folders_of_images_with_classes_or_without(tmp_path, labels):
    for number in range(10):
        folder = tmp_path / labels[number % 2] if labels else tmp_path
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * number, np.uint8)).save(folder / f"{number}.png")
    task = dlkit.ImageGenerator(**SMALL)
    task.stages_ = task.build(task.read(str(tmp_path)).table)
    assert task.labels_ == [*labels]
    assert task.shape_ == [8, 8, 1]
    if not labels:
        with pytest.raises(DataError, match="It has none: leave it out"):
            task.generate("cat")


def test_steps_beyond_the_limit_are_refused_before_training():
    with pytest.raises(DlkitError, match="must be at most 65536 for images of 8 x 8 pixels"):
        dlkit.ImageGenerator(**{**SMALL, "sampling_steps": 70_000}).fit(
            dlkit.ImageGenerator.samples()["train"], verbose=0
        )


def test_few_images_are_not_compared(model):
    images = np.zeros((3, 9, 12, 3), np.uint8)
    with pytest.raises(DataError, match=r"at least 8 readable ones\. Received: 3"):
        model.evaluate({"image": images, "label": ["red"] * 3})


def test_the_command_line_writes_a_file_for_each_seed(model, run, monkeypatch, tmp_path):
    monkeypatch.setattr(dlkit, "load", lambda folder: model)
    monkeypatch.setattr(cli, "check_early", lambda given: None)
    command = ["generate", "model", "--label", "red", "--count", "3", "--seed", "5", "--output", tmp_path / "red"]
    assert "3 files" in run(*command, "--input", "steps=1")
    assert sorted(file.name for file in (tmp_path / "red").iterdir()) == ["5.png", "6.png", "7.png"]
    written = np.asarray(Image.open(tmp_path / "red" / "6.png"))
    np.testing.assert_array_equal(written, model.generate("red", seed=6, steps=1)[0])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--count", "0"], "--count must be at least 1. Received: 0"),
        (["--input", "size=3"], "has no input 'size'. It has: label, seed, steps, guidance"),
        (["--label", "blue"], "seed 0: the training data has no label 'blue'"),
        (["--output", "."], "is not an empty folder"),
    ],
)
def test_the_command_line_says_what_is_wrong(model, monkeypatch, capsys, tmp_path, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(dlkit, "load", lambda folder: model)
    monkeypatch.setattr(cli, "check_early", lambda given: None)
    assert cli.main(["generate", "model", "--output", "new", *flags]) == 2
    assert message in capsys.readouterr().err


def test_copies_and_images_of_a_single_color_are_reported():
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.uint8)
    images[3], images[7] = 100, images[5]
    report = dlkit.ImageGenerator(**SMALL, validation_split=0).check({"image": images, "label": ["a", "b"] * 10})
    blank, repeated = report["warnings"]
    assert "1 images have a single color" in blank
    assert "index 3" in blank
    assert "1 images occur more than once" in repeated
    assert "index 7" in repeated
    assert report["statistics"]["labels"] == {"a": 10, "b": 10}


def test_an_evaluation_has_a_seed_for_each_image_and_a_limit(model):
    images = np.zeros((1001, 9, 12, 3), np.uint8)
    rows = model.read({"image": images, "label": ["red"] * 1001})
    assert rows.to_evaluate().columns["seed"] == list(range(1000))
    assert "1000 of 1001 images" in rows.evaluation_warnings()[0]
