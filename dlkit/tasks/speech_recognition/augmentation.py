"""Random changes of the features of a batch of clips: a pure function of the batch, the seed and the step."""

from __future__ import annotations

import math

from dlkit.lazy import tf
from dlkit.tasks.speech_recognition.masked_conv import mask_frames
from dlkit.training.step_seeds import StepSeeds

LOWEST_BACKGROUND = -3.0  # level of background noise that changes next to nothing, in units of the features
DEVIATION = 2.5  # of the features, in nats of energy: about that of clips in a range of 40 dB
UNEVENNESS = 0.3  # standard deviation of background noise over frames and bands, in units of the features
WARPED_SHARE = 0.6  # of the frequencies, below which they are scaled by the length of the vocal tract


@tf.autograph.experimental.do_not_convert  # nothing needs conversion, which takes seconds
def augment_features(
    features: tf.Tensor,
    padding_mask: tf.Tensor,
    *,
    seed: int,
    step: int | tf.Tensor,
    min_frames: tf.Tensor | int = 1,
    band_hz: tuple[float, float] = (20.0, 7600.0),
    speed: float = 0.0,
    vocal_tract: float = 0.0,
    level: float = 0.0,
    background: float = 0.0,
    noise: float = 0.0,
    time_masks: int = 0,
    time_mask_width: float = 0.05,
    band_masks: int = 0,
    band_mask_width: float = 0.2,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Change each clip of a batch at random, inside `tf.data`'s `map`; for training only.

    The same (seed, step) gives the same result in whatever order, process or degree of parallelism steps are computed.
    Features are log mels whose mean is 0, which is also what masks write. A change whose strength is 0 is left out.

    Source: masks of time and of bands, Park et al., 2019, arXiv:1904.08779, with widths as shares of a clip as in Park
    et al., 2020, arXiv:1912.05533; vocal-tract length, Jaitly and Hinton, 2013; speed, Ko et al., 2015, here of the
    frames and not of the samples, so that the pitch stays.

    Args:
        features: (batch, frames, mels) float32.
        padding_mask: (batch, frames) bool, true at the frames of a clip, which are the first ones.
        seed: Python integer, the seed of the run.
        step: Python integer or () int64 tensor, the number of training steps before this batch.
        min_frames: (batch,) int32, the frames that the text of each clip needs: a clip is sped up to these at most. Or
            an integer for all.
        band_hz: the frequencies, in Hz, from which the lowest mel band rises and to which the highest one falls.
        speed: the factor of the speed is drawn from 1 - speed to 1 + speed, in [0, 1).
        vocal_tract: the factor of the frequencies is drawn from 1 - vocal_tract to 1 + vocal_tract, in [0, 1).
        level: the largest change of all bands, and that of the lowest and, with the opposite sign, the highest band
            along a line, in units of the features.
        background: the largest rise of the level of background noise, whose energy is added, from 3 units of the
            features below the mean: with 3, up to the mean. Its level falls or rises by up to 1 unit over the bands.
        noise: the largest standard deviation of noise, in units of the features.
        time_masks: number of masks over frames.
        time_mask_width: largest width of each, as a share of the clip, in [0, 1].
        band_masks: number of masks over mel bands.
        band_mask_width: largest width of each, as a share of the bands, in [0, 1].

    Returns:
        Tuple of features and mask. With `speed`, both have ceil(frames / (1 - speed)) frames: slow clips are longer.

    Raises:
        ValueError: a strength is out of range.

    Examples:
        >>> features, mask = tf.ones([2, 10, 8]), tf.ones([2, 10], tf.bool)
        >>> features, mask = augment_features(features, mask, seed=0, step=0, speed=0.2, time_masks=1)
        >>> features.shape, mask.shape
        (TensorShape([2, 13, 8]), TensorShape([2, 13]))
    """
    for name, strength in (("speed", speed), ("vocal_tract", vocal_tract)):
        if not 0 <= strength < 1:
            raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={strength!r}.")
    features, padding_mask = tf.convert_to_tensor(features), tf.convert_to_tensor(padding_mask)
    draws = StepSeeds(seed, step)  # each change has a stream of its own: another strength leaves the others as they are
    streams = [draws.stream() for _ in range(7)]
    if speed:
        features, padding_mask = _change_speed(features, padding_mask, speed, min_frames, streams[0])
    if vocal_tract:
        features = _warp_bands(features, vocal_tract, band_hz, streams[1])
    if level:
        features = _change_level(features, level, streams[2])
    if background:
        features = _add_background(features, background, streams[6])
    if noise:
        deviation = streams[3].uniform([tf.shape(features)[0], 1, 1], 0.0, noise)
        features += deviation * tf.random.stateless_normal(tf.shape(features), streams[3].next())
    if time_masks:
        lengths = tf.reduce_sum(tf.cast(padding_mask, tf.float32), 1)
        hidden = _draw_masks(time_masks, time_mask_width, lengths, tf.shape(features)[1], streams[4])
        features = tf.where(hidden[:, :, tf.newaxis], 0.0, features)
    if band_masks:
        mels = features.shape[2]
        bands = tf.fill([tf.shape(features)[0]], float(mels))
        hidden = _draw_masks(band_masks, band_mask_width, bands, mels, streams[5])
        features = tf.where(hidden[:, tf.newaxis], 0.0, features)
    return mask_frames(features, padding_mask), padding_mask


def _change_speed(
    features: tf.Tensor, mask: tf.Tensor, speed: float, min_frames: tf.Tensor | int, draws: StepSeeds
) -> tuple[tf.Tensor, tf.Tensor]:
    """Interpolate between frames, so that a clip is played faster or more slowly."""
    lengths = tf.reduce_sum(tf.cast(mask, tf.int32), 1)
    fastest = tf.cast(lengths, tf.float32) / tf.cast(tf.maximum(min_frames, 1), tf.float32)
    factor = tf.minimum(draws.uniform([tf.shape(features)[0]], 1 - speed, 1 + speed), tf.maximum(fastest, 1.0))
    frames = features.shape[1] or tf.shape(features)[1]
    if isinstance(frames, int):
        longest = math.ceil(frames / (1 - speed))
    else:
        longest = tf.cast(tf.math.ceil(tf.cast(frames, tf.float64) / (1 - speed)), tf.int32)
    new_lengths = tf.cast(
        tf.cast(lengths, tf.float32) / factor + 1e-3, tf.int32
    )  # of rounding, a frame must not be lost
    position = tf.range(longest, dtype=tf.float32) * factor[:, tf.newaxis]
    last = tf.maximum(lengths - 1, 0)[:, tf.newaxis]
    before = tf.minimum(tf.cast(position, tf.int32), last)
    share = (position - tf.floor(position))[:, :, tf.newaxis]
    following = tf.gather(features, tf.minimum(before + 1, last), batch_dims=1)
    features = (1 - share) * tf.gather(features, before, batch_dims=1) + share * following
    return features, tf.range(longest) < new_lengths[:, tf.newaxis]


def _warp_bands(features: tf.Tensor, strength: float, band_hz: tuple[float, float], draws: StepSeeds) -> tf.Tensor:
    """Scale the frequencies below a part of the range, and those above so that the range stays the same."""
    mels, (lowest, highest) = features.shape[2], band_hz
    factor = draws.uniform([tf.shape(features)[0], 1], 1 - strength, 1 + strength)
    low_mel, spacing = to_mel(lowest), (to_mel(highest) - to_mel(lowest)) / (mels + 1)
    centers = tf.constant([700 * math.expm1((low_mel + spacing * band) / 1127) for band in range(1, mels + 1)])
    knee = WARPED_SHARE * highest * tf.minimum(factor, 1.0)  # where it comes from; knee / factor is where it goes
    above = highest - (highest - knee) / (highest - knee / factor) * (highest - centers)
    source = tf.where(centers <= knee / factor, factor * centers, above)
    position = (1127 * tf.math.log1p(source / 700) - low_mel) / spacing - 1
    position = tf.clip_by_value(position, 0.0, mels - 1.0)[:, tf.newaxis]  # (batch, 1, bands)
    weights = tf.nn.relu(1 - tf.abs(position - tf.range(mels, dtype=tf.float32)[:, tf.newaxis]))
    return tf.matmul(features, weights)


def to_mel(hz: float) -> float:
    """Convert a frequency to the mel scale, that of `tf.signal.linear_to_mel_weight_matrix`."""
    return 1127 * math.log1p(hz / 700)


def _change_level(features: tf.Tensor, level: float, draws: StepSeeds) -> tf.Tensor:
    change = draws.uniform([tf.shape(features)[0], 2, 1, 1], -level, level)
    return features + change[:, 0] + change[:, 1] * tf.linspace(1.0, -1.0, features.shape[2])


def _add_background(features: tf.Tensor, rise: float, draws: StepSeeds) -> tf.Tensor:
    rows, bands = tf.shape(features)[0], features.shape[2]
    level = draws.uniform([rows, 1, 1], LOWEST_BACKGROUND, LOWEST_BACKGROUND + rise)
    level += draws.uniform([rows, 1, 1], -1.0, 1.0) * tf.linspace(1.0, -1.0, bands)
    level += UNEVENNESS * tf.random.stateless_normal(tf.shape(features), draws.next())
    return level + tf.nn.softplus(DEVIATION * (features - level)) / DEVIATION  # the logarithm of the sum of energies


def _draw_masks(count: int, width: float, lengths: tf.Tensor, size: int | tf.Tensor, draws: StepSeeds) -> tf.Tensor:
    """Draw intervals within the lengths, (batch,) float32, and return what any covers: (batch, size) bool."""
    shape = [tf.shape(lengths)[0], count, 1]
    lengths = lengths[:, tf.newaxis, tf.newaxis]
    widths = draws.uniform(shape) * width * lengths
    starts = draws.uniform(shape) * (lengths - widths)
    places = tf.cast(tf.range(size), tf.float32)
    return tf.reduce_any((places >= tf.floor(starts)) & (places < tf.floor(starts + widths)), 1)
