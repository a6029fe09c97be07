"""Log-mel features against numpy, and clips alone against clips in batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlkit.audio.log_mels import FLOOR, LogMels
from dlkit.audio.read_audio import ReadAudio
from dlkit.audio.wav_file import encode_wav

RANDOM = np.random.default_rng(0)
RATE, MELS = 16000, 40


def clips(*lengths):
    """Padded clips of noise of different loudness, and their lengths."""
    samples = np.zeros((len(lengths), max(lengths)), np.float32)
    for row, length in enumerate(lengths):
        samples[row, :length] = RANDOM.normal(0, 0.1 / (row + 1), length) * np.linspace(0.1, 1, length)
    return tf.constant(samples), tf.constant(lengths)


def numpy_energies(samples):
    """The logarithms of a clip, by the definition: HTK's mel scale, a Hann window that ends before its last zero."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = [samples[start : start + 400] * window for start in range(0, len(samples) - 399, 160)]
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    hertz = np.arange(257) * RATE / 512
    mel = 1127 * np.log(1 + hertz / 700)
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 7600 / 700), MELS + 2)
    rise = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    bands = np.maximum(np.minimum(rise, fall), 0)
    bands[0] = 0  # no constant part
    return np.log(power @ bands + FLOOR)


def test_features_are_those_of_the_definition():
    samples, lengths = clips(5000)
    features, frames = LogMels(RATE, MELS)(samples, lengths)
    energies = numpy_energies(samples[0].numpy().astype(np.float64))
    expected = (energies - energies.mean(0)) / (energies.std(0) + 1e-3)
    assert frames.numpy().tolist() == [len(expected)] == [29]
    np.testing.assert_allclose(features[0], expected, atol=2e-3)


def test_one_deviation_and_a_range_by_the_definition():
    samples, lengths = clips(5000)
    features, _ = LogMels(RATE, MELS, one_deviation=True, range_db=20)(samples, lengths)
    energies = np.exp(numpy_energies(samples[0].numpy().astype(np.float64)))
    energies = np.log(energies + energies.max() / 100)
    centered = energies - energies.mean(0)
    np.testing.assert_allclose(features[0], centered / (np.sqrt(np.square(centered).mean()) + 1e-3), atol=2e-3)
    with pytest.raises(ValueError, match="need the whole clip"):
        LogMels(RATE, MELS, range_db=20).adapt([(samples, lengths)])


@pytest.mark.parametrize("options", [{}, {"fixed": True}, {"one_deviation": True, "range_db": 30.0}])
def test_features_do_not_depend_on_the_batch(options):
    samples, lengths = clips(3000, 16000, 100, 401, 9999)
    layer = LogMels(RATE, MELS, **{name: value for name, value in options.items() if name != "fixed"})
    if "fixed" in options:
        layer.adapt([(samples, lengths)])
    features, frames = layer(tf.pad(samples, [[0, 0], [0, 777]]), lengths)
    for row, length in enumerate(lengths.numpy()):
        alone, count = layer(samples[row : row + 1, :length], lengths[row : row + 1])
        assert count[0] == frames[row] == alone.shape[1]
        np.testing.assert_allclose(features[row, : alone.shape[1]], alone[0], atol=2e-5)
        assert not features[row, alone.shape[1] :].numpy().any()


def test_mean_and_deviation_are_removed():
    samples, lengths = clips(8000, 16000)
    layer = LogMels(RATE, MELS)
    features, frames = layer(samples, lengths)
    for row, count in enumerate(frames.numpy()):
        np.testing.assert_allclose(features[row, :count].numpy().mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(features[row, :count].numpy().std(0), 1, atol=5e-3)
    layer.adapt([(samples[:1], lengths[:1]), (samples[1:], lengths[1:])])
    features, frames = layer(samples, lengths)
    real = np.concatenate([features[row, :count] for row, count in enumerate(frames.numpy())])
    np.testing.assert_allclose(real.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(real.std(0), 1, atol=5e-3)
    assert abs(features[0, : frames[0]].numpy().mean()) > 0.1  # the first clip is louder than the second


def test_silence_is_finite_and_volume_does_not_matter():
    layer = LogMels(RATE, MELS)
    assert np.abs(layer(tf.zeros([1, 1000]), tf.constant([1000]))[0]).max() < 1e-2
    samples, lengths = clips(16000)
    np.testing.assert_allclose(layer(samples * 10, lengths)[0], layer(samples, lengths)[0], atol=0.02)


def test_a_model_of_both_layers_is_saved_with_what_it_learned(tmp_path):
    samples, lengths = clips(16000)
    mels = LogMels(RATE, MELS)
    mels.adapt([(samples, lengths)])
    ranged = LogMels(RATE, MELS, one_deviation=True, range_db=20.0)
    assert LogMels.from_config(ranged.get_config()).get_config() == ranged.get_config()
    audio = keras.Input((), dtype="string", name="audio")
    read = ReadAudio(RATE, 3.0)(audio)
    features, frames = mels(read["samples"], read["lengths"])
    assert features.shape == (None, None, MELS)
    model = keras.Model({"audio": audio}, {"features": features, "frames": frames, "error": read["error"]})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    files = tf.constant([encode_wav(samples[0].numpy(), RATE), encode_wav(np.zeros(7000), 8000), b"text"])
    first, second = model({"audio": files}), loaded({"audio": files})
    np.testing.assert_array_equal(first["features"], second["features"])
    assert first["frames"].numpy().tolist() == [98, 85 + 1, 1]
    assert first["error"].numpy().tolist() == [b"", b"", b"not a WAV file (4 bytes)"]


@pytest.mark.parametrize(
    "wrong", [{"mels": 0}, {"range_db": 0.0}, {"mean": [0.0] * 64}, {"mean": [0.0], "deviation": [1.0]}]
)
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match="must"):
        LogMels(**wrong)


@pytest.mark.parametrize("wrong", [{"rate": 10}, {"rate": 16000.5}, {"max_seconds": 0}])
def test_wrong_arguments_of_reading(wrong):
    with pytest.raises(ValueError, match="must"):
        ReadAudio(**wrong)
