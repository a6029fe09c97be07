"""The augmentation of a classifier's training images, where options leave it to the data."""

import numpy as np
import pytest

import dlkit
from dlkit.columns import Image
from dlkit.data.table import Table
from dlkit.tasks.image_classification.choose_augmentation import choose_augmentation

TINY = {"network": "mlp", "epochs": 1}


def photos(count=90, side=24, channels=3):
    """Images of two classes, told by their color, of which one is as good as its mirror image."""
    pixels = np.random.default_rng(0).integers(0, 100, (count, side, side, channels), np.uint8)
    pixels[::2, : side // 2] += 150
    return {"image": pixels.squeeze(-1) if channels == 1 else pixels, "label": ["sky", "grass"] * (count // 2)}


def chosen(strength, data, shape, labels=True):
    table = Table("data", {"image": list(data["image"])}, lambda row: f"row {row}")
    return choose_augmentation(strength, table, Image(), data["label"] if labels else None, shape, 10**6)


@pytest.mark.parametrize(
    ("strength", "channels", "expected"),
    [
        ("auto", 3, ("horizontal", 2, 0.2, 0.0)),
        ("light", 1, ("horizontal", 2, 0.0, 0.0)),  # there is no color
        ("strong", 3, ("horizontal", 3, 0.4, 0.25)),
        ("none", 3, ("none", 0, 0.0, 0.0)),
    ],
)
def test_strengths(strength, channels, expected):
    found = chosen(strength, photos(channels=channels), (24, 24, channels))
    assert (found.flip, found.shift, found.color_jitter, found.erase) == expected


@pytest.mark.parametrize(("channels", "flip"), [(3, "horizontal"), (1, "none")])
def test_color_decides_where_thumbnails_do_not_tell(channels, flip):
    assert chosen("auto", photos(30, channels=channels), (24, 24, channels)).flip == flip
    assert chosen("auto", photos(channels=channels), (24, 24, channels), labels=False).flip == flip


def test_digits_are_not_mirrored_and_the_report_says_why():
    data = dlkit.ImageClassifier.samples()
    report = dlkit.ImageClassifier().check(data["train"], data["validation"])
    assert report["statistics"]["augmentation"].startswith("no flips; a linear classifier of thumbnails has accuracy")


def test_given_options_count_and_the_choice_is_saved(tmp_path):
    data = photos()
    model = dlkit.ImageClassifier(**TINY, shift=0, color_jitter=0.5)
    model.fit(data, save=tmp_path / "model", verbose=0)
    values = {"flip": "horizontal", "shift": 0, "color_jitter": 0.5, "erase": 0.0}
    assert values.items() <= dlkit.load(tmp_path / "model").augmentation_.items()
    other = dlkit.ImageClassifier(**TINY, augmentation="none")  # that is initialized from the model
    assert other.read(data).continued_from(model)["augmentation_"]["flip"] == "none"


def test_what_is_chosen_is_applied():
    model = dlkit.ImageClassifier(**TINY)
    model.augmentation_ = {"flip": "none", "shift": 0, "color_jitter": 0.0, "erase": 0.0}
    images, target = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3), {"logits": np.eye(2)}
    same, _ = model.augment({"image": images}, target, np.int64(0))
    np.testing.assert_array_equal(same["image"], images)
    for changes in ({"flip": "horizontal"}, {"shift": 1}, {"color_jitter": 1.0}):
        model.augmentation_ = {**model.augmentation_, **changes}
        steps = [model.augment({"image": images}, target, np.int64(step))[0]["image"] for step in range(4)]
        assert any((np.asarray(step) != images).any() for step in steps), changes
        model.augmentation_ |= {"flip": "none", "shift": 0, "color_jitter": 0.0}
