"""Long clips in windows: joined without a seam, and each as if it were alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.speech_recognition.ctc_loss import ClosePaddedFrames
from dlkit.tasks.speech_recognition.networks import conv_gru, make_inputs
from dlkit.tasks.speech_recognition.read_in_windows import ReadInWindows

MELS = 3
LENGTHS = [100, 20, 19, 47, 1]


@keras.saving.register_keras_serializable("tests")
class Places(keras.layers.Layer):
    """Logits that are the features of every second frame: what was cut from where."""

    def call(self, features, mask):
        return tf.where(mask[:, ::2, tf.newaxis], features[:, ::2], -1.0)


def places_network():
    inputs = make_inputs(MELS)
    return keras.Model(inputs, {"logits": Places()(inputs["features"], inputs["padding_mask"])})


def recurrent_network():
    keras.utils.set_random_seed(8)
    network = conv_gru(MELS, 4, width=8, blocks=1, stride=2)
    logits = ClosePaddedFrames()(network.output["logits"], network.output["logits_mask"])
    return keras.Model(network.input, {"logits": logits})


def clips(lengths, frames=None):
    frames = frames or max(lengths)
    features = np.stack([np.random.default_rng(length).normal(0, 1, (frames, MELS)) for length in lengths])
    mask = np.arange(frames) < np.array(lengths)[:, np.newaxis]
    return features.astype(np.float32), mask


@pytest.mark.parametrize("window, overlap", [(20, 8), (16, 4), (12, 8)])
def test_all_outputs_come_from_their_own_frames(window, overlap):
    features, mask = clips(LENGTHS)
    logits = ReadInWindows(places_network(), 2, window, overlap)(features, mask).numpy()
    for row, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(logits[row, : -(-length // 2)], features[row, :length:2])
        assert (logits[row, -(-length // 2) :].argmax(1) == MELS - 1).all()  # blanks


def test_windows_are_joined_in_the_middle_of_their_overlap():
    """With 20 frames, 8 of them common: outputs up to frame 16 are the first window's, up to 28 the second's."""
    network = recurrent_network()
    features, mask = clips([44])
    logits = ReadInWindows(network, 2, 20, 8)(features, mask).numpy()[0]
    parts = [(0, 0, 16), (12, 16, 28), (24, 28, 44)]
    for start, first, end in parts:
        part = {"features": features[:, start : start + 20], "padding_mask": mask[:, start : start + 20]}
        alone = network(part)["logits"].numpy()[0]
        expected = alone[(first - start) // 2 : (end - start) // 2]
        np.testing.assert_allclose(logits[first // 2 : end // 2], expected, atol=1e-5)


def test_clips_of_a_window_or_less_are_read_as_without():
    network = recurrent_network()
    features, mask = clips([20, 13, 1])
    whole = network({"features": features, "padding_mask": mask})["logits"]
    np.testing.assert_allclose(ReadInWindows(network, 2, 20, 8)(features, mask), whole, atol=1e-6)


def test_a_clip_alone_is_read_as_in_a_batch():
    read = ReadInWindows(recurrent_network(), 2, 20, 8)
    features, mask = clips(LENGTHS, 120)
    together = read(features, mask).numpy()
    for row, length in enumerate(LENGTHS):
        alone = read(features[row : row + 1, :length], mask[row : row + 1, :length]).numpy()[0]
        np.testing.assert_allclose(together[row, : len(alone)], alone, atol=1e-5)


def test_many_windows_are_read_a_few_at_a_time(monkeypatch):
    features, mask = clips([200, 90])
    network = recurrent_network()
    before = ReadInWindows(network, 2, 20, 8)(features, mask)
    monkeypatch.setattr("dlkit.tasks.speech_recognition.read_in_windows.WINDOWS_AT_A_TIME", 3)
    np.testing.assert_allclose(ReadInWindows(network, 2, 20, 8)(features, mask), before, atol=1e-5)


@pytest.mark.parametrize("window, overlap", [(21, 8), (20, 6 + 1), (20, 20), (20, 0)])
def test_windows_that_do_not_fit_the_stride_are_refused(window, overlap):
    with pytest.raises(ValueError, match="must be a multiple of the stride"):
        ReadInWindows(recurrent_network(), 2, window, overlap)
