"""Sheets, ways between seeds, steps of denoising and nearest images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import dlkit
from dlkit.errors import DataError, HparamError
from dlkit.tasks.image_generation.pictures import denoise, find_nearest, interpolate, slerp, tile, tile_by_label


@pytest.fixture(scope="module")
def model():
    """A generator of images with random weights."""
    images = np.random.default_rng(0).integers(0, 256, (40, 9, 12, 3)).astype(np.uint8)
    keras.utils.set_random_seed(0)
    task = dlkit.ImageGenerator(width=8, blocks=1, depth=1, sampling_steps=3)
    task.stages_ = task.build(task.read({"image": images, "label": ["red"] * 20 + ["green"] * 20}).table)
    for weight in task.stages_.network.weights:  # those of residual branches begin at zero
        weight.assign(np.random.default_rng(len(weight.path)).normal(0, 0.1, weight.shape))
    return task


def test_a_sheet_has_the_images_in_rows_of_eight():
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 1), np.uint8)
    sheet = tile(images)
    assert sheet.shape == (3 + 2 + 3, 8 * 4 + 7 * 2, 1)
    assert sheet[0, 6 * 3, 0] == 3 and sheet[5, 6, 0] == 9
    assert (sheet[3:5] == 255).all() and (sheet[5:, 12:] == 255).all()


def test_a_sheet_is_in_the_order_of_labels():
    files = [tf.io.encode_png(np.full((3, 4, 1), level, np.uint8)).numpy() for level in range(6)]
    sheet = tf.io.decode_png(tile_by_label(files, [b"b", b"a", b"b", b"a", b"", b"a"])).numpy()
    assert sheet[0, ::6, 0].tolist() == [4, 1, 3, 5, 0, 2]
    assert tf.io.decode_png(tile_by_label(files, [b""] * 6, count=2)).shape[1] == 10


def test_interpolation_on_the_sphere_keeps_lengths_and_ends():
    first, second = np.array([1.0, 0, 0], np.float32), np.array([0, 0, 1.0], np.float32)
    mixed = slerp(tf.constant(first), tf.constant(second), tf.constant([0.0, 1 / 3, 1.0])).numpy()
    np.testing.assert_allclose(mixed, [first, [3**0.5 / 2, 0, 0.5], second], atol=1e-6)
    same = slerp(tf.constant(first), tf.constant(first), tf.constant([0.3])).numpy()
    np.testing.assert_allclose(same, [first], atol=1e-6)


def test_the_ends_of_an_interpolation_are_the_images_of_the_seeds(model):
    images = interpolate(model, 3, 8, "red", 4)
    for image, seed in ((images[0], 3), (images[-1], 8)):
        assert np.abs(image.astype(int) - model.generate("red", seed=seed)[0]).max() <= 1
    differences = [np.abs(images[0].astype(int) - image).mean() for image in images]
    assert differences[1] < differences[2] and differences[1] < differences[3]
    assert len(model.plot_interpolation(3, 8, "red", count=4).axes) == 4


def test_the_way_of_denoising_begins_with_noise_and_ends_with_the_image(model):
    way = denoise(model, "green", 5)
    assert len(way) == 1 + 3
    np.testing.assert_array_equal(way[-1], model.generate("green", seed=5)[0])
    assert way[0].std() > 60  # of normal noise, cut
    titles = [axes.get_title() for axes in model.plot_denoising("green", 5, count=2).axes]
    assert titles == ["step 0", "step 3"]


def test_the_nearest_images_are_found_wherever_they_are(model, monkeypatch):
    monkeypatch.setattr("dlkit.tasks.image_generation.pictures.CHUNK", 7)
    generated = model.generate("red", count=2)
    others = np.random.default_rng(1).integers(0, 256, (20, 9, 12, 3)).astype(np.uint8)
    others[13], others[18] = generated[1], np.clip(generated[1].astype(int) + 3, 0, 255)
    table = model.read({"image": others, "label": ["red"] * 20}).table
    found = find_nearest(model, generated, table, 3)
    assert [len(each) for each in found] == [3, 3]
    np.testing.assert_array_equal(found[1][0][0], generated[1])
    assert found[1][0][1] == 0
    assert 0 < found[1][1][1] <= 3
    expected = sorted(np.sqrt(np.square(others.astype(float) - generated[0]).mean((1, 2, 3))))[:3]
    np.testing.assert_allclose([difference for _, difference in found[0]], expected, rtol=1e-4)
    figure = model.plot_nearest({"image": others, "label": ["red"] * 20}, "red", count=2, neighbors=1)
    assert [axes.get_title() for axes in figure.axes] == ["seed 0", "seed 1", f"{expected[0]:.1f}", "0.0"]


def test_what_cannot_be_drawn_is_refused(model):
    with pytest.raises(HparamError, match="`count` must be at least 2"):
        model.plot_interpolation(count=1)
    with pytest.raises(DataError, match="no label 'blue'"):
        model.plot_denoising("blue")
    with pytest.raises(HparamError, match="must be at least 1"):
        model.plot_nearest({"image": np.zeros((2, 9, 12, 3), np.uint8)}, neighbors=0)
