"""Layers around KerasHub's encoders, so that their outputs for a clip do not depend on its padding."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, layers, tf
from dlkit.tasks.speech_recognition.masked_conv import mask_frames
from dlkit.tasks.speech_recognition.preset_features import MOONSHINE_STEP

SILENCE_AFTER = 2  # frames: three convolutions without padding make this many outputs less
OUTPUTS_PER_FRAME = 6  # of the first convolution, whose stride is 64 samples


@keras.saving.register_keras_serializable("dlkit")
class PadWhisperFeatures(layers.Layer):
    """Pads features of Whisper to one length, with those of silence.

    Call with `features`: (batch, frames, mels) float32 and `mask`: (batch, frames) bool. Returns (batch, length, mels).

    Args:
        length: positive integer, number of frames.

    Examples:
        >>> pad = PadWhisperFeatures(3)
        >>> pad(tf.constant([[[1.0], [9.0]]]), tf.constant([[True, False]])).numpy().tolist()
        [[[1.0], [-1.0], [-1.0]]]
    """

    def __init__(self, length: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.length = length

    def call(self, features: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        mask = mask[:, : self.length, tf.newaxis]
        features = features[:, : self.length]
        loudest = tf.reduce_max(tf.where(mask, features, features.dtype.min), (1, 2), keepdims=True)
        # Energies are cut 8 powers of ten below the loudest and at 1e-10, and then scaled to (x + 4) / 4.
        silence = tf.maximum(loudest - 2, tf.cast(-1.5, features.dtype))
        missing = self.length - tf.shape(features)[1]
        features = tf.pad(tf.where(mask, features, silence) - silence, [[0, 0], [0, missing], [0, 0]]) + silence
        return tf.ensure_shape(features, [None, self.length, features.shape[-1]])

    def compute_output_spec(self, features: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((features.shape[0], self.length, features.shape[2]), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable("dlkit")
class TrimOutputs(layers.Layer):
    """Brings outputs to the length of a mask: (batch, any, width) and (batch, outputs) to (batch, outputs, width).

    Examples:
        >>> TrimOutputs()(tf.ones([1, 5, 2]), tf.ones([1, 3], tf.bool)).shape
        TensorShape([1, 3, 2])
    """

    def call(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        outputs = tf.shape(mask)[1]
        x = x[:, :outputs]
        return tf.pad(x, [[0, 0], [0, outputs - tf.shape(x)[1]], [0, 0]])

    def compute_output_spec(self, x: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((x.shape[0], mask.shape[1], x.shape[2]), self.compute_dtype)


@keras.saving.register_keras_serializable("dlkit")
class JoinFrames(layers.Layer):
    """Joins frames of samples to clips, with silence behind them, so that Moonshine has an output for each frame.

    Call with `features`: (batch, frames, 384) and `mask`: (batch, frames) bool. Returns (batch, 384 * (frames + 2), 1).

    Examples:
        >>> JoinFrames()(tf.ones([1, 3, 384]), tf.ones([1, 3], tf.bool)).shape
        TensorShape([1, 1920, 1])
    """

    def call(self, features: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        features = tf.pad(mask_frames(features, mask), [[0, 0], [0, SILENCE_AFTER], [0, 0]])
        shape = tf.shape(features)
        return tf.reshape(features, [shape[0], shape[1] * MOONSHINE_STEP, 1])

    def compute_output_spec(self, features: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((features.shape[0], None, 1), self.compute_dtype)


@keras.saving.register_keras_serializable("dlkit")
class MaskedGroupNormalization(layers.Layer):
    """Normalizes all channels of all frames of a clip together, without its padding.

    Source: Wu and He, 2018, arXiv:1803.08494, with one group, as Moonshine has it after its first convolution.

    Call with `x`: (batch, outputs, channels) of the first convolution over `JoinFrames`, and `mask`: (batch, frames)
    bool. Returns the shape of x.

    Args:
        epsilon: positive float, added to the variance.

    Examples:
        >>> norm = MaskedGroupNormalization(1e-5)
        >>> norm(tf.ones([1, 29, 4]), tf.ones([1, 3], tf.bool)).shape
        TensorShape([1, 29, 4])
    """

    def __init__(self, epsilon: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, shape: Any, *_: Any) -> None:
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), initializer="zeros", name="beta")

    def call(self, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        frames = tf.reduce_sum(tf.cast(mask, tf.int32), 1) + SILENCE_AFTER
        count = OUTPUTS_PER_FRAME * frames - 1  # a kernel of 127 samples does not fit at the last place
        of_clip = tf.sequence_mask(count, tf.shape(x)[1])[:, :, tf.newaxis]
        values = tf.cast(x, tf.float32)
        size = tf.cast(count * x.shape[-1], tf.float32)[:, tf.newaxis, tf.newaxis]
        mean = tf.reduce_sum(tf.where(of_clip, values, 0.0), (1, 2), keepdims=True) / size
        square = tf.where(of_clip, tf.square(values - mean), 0.0)
        scale = tf.math.rsqrt(tf.reduce_sum(square, (1, 2), keepdims=True) / size + self.epsilon)
        normalized = tf.cast((values - mean) * scale, x.dtype)
        return normalized * tf.cast(self.gamma, x.dtype) + tf.cast(self.beta, x.dtype)

    def compute_output_spec(self, x: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
