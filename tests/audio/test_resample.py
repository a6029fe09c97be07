"""Resampling against the values of band-limited signals, and against a filter that scipy applies."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import signal

from dlkit.audio.resample import KAISER_BETA, ZERO_CROSSINGS, resample

RANDOM = np.random.default_rng(0)
SECONDS = 0.4


@pytest.fixture(scope="module")
def resampling():
    specifications = tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32)
    graph = tf.function(lambda samples, rate: resample(samples, rate, 16000), autograph=False)
    graph = graph.get_concrete_function(*specifications)
    return lambda samples, rate: graph(tf.constant(samples, tf.float32), tf.constant(rate, tf.int32)).numpy()


def waves(rate, count, length):
    """Waves up to 0.8 times the lower Nyquist frequency, at `count` times of `rate`, fading in and out."""
    time = np.arange(count) / rate
    lowest = min(8000, length / SECONDS / 2)
    fade = np.sin(np.pi * time / SECONDS) ** 2
    return sum(np.sin(2 * np.pi * share * lowest * time + share) for share in (0.03, 0.31, 0.55, 0.8)) * fade


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 384000, 15999, 44101, 1000])
def test_band_limited_signals_keep_their_values(resampling, rate):
    count = round(rate * SECONDS)
    result = resampling(waves(rate, count, count), rate)
    assert len(result) == -(-count * 16000 // rate)
    np.testing.assert_allclose(result, waves(16000, len(result), count), rtol=0, atol=1e-4)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_noise_is_filtered_as_by_scipy(resampling, rate):
    """Noise has all frequencies: what is above the Nyquist frequency must not come back below it."""
    noise = RANDOM.normal(size=rate // 4)
    divisor = np.gcd(rate, 16000)
    up, down = 16000 // divisor, rate // divisor
    half = ZERO_CROSSINGS * max(up, down)
    taps = signal.firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", KAISER_BETA), scale=False) * up
    expected = np.concatenate([signal.upfirdn(taps, noise, up)[half::down], np.zeros(10)])
    result = resampling(noise, rate)
    np.testing.assert_allclose(result, expected[: len(result)], rtol=0, atol=1e-4)


def test_the_rate_of_the_model_changes_nothing(resampling):
    noise = RANDOM.normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(resampling(noise, 16000), noise)


@pytest.mark.parametrize("rate", [8000, 44100, 44101, 48000])
def test_clips_of_one_sample_and_of_none(resampling, rate):
    assert len(resampling([], rate)) == 0
    single = resampling([1.0], rate)
    assert len(single) == -(-16000 // rate)
    assert np.isclose(single[0], min(16000 / rate, 1), atol=1e-5)
