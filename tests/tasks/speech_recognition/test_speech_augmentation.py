"""Random changes of features: drawn from (seed, step), of each clip by itself, and exactly what they are said to be."""

import math

import numpy as np
import pytest
import tensorflow as tf

from dlkit.tasks.speech_recognition import augmentation
from dlkit.tasks.speech_recognition.augmentation import augment_features, to_mel

LENGTHS = np.array([40, 25, 33], np.int32)
MASK = np.arange(40) < LENGTHS[:, np.newaxis]
ALL = {
    "speed": 0.3,
    "vocal_tract": 0.2,
    "level": 0.5,
    "background": 3.0,
    "noise": 0.3,
    "time_masks": 2,
    "band_masks": 2,
}


def features(mels=16):
    return np.random.default_rng(0).normal(0, 1, (3, 40, mels)).astype(np.float32) * MASK[..., np.newaxis]


def augment(seed=1, step=0, values=None, **options):
    values = features() if values is None else values
    outputs, mask = augment_features(values, MASK, seed=seed, step=step, **options)
    return outputs.numpy(), mask.numpy()


@pytest.mark.parametrize("name", ALL)
def test_seed_and_step_decide(name):
    options = {name: ALL[name]}
    one, same = augment(**options)[0], augment(**options)[0]
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - augment(step=1, **options)[0]).max() > 1e-3
    assert np.abs(one - augment(seed=2, **options)[0]).max() > 1e-3
    in_graph = tf.function(lambda step: augment_features(features(), MASK, seed=1, step=step, **options)[0])
    np.testing.assert_allclose(in_graph(tf.constant(0, tf.int64)), one, atol=1e-4)


def test_without_strength_nothing_changes():
    outputs, mask = augment()
    np.testing.assert_array_equal(outputs, features())
    np.testing.assert_array_equal(mask, MASK)


def test_padding_stays_zero_whatever_it_holds():
    filled = np.where(MASK[..., np.newaxis], features(), 99)
    outputs, mask = augment(values=filled, **ALL)
    np.testing.assert_array_equal(outputs[~mask], 0)
    np.testing.assert_allclose(outputs, augment(**ALL)[0], atol=1e-6)


def test_speed_plays_the_same_clip_in_another_time():
    """A clip whose frames are their own times is, sped up, a line with another slope."""
    times = np.broadcast_to(np.arange(40, dtype=np.float32)[:, np.newaxis], (3, 40, 2))
    outputs, mask = augment(values=times, speed=0.3)
    lengths, slopes = mask.sum(1), outputs[:, 1, 0]
    assert len(set(lengths - LENGTHS)) > 1
    assert outputs.shape[1] == math.ceil(40 / 0.7)
    for clip, length, slope, before in zip(outputs, lengths, slopes, LENGTHS, strict=True):
        assert 0.7 <= slope <= 1.3
        assert length == math.floor(before / slope + 1e-3)
        expected = np.minimum(np.arange(length) * slope, before - 1)
        np.testing.assert_allclose(clip[:length, 0], expected, atol=1e-4)


def test_a_clip_is_sped_up_as_far_as_its_text_fits():
    free = augment(speed=0.5)[1].sum(1)
    assert (free < LENGTHS).any()
    bound = np.array([40, 30, 20], np.int32)  # the second text does not fit even now: it is not sped up
    lengths = augment(speed=0.5, min_frames=bound)[1].sum(1)
    np.testing.assert_array_equal(lengths, np.maximum(free, np.minimum(bound, LENGTHS)))


