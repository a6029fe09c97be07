"""What the pretrained networks of KerasHub read of a clip, in core operations."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from dlkit.lazy import keras, layers, tf

WHISPER_WINDOW, WHISPER_STEP = 400, 160  # samples of a frame, and from one to the next, at 16 kHz
MOONSHINE_STEP = 384  # samples of an output of its three convolutions, at 16 kHz


@keras.saving.register_keras_serializable("dlkit")
class WhisperMels(layers.Layer):
    """Computes the log-mel features of Whisper: frames of 25 ms every 10 ms, centered on multiples of 10 ms.

    KerasHub's `WhisperAudioConverter` pads every clip to 30 seconds, and gives the same numbers; here, frames that hold
    nothing but padding are left to the network.

    Call with `samples`: (batch, samples) float32 at 16 kHz, zeros behind the end of each clip; and `lengths`: (batch,)
    int32. Returns a tuple of (batch, frames, mels) float32 and the number of frames of each clip, (batch,) int32, those
    that hold any sample of it.

    Args:
        mels: positive integer, number of mel bands, 80 or 128.
        max_frames: positive integer, of the longest clip that the network reads.

    Examples:
        >>> features, frames = WhisperMels(80, 3000)(tf.ones([1, 16000]), tf.constant([16000]))
        >>> features.shape, frames.numpy().tolist()
        (TensorShape([1, 102, 80]), [102])
    """

    def __init__(self, mels: int, max_frames: int, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.mels, self.max_frames = mels, max_frames

    def frames_of(self, samples: Any) -> Any:
        """Return the number of frames of clips with these numbers of samples: integers, or a tensor of them."""
        frames = -(-(samples + WHISPER_WINDOW // 2) // WHISPER_STEP)
        return min(frames, self.max_frames) if isinstance(samples, int) else tf.minimum(frames, self.max_frames)

    def call(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        half = WHISPER_WINDOW // 2
        samples = tf.pad(samples, [[0, 0], [0, WHISPER_WINDOW + WHISPER_STEP]])
        samples = tf.concat([tf.reverse(samples[:, 1 : half + 1], [1]), samples], 1)  # as it reflects the first ones
        spectrum = tf.signal.stft(samples, WHISPER_WINDOW, WHISPER_STEP, WHISPER_WINDOW)
        frames = self.frames_of(lengths)
        spectrum = spectrum[:, : tf.reduce_max(tf.concat([frames, [1]], 0))]
        power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        energies = tf.math.log(tf.maximum(tf.matmul(power, _whisper_filters(self.mels)), 1e-10)) / np.log(10.0)
        energies = tf.maximum(energies, tf.reduce_max(energies, (1, 2), keepdims=True) - 8)
        return (energies + 4) / 4, frames

    def compute_output_spec(
        self, samples: keras.KerasTensor, lengths: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch = samples.shape[0]
        return keras.KerasTensor((batch, None, self.mels), "float32"), keras.KerasTensor((batch,), "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mels": self.mels, "max_frames": self.max_frames}


@functools.cache
def _whisper_filters(mels: int) -> np.ndarray:
    import keras_hub

    return keras_hub.layers.WhisperAudioConverter(num_mels=mels).mel_filters


@keras.saving.register_keras_serializable("dlkit")
class SampleFrames(layers.Layer):
    """Cuts samples into frames of 24 ms without overlap, which a network that reads samples joins again.

    Call with `samples` and `lengths` as of `WhisperMels`. Returns a tuple of (batch, frames, 384) float32 and the
    number of frames of each clip, (batch,) int32, at least 1.

    Examples:
        >>> features, frames = SampleFrames()(tf.ones([2, 1000]), tf.constant([1000, 0]))
        >>> features.shape, frames.numpy().tolist()
        (TensorShape([2, 3, 384]), [3, 1])
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def frames_of(self, samples: Any) -> Any:
        """Return the number of frames of clips with these numbers of samples: integers, or a tensor of them."""
        frames = -(-samples // MOONSHINE_STEP)
        return max(frames, 1) if isinstance(samples, int) else tf.maximum(frames, 1)

    def call(self, samples: tf.Tensor, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows, count = tf.shape(samples)[0], tf.shape(samples)[1]
        samples = tf.pad(samples, [[0, 0], [0, -count % MOONSHINE_STEP]])
        return tf.reshape(samples, [rows, -1, MOONSHINE_STEP]), self.frames_of(lengths)

    def compute_output_spec(
        self, samples: keras.KerasTensor, lengths: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch = samples.shape[0]
        return keras.KerasTensor((batch, None, MOONSHINE_STEP), "float32"), keras.KerasTensor((batch,), "int32")
