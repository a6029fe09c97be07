"""A layer that computes log-mel features of clips."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, tf

WINDOW_SECONDS, STEP_SECONDS = 0.025, 0.010  # of a frame, and from one to the next
LOWEST_HZ, HIGHEST_SHARE = 20.0, 0.95  # the highest frequency as a share of the Nyquist frequency
FLOOR = 1e-6  # added to energies, where full scale is 1: silence has a logarithm, too


@keras.saving.register_keras_serializable("dlkit")
class LogMels(keras.layers.Layer):
    """Computes log-mel features: logarithms of the energies in bands of the mel scale, in frames of 25 ms every 10 ms.

    A frame lies within its clip, so that no feature depends on padding; a clip that is shorter than a frame has one,
    with silence behind it. Bands are triangles on the HTK mel scale from 20 Hz to 0.95 times the Nyquist frequency. The
    mean and the deviation of each band are removed, and positions behind the last frame of a clip are zeros.

    By default, mean and deviation are those of the clip, which makes features independent of volume and microphone. For
    streaming, where the rest of the clip is unknown, `adapt` learns fixed ones from training clips. A clip of a single
    word says little about the deviation of a band, so that with `one_deviation` all bands of a clip share theirs; and
    with `range_db`, the noise of a recording below its loudest sound is even.

    Call with `samples`: (batch, samples) float32, full scale at 1, zeros behind the end of each clip; and `lengths`:
    (batch,) int32, samples of each clip, as `ReadAudio` gives them. Returns a tuple of the features, (batch, frames,
    mels) float32, and the number of frames of each clip, (batch,) int32, at least 1.

    Stored rows have one shape: a task that trains on these features pads them in `encode` to the frames of the longest
    training clip, and declares `padding = (Padding("padding_mask", ("features", "padding_mask")),)`. Batches then
    contain clips of similar length, without padding that all of them have.

    Args:
        rate: samples per second.
        mels: number of bands.
        mean, deviation: (mels,) of each band in training clips, removed from all clips; None for those of each clip.
        one_deviation: whether all bands of a clip are divided by one deviation, of all its frames and bands.
        range_db: positive, in dB: a constant that is this far below the largest energy of the clip is added to all its
            energies; None for none.

    Examples:
        >>> import tensorflow as tf
        >>> features, frames = LogMels(16000, mels=64)(tf.random.normal([2, 16000]), tf.constant([16000, 400]))
        >>> features.shape, frames.numpy().tolist()
        (TensorShape([2, 98, 64]), [98, 1])
    """

    def __init__(
        self,
        rate: int = 16000,
        mels: int = 64,
        mean: Sequence[float] | None = None,
        deviation: Sequence[float] | None = None,
        one_deviation: bool = False,
        range_db: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(dtype="float32", **{name: value for name, value in kwargs.items() if name != "dtype"})
        if not isinstance(mels, int) or mels < 1:
            raise ValueError(f"`mels` must be a positive integer. Received: mels={mels!r}.")
        if (mean is None) != (deviation is None) or any(
            len(values) != mels for values in (mean, deviation) if values is not None
        ):
            raise ValueError(f"`mean` and `deviation` must both be None, or {mels} numbers each, one for each band.")
        if range_db is not None and not range_db > 0:
            raise ValueError(f"`range_db` must be None or positive. Received: range_db={range_db!r}.")
        self.rate, self.mels, self.mean, self.deviation = rate, mels, mean, deviation
        self.one_deviation, self.range_db = one_deviation, range_db
        self.window, self.step = round(WINDOW_SECONDS * rate), round(STEP_SECONDS * rate)  # in samples

    def frames_of(self, samples: Any) -> Any:
        """Return the number of frames of clips with these numbers of samples: integers, or a tensor of them."""
        if isinstance(samples, int):
            return max(1 + (samples - self.window) // self.step, 1)
        return tf.maximum(1 + (samples - self.window) // self.step, 1)

    def energies(self, samples: tf.Tensor) -> tf.Tensor:
        """Compute the features before mean and deviation are removed: (batch, samples) to (batch, frames, mels)."""
        missing = tf.maximum(self.window - tf.shape(samples)[1], 0)
        samples = tf.pad(samples, [[0, 0], [0, missing]])
        size = 2 ** int(np.ceil(np.log2(self.window)))
        spectrum = tf.signal.stft(samples, self.window, self.step, size)
        highest = HIGHEST_SHARE * self.rate / 2
        bands = tf.signal.linear_to_mel_weight_matrix(self.mels, size // 2 + 1, self.rate, LOWEST_HZ, highest)
        power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        return tf.math.log(tf.matmul(power, bands) + FLOOR)

    def adapt(self, clips: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> None:
        """Learn a fixed mean and deviation of each band, before the layer is part of a model.

        Args:
            clips: batches of samples and lengths, as for a call, of training clips.

        Raises:
            ValueError: the layer has `one_deviation` or `range_db`, which need the whole clip.
        """
        if self.one_deviation or self.range_db is not None:
            raise ValueError("`adapt` is for layers without `one_deviation` and `range_db`, which need the whole clip.")
        count, total, squares = 0.0, np.zeros(self.mels), np.zeros(self.mels)
        for samples, lengths in clips:
            energies = self.energies(samples).numpy().astype(np.float64)
            mask = tf.sequence_mask(self.frames_of(lengths), energies.shape[1]).numpy()
            count += mask.sum()
            total += energies[mask].sum(0)
            squares += np.square(energies[mask]).sum(0)
        self.mean = (total / count).tolist()
        self.deviation = np.sqrt(np.maximum(squares / count - np.square(total / count), 0)).tolist()

    def call(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        energies = self.energies(samples)
        frames = self.frames_of(lengths)
        mask = tf.sequence_mask(frames, tf.shape(energies)[1], tf.float32)[..., tf.newaxis]
        if self.range_db is not None:
            loudest = tf.reduce_max(tf.where(mask > 0, energies, energies.dtype.min), [1, 2], keepdims=True)
            lowest = loudest - self.range_db * math.log(10) / 10
            energies = lowest + tf.nn.softplus(energies - lowest)  # the logarithm of the sum
        if self.mean is None:
            count = tf.cast(frames, tf.float32)[:, tf.newaxis, tf.newaxis]
            mean = tf.reduce_sum(energies * mask, 1, keepdims=True) / count
            variance = tf.reduce_sum(tf.square(energies - mean) * mask, 1, keepdims=True) / count
            if self.one_deviation:
                variance = tf.reduce_mean(variance, 2, keepdims=True)
            deviation = tf.sqrt(variance)
        else:
            mean, deviation = tf.constant(self.mean), tf.constant(self.deviation)
        return (energies - mean) / (deviation + 1e-3) * mask, frames

    def compute_output_spec(
        self, samples: keras.KerasTensor, lengths: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch, length = samples.shape
        frames = None if length is None else self.frames_of(length)
        return keras.KerasTensor((batch, frames, self.mels), "float32"), keras.KerasTensor((batch,), "int32")

    def get_config(self) -> dict[str, Any]:
        names = ("rate", "mels", "mean", "deviation", "one_deviation", "range_db")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
