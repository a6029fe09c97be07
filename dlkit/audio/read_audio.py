"""A layer that reads encoded clips: files of any rate and encoding to samples of one rate."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dlkit.audio.resample import resample
from dlkit.audio.wav import read_wav
from dlkit.audio.wav_file import MAX_RATE, MIN_RATE
from dlkit.lazy import keras, tf
from dlkit.tracing import trace_function


@keras.saving.register_keras_serializable("dlkit")
class ReadAudio(keras.layers.Layer):
    """Reads WAV files and resamples them to one rate; channels are averaged.

    Each file is read by itself, so its samples do not depend on the batch. A file that cannot be read or is longer than
    `max_seconds` is reported in `error`, and counts as silence of length 0.

    Call with `audio`: (batch,) string, whole files. Returns a dict of `samples`: (batch, samples) float32, full scale
    at 1, zeros behind the end of a clip; `lengths`: (batch,) int32, samples of each clip; `seconds`: (batch,) float32,
    duration of each clip, 0 where there is an error; `error`: (batch,) string, why a file is rejected, "" for others.

    `samples` is as long as the longest clip of the batch, and at least 1. Encoded rows have one shape, so a task pads
    what it makes of it in `encode`, which `LogMels` describes.

    Args:
        rate: samples per second of the result, 1,000 to 384,000.
        max_seconds: maximum duration of a clip.

    Examples:
        >>> import tensorflow as tf
        >>> from dlkit.audio.read_audio import ReadAudio
        >>> from dlkit.audio.wav_file import encode_wav
        >>> tone = encode_wav([0.5, -0.5, 0.25], 16000)
        >>> read = ReadAudio(16000, 20)(tf.constant([tone, b"hello"]))
        >>> read["samples"].numpy().tolist(), read["lengths"].numpy().tolist()
        ([[0.5, -0.5, 0.25], [0.0, 0.0, 0.0]], [3, 0])
        >>> read["error"].numpy().tolist()
        [b'', b'not a WAV file (5 bytes)']
    """

    def __init__(self, rate: int = 16000, max_seconds: float = 20.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(rate, int) or not MIN_RATE <= rate <= MAX_RATE:
            raise ValueError(f"`rate` must be an integer from {MIN_RATE} to {MAX_RATE}. Received: rate={rate!r}.")
        if not max_seconds > 0:
            raise ValueError(f"`max_seconds` must be positive. Received: max_seconds={max_seconds!r}.")
        self.rate, self.max_seconds = rate, max_seconds
        self._convert_input_args = False  # Keras would turn Python lists of bytes into float tensors

    def call(self, audio: tf.Tensor) -> dict[str, tf.Tensor]:
        audio = tf.ensure_shape(tf.convert_to_tensor(audio, tf.string), [None])

        read_file = _trace_reading(self.rate, self.max_seconds)
        row = (
            tf.RaggedTensorSpec([None], tf.float32, ragged_rank=0),
            tf.TensorSpec([], tf.float32),
            tf.TensorSpec([], tf.string),
        )
        # By their numbers, as the loop would copy all files that it is given.
        samples, seconds, error = tf.map_fn(
            lambda number: read_file(tf.gather(audio, number)), tf.range(tf.size(audio)), fn_output_signature=row
        )
        lengths = tf.cast(samples.row_lengths(), tf.int32)
        longest = tf.maximum(tf.reduce_max(tf.concat([lengths, [1]], 0)), 1)
        padded = samples.to_tensor(shape=tf.stack([tf.size(audio), longest]))
        return {"samples": padded, "lengths": lengths, "seconds": seconds, "error": error}

    def compute_output_spec(self, audio: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        batch = audio.shape[0]
        return {
            "samples": keras.KerasTensor((batch, None), "float32"),
            "lengths": keras.KerasTensor((batch,), "int32"),
            "seconds": keras.KerasTensor((batch,), "float32"),
            "error": keras.KerasTensor((batch,), "string"),
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "max_seconds": self.max_seconds}


@functools.cache
def _trace_reading(rate: int, max_seconds: float) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Trace the reading of one file, () string, to samples, seconds and error: once, as it is many operations."""

    def read_file(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
        wav = read_wav(data, max_seconds)
        return resample(wav.samples, wav.rate, rate), wav.seconds, wav.error

    return trace_function(read_file, tf.TensorSpec([], tf.string))
