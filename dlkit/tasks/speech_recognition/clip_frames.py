"""The mask of the frames of clips, and what is measured of training clips."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from dlkit.audio.columns import Audio
from dlkit.audio.read_audio import ReadAudio
from dlkit.audio.wav import read_wav
from dlkit.audio.wav_file import SILENCE_PEAK
from dlkit.data.table import Table
from dlkit.errors import DataError, UnreadableError
from dlkit.lazy import keras, tf
from dlkit.tracing import trace_function

MAX_READ_CLIPS = 2_000


@keras.saving.register_keras_serializable("dlkit")
class FrameMask(keras.layers.Layer):
    """Computes which frames belong to a clip; of a silent clip, none.

    Call with `samples`: (batch, samples) float32; `features`: (batch, frames, mels); `frames`: (batch,) int32, the
    number of frames of each clip. Returns (batch, frames) bool.

    A network sees normalized features, in which silence may look like anything: a clip whose samples are all below
    -60 dB of full scale has no frames, and so no text.

    Examples:
        >>> samples = tf.constant([[0.5, -0.5], [1e-4, 0.0]])
        >>> FrameMask()(samples, tf.zeros((2, 3, 8)), tf.constant([2, 3])).numpy().tolist()
        [[True, True, False], [False, False, False]]
    """

    def call(self, samples: tf.Tensor, features: tf.Tensor, frames: tf.Tensor) -> tf.Tensor:
        is_heard = tf.reduce_max(tf.abs(samples), 1) > SILENCE_PEAK
        return tf.sequence_mask(tf.where(is_heard, frames, 0), tf.shape(features)[1])

    def compute_output_spec(
        self, samples: keras.KerasTensor, features: keras.KerasTensor, frames: keras.KerasTensor
    ) -> keras.KerasTensor:
        del samples, frames
        return keras.KerasTensor(features.shape[:2], "bool")


class ClipFacts(NamedTuple):
    """What the headers of training clips say, those that can be read.

    Attributes:
        rates: (clips,) int32, samples per second.
        seconds: (clips,) float32.
    """

    rates: np.ndarray
    seconds: np.ndarray


def measure_clips(examples: Table, max_seconds: float) -> ClipFacts:
    """Measure the clips of the column `audio`.

    Those that cannot be read, or are longer than `max_seconds`, are left out.

    Raises:
        DataError: no clip can be read.
    """
    measure = _trace_measuring(max_seconds)
    facts, reasons = [], []
    for row in range(len(examples)):
        try:
            rate, seconds, error = measure(tf.constant(examples.raw(row, {"audio": Audio()})["audio"]))
        except UnreadableError as unreadable:
            reasons.append(str(unreadable))
            continue
        if error.numpy():
            reasons.append(f"{examples.where(row)}: {error.numpy().decode()}")
        else:
            facts.append((int(rate), float(seconds)))
    if not facts:
        raise DataError(f"{examples.source}: none of its {len(examples)} clips can be read. The first: {reasons[0]}")
    rates, durations = zip(*facts, strict=True)
    return ClipFacts(np.array(rates, np.int32), np.array(durations, np.float32))


@functools.cache
def _trace_measuring(max_seconds: float) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Trace the reading of one file, () string, to rate, seconds and error: once, as it is many operations."""

    def measure(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
        wav = read_wav(data, max_seconds)
        return wav.rate, wav.seconds, wav.error

    return trace_function(measure, tf.TensorSpec([], tf.string))


def read_clips(examples: Table, read_audio: ReadAudio) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Yield samples, (1, samples), and lengths, (1,), of the clips of the column `audio` that can be read.

    At most 2,000 of them, spread over the table: more do not change a mean.
    """
    for row in range(0, len(examples), -(-len(examples) // MAX_READ_CLIPS)):
        try:
            clip = read_audio(tf.constant([examples.raw(row, {"audio": Audio()})["audio"]]))
        except UnreadableError:  # reported when the rows are encoded
            continue
        if clip["error"][0] == "":
            yield clip["samples"], clip["lengths"]
