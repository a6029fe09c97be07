"""The classifier in whose features images are compared: what it learns, and that it stays with its model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.data.split import evenly_spaced
from dlkit.errors import DlkitError, HparamError
from dlkit.rows import Encoded
from dlkit.tasks.image_generation.judge import build_judge, choose_images, features_of, judge_images, load_judge
from dlkit.tasks.image_generation.metrics import score_images
from dlkit.training.store import Store
from dlkit.vision.digits import digits

SMALL = {"width": 8, "blocks": 1, "depth": 1, "sampling_steps": 1}
EPOCHS = 5  # of which 4 and 5 are scored
LABELS = [str(label) for label in range(10)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A generator after a few epochs, which are too few, with the classifier of its training images."""
    folder = tmp_path_factory.mktemp("generator") / "model"
    task = dlkit.ImageGenerator(**SMALL, epochs=EPOCHS)
    task.fit(digits()["train"], digits()["validation"], save=folder, checkpoint_every=34, strategy="one", verbose=0)
    return task, folder


def test_the_classifier_knows_the_labels_of_images_that_it_has_not_seen(trained):
    judge, test = trained[0].stages_.judge, digits()["test"]
    found = judge_images(judge, test["image"][..., None])
    right = np.mean([LABELS[row] == label for row, label in zip(found["logits"].argmax(1), test["label"], strict=True)])
    assert right > 0.9
    assert found["features"].shape == (len(test["label"]), 64)
    assert found["features"].std() > 0.1


def test_its_features_tell_classes_apart_that_are_missing(trained):
    images, labels = digits()["test"]["image"][..., None], np.array(digits()["test"]["label"])
    features = features_of(trained[0].stages_.judge)
    few = images[np.isin(labels, ["0", "1", "2"])]
    every, some = (score_images(images[::2], each, features) for each in (images[1::2], np.resize(few, (180, 8, 8, 1))))
    assert some["kid"] > 20 * abs(every["kid"])
    assert some["recall"] < 0.6 < every["recall"]


def test_an_evaluation_has_the_share_of_right_labels(trained, monkeypatch):
    task, test = trained[0], digits()["test"]
    metrics = task.evaluate(test)
    assert metrics["floor_label_accuracy"] > 0.9
    assert metrics["label_accuracy"] < 0.5
    # Answers that are the real images of the labels that are asked for.
    rows = task.rows(task, task.read(test).table)
    png = [tf.io.encode_png(image[..., None]).numpy() for image in test["image"]]
    found = rows.answer_metrics({"image": png}, {"image_bytes": png})
    assert found["label_accuracy"] == found["floor_label_accuracy"] == metrics["floor_label_accuracy"]
    shifted = rows.answer_metrics({"image": png}, {"image_bytes": png[1:] + png[:1]})
    assert shifted["label_accuracy"] < 0.3


def test_the_best_epoch_is_one_of_those_that_are_scored(trained):
    task, folder = trained
    assert np.isnan(task.history_["val_kid_skill"][:3]).all()
    scores = task.history_["val_kid_skill"][3:]
    assert scores[0] != scores[1]
    assert task.best_epoch_["epoch"] == 4 + np.argmax(scores)
    pictures = sorted((folder / "samples").iterdir())
    assert [path.name for path in pictures] == ["epoch-0004.png", "epoch-0005.png"]
    assert tf.io.decode_png(pictures[0].read_bytes()).shape == (8 * 10 - 2, 8 * 10 - 2, 1)
    # Those of the weights that are kept: with the averages, and with the same seeds.
    rows = task.rows(task, task.read(digits()["validation"]).table)
    table = rows.to_evaluate()
    found, _ = task.score_epoch(rows.with_table(table.take(evenly_spaced(len(table), 256))))
    assert found["images"] == 256
    assert found["kid_skill"] == pytest.approx(max(scores))