def test_a_longer_vocal_tract_lowers_a_peak(monkeypatch):
    """A band at 1000 Hz moves to 1000 Hz divided by the factor; the mel scale is that of TensorFlow's filters."""
    mels, hz = 80, (0.0, 8000.0)
    spacing = to_mel(8000.0) / (mels + 1)
    band = round(to_mel(1000.0) / spacing) - 1
    weights = tf.signal.linear_to_mel_weight_matrix(mels, 4001, 16000, 0.0, 8000.0).numpy()
    assert abs(2 * np.argmax(weights[:, band]) - 1000) < 40
    peak = np.zeros((3, 40, mels), np.float32)
    peak[:, :, band] = 1.0
    factors = np.array([[0.8], [1.0], [1.25]], np.float32)
    monkeypatch.setattr(augmentation.StepSeeds, "uniform", lambda *_: tf.constant(factors))
    outputs = augment(values=peak, vocal_tract=0.3, band_hz=hz)[0]
    for clip, factor in zip(outputs, factors[:, 0], strict=True):
        expected = to_mel(1000.0 / factor) / spacing - 1
        assert abs(np.sum(clip[0] * np.arange(mels)) / clip[0].sum() - expected) < 0.6
    np.testing.assert_allclose(outputs[1], peak[1] * MASK[1][:, np.newaxis], atol=1e-4)


def test_masks_are_intervals_within_their_shares():
    ones = np.ones((3, 40, 50), np.float32)
    widths = []
    for step in range(30):
        time = augment(values=ones, step=step, time_masks=1, time_mask_width=0.5)[0]
        bands = augment(values=ones, step=step, band_masks=1, band_mask_width=0.2)[0]
        for clip, length in zip(time, LENGTHS, strict=True):
            hidden = clip[:length, 0] == 0
            assert np.abs(np.diff(hidden.astype(int))).sum() <= 2  # one interval
            assert hidden.sum() <= 0.5 * length + 1
            widths.append(hidden.sum() / length)
        assert ((bands[:, 0] == 0).sum(1) <= 11).all()
    assert max(widths) > 0.4 and min(widths) < 0.1 and 0.15 < np.mean(widths) < 0.35


def test_level_is_a_line_over_the_bands():
    change = augment(level=0.5)[0] - features()
    for clip, length in zip(change, LENGTHS, strict=True):
        np.testing.assert_allclose(clip[:length], np.broadcast_to(clip[0], clip[:length].shape), atol=1e-5)
        np.testing.assert_allclose(np.diff(clip[0], 2), 0, atol=1e-5)
    assert 0.05 < np.abs(change).max() <= 1.0


def test_background_noise_adds_energy(monkeypatch):
    """Against sums of energies in numpy, with a level of -1 in all bands and frames."""
    draws = iter([-1.0, 0.0])
    monkeypatch.setattr(augmentation.StepSeeds, "uniform", lambda *_: tf.constant(next(draws)))
    monkeypatch.setattr(augmentation, "UNEVENNESS", 0.0)
    outputs = augment(background=3.0)[0]
    nats = augmentation.DEVIATION
    expected = np.log(np.exp(nats * features().astype(np.float64)) + np.exp(-nats)) / nats
    np.testing.assert_allclose(outputs, expected * MASK[..., np.newaxis], atol=1e-5)


def test_background_noise_rises_and_falls_over_bands():
    quiet = np.full((3, 40, 16), -9.0, np.float32)
    levels = np.concatenate([augment(values=quiet, step=step, background=3.0)[0][:, :25].mean(1) for step in range(20)])
    lines = np.stack([np.polyfit(np.linspace(1, -1, 16), level, 1) for level in levels])
    assert -1 < lines[:, 0].min() < -0.5 and 0.5 < lines[:, 0].max() < 1.1
    assert -3.1 < lines[:, 1].min() < -2.5 and -0.5 < lines[:, 1].max() < 0.1


def test_other_strengths_leave_the_draws_of_a_change():
    with_both = augment(time_masks=1, time_mask_width=0.5, speed=0.0, level=0.4)[0]
    alone = augment(time_masks=1, time_mask_width=0.5)[0]
    np.testing.assert_array_equal((with_both == 0).all(2) & MASK, (alone == 0).all(2) & MASK)


def test_strengths_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"`speed` must be at least 0 and below 1. Received: speed=1.0"):
        augment(speed=1.0)