class Interrupt(keras.callbacks.Callback):
    """Ends a run in its last epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if len(self.model.history.epoch) == EPOCHS - 1 and batch == 3:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_resumed_run_has_the_scores_and_weights_of_one_that_was_not_stopped(trained, tmp_path):
    options = {"save": tmp_path / "model", "checkpoint_every": 34, "strategy": "one", "verbose": 0}
    data = digits()["train"], digits()["validation"]
    with pytest.raises(KeyboardInterrupt):
        dlkit.ImageGenerator(**SMALL, epochs=EPOCHS).fit(*data, callbacks=[Interrupt()], **options)
    task = dlkit.ImageGenerator(**SMALL, epochs=EPOCHS)
    task.fit(*data, resume=True, **options)
    assert list(task.history_) == list(trained[0].history_)
    for name, values in trained[0].history_.items():
        np.testing.assert_array_equal(task.history_[name], values)
    for one, other in zip(task.stages_.network.weights, trained[0].stages_.network.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_it_is_saved_with_the_model_and_is_no_part_of_an_export(trained, monkeypatch, tmp_path):
    task, folder = trained
    loaded = dlkit.load(folder)
    images = digits()["test"]["image"][:5, ..., None]
    for name, values in judge_images(task.stages_.judge, images).items():
        np.testing.assert_array_equal(judge_images(loaded.stages_.judge, images)[name], values)
    exported = {}
    monkeypatch.setattr("dlkit.serving.task_export.export", lambda folder, **given: exported.update(given) or folder)
    loaded.export(tmp_path)
    names = ("preprocess", "network", "postprocess", "decode")
    assert exported["trackables"] == [getattr(loaded.stages_, name) for name in names]


def store_of(count, labels):
    """Encoded rows of images whose labels, from 1, come in turn; 0 for no label."""
    store = Store(count, 10)
    rng = np.random.default_rng(0)
    tensors = {
        "image": rng.integers(0, 256, (count, 8, 8, 1), np.uint8),
        "label_id": np.arange(count, dtype=np.int32) % (labels + 1),
    }
    encoded = Encoded((tensors, {}), range(count))
    store.append(encoded.rows, encoded.source_rows)
    return store


@pytest.mark.parametrize(
    ("options", "labels", "count"),
    [({"feature_model": "patches"}, ["a", "b"], 100), ({}, [], 100), ({}, ["a"], 100), ({}, ["a", "b"], 25)],
)
def test_without_labels_or_with_few_images_there_is_none(options, labels, count):
    task = dlkit.ImageGenerator(**SMALL, **options)
    table = task.read({"image": digits()["train"]["image"][:20], "label": (["a", "b"] * 10)}).table
    task.stages_ = task.build(table)
    task.labels_ = labels
    task.rows(task, table).before_training(store_of(count, len(labels)))
    assert task.stages_.judge is None


def test_large_images_are_chosen_evenly_within_the_memory():
    assert choose_images(5, 100) == [0, 1, 2, 3, 4]
    chosen = choose_images(100_000, 128_000)
    assert len(chosen) == 1000
    assert max(np.diff(chosen)) <= 101
    assert len(choose_images(100_000, 64)) == 40_000
    assert build_judge((100, 128, 3), 2).get_layer("reduce").output.shape == (None, 50, 64, 3)


def test_a_saved_image_classifier_or_a_keras_file_can_take_its_place(image_model, tmp_path):
    classifier = dlkit.load(image_model)
    judge = load_judge(str(image_model), (8, 8, 1), [*reversed(classifier.labels_)])
    images = digits()["test"]["image"][:50, ..., None]
    found = judge_images(judge, images)["logits"].argmax(1)
    expected = [answer["label"] for answer in classifier.predict(list(images))]
    assert [[*reversed(classifier.labels_)][row] for row in found] == expected
    assert "logits" not in load_judge(str(image_model), (8, 8, 1), ["a cat"]).output
    inputs = keras.Input((8, 8, 1))
    hidden = keras.layers.Dense(3, activation="relu")(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs)))
    keras.Model(inputs, keras.layers.Dense(10)(hidden)).save(tmp_path / "net.keras")
    other = load_judge(str(tmp_path / "net.keras"), (8, 8, 1), LABELS)
    outputs = judge_images(other, images)
    network = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(outputs["logits"], network(images.astype("float32")), rtol=1e-5, atol=1e-6)
    assert outputs["features"].shape == (50, 3)
    judge.save(tmp_path / "judge.keras")
    again = judge_images(keras.models.load_model(tmp_path / "judge.keras"), images)["logits"]
    np.testing.assert_array_equal(again.argmax(1), found)


def test_what_cannot_take_its_place_is_refused(image_model, tmp_path):
    with pytest.raises(HparamError, match=r"takes images of 8 x 8 x 1, the generated ones have 9 x 12 x 3"):
        load_judge(str(image_model), (9, 12, 3), LABELS)
    with pytest.raises(DlkitError, match="saved model"):
        load_judge(str(tmp_path / "nothing.keras"), (8, 8, 1), LABELS)
    inputs = keras.Input((8, 8, 1))
    keras.Model(inputs, keras.layers.Conv2D(1, 3)(inputs)).save(tmp_path / "net.keras")
    with pytest.raises(HparamError, match="must be a classifier of images"):
        load_judge(str(tmp_path / "net.keras"), (8, 8, 1), LABELS)
