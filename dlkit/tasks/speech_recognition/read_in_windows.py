"""Long clips in overlapping windows."""

from __future__ import annotations

from typing import Any, Self

from dlkit.layers.micro_batches import in_micro_batches
from dlkit.lazy import keras, tf
from dlkit.tasks.speech_recognition.ctc_loss import close_padded_frames

WINDOWS_AT_A_TIME = 16  # of all clips of a batch, so that memory does not grow with the length of a clip


@keras.saving.register_keras_serializable("dlkit")
class ReadInWindows(keras.layers.Layer):
    """Runs a CTC network on overlapping windows of each clip, and joins their outputs in the middle of the overlaps.

    A network that was trained on short clips need not know what to do with long ones, and attention takes memory that
    grows with the square of the length. A clip that is no longer than a window has the outputs of the network itself.
    The windows of a clip depend on its length alone, not on its batch.

    Call with `features`: (batch, frames, mels) float32 and `padding_mask`: (batch, frames) bool. Returns (batch,
    ceil(frames / stride), classes) float32 logits; those of padding are blanks.

    Args:
        network: a functional model from `features` and `padding_mask` to `logits`, whose padding is blanks.
        stride: positive integer, frames per output of the network.
        window: positive integer, frames of a window; a multiple of the stride.
        overlap: positive integer, frames that neighboring windows have in common; a multiple of twice the stride, below
            `window`.

    Raises:
        ValueError: `window` or `overlap` is no such number.

    Examples:
        >>> from dlkit.tasks.speech_recognition.networks import conv_gru
        >>> read = ReadInWindows(conv_gru(8, 5, width=16, blocks=1, stride=2), stride=2, window=20, overlap=8)
        >>> read(tf.ones([1, 50, 8]), tf.ones([1, 50], tf.bool)).shape
        TensorShape([1, 25, 6])
    """

    def __init__(self, network: keras.Model, stride: int, window: int, overlap: int, **kwargs: Any):
        super().__init__(**kwargs)
        if window % stride or overlap % (2 * stride) or not 0 < overlap < window:
            raise ValueError(
                "`window` must be a multiple of the stride, and `overlap` one of twice the stride, above 0 and below "
                f"`window`. Received: {stride=}, {window=}, {overlap=}."
            )
        self.network, self.stride, self.window, self.overlap = network, stride, window, overlap

    def call(self, features: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        hop = self.window - self.overlap
        lengths = tf.reduce_sum(tf.cast(padding_mask, tf.int32), 1)
        counts = 1 - (-tf.maximum(lengths - self.window, 0) // hop)  # windows of each clip
        windows = self._cut(features, lengths, counts)
        logits = in_micro_batches(self.network, windows, WINDOWS_AT_A_TIME)["logits"]
        mask = padding_mask[:, :: self.stride]
        places = tf.range(tf.shape(mask)[1])
        number = tf.minimum(tf.maximum(places * self.stride - self.overlap // 2, 0) // hop, counts[:, tf.newaxis] - 1)
        outputs = tf.shape(logits)[1]
        within = tf.minimum(places - number * (hop // self.stride), outputs - 1)  # padding may lie beyond
        first = tf.cumsum(counts, exclusive=True)[:, tf.newaxis]
        flat = tf.reshape(logits, [-1, logits.shape[-1]])
        return close_padded_frames(tf.gather(flat, (first + number) * outputs + within), mask)

    def _cut(self, features: tf.Tensor, lengths: tf.Tensor, counts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Cut the windows of all clips, one after the other: as long as the longest clip, `window` at most."""
        frames, mels = tf.shape(features)[1], features.shape[-1]
        numbers = tf.range(tf.reduce_max(tf.concat([counts, [1]], 0)))
        rows, numbers = tf.unstack(tf.cast(tf.where(numbers < counts[:, tf.newaxis]), tf.int32), 2, axis=1)
        places = numbers[:, tf.newaxis] * (self.window - self.overlap) + tf.range(tf.minimum(self.window, frames))
        flat = rows[:, tf.newaxis] * frames + tf.minimum(places, frames - 1)
        return {
            "features": tf.gather(tf.reshape(features, [-1, mels]), flat),
            "padding_mask": places < tf.gather(lengths, rows)[:, tf.newaxis],
        }

    def compute_output_spec(self, features: keras.KerasTensor, padding_mask: keras.KerasTensor) -> keras.KerasTensor:
        frames = features.shape[1]
        outputs = None if frames is None else -(-frames // self.stride)
        return keras.KerasTensor((features.shape[0], outputs, self.network.output["logits"].shape[-1]), "float32")

    def get_config(self) -> dict[str, Any]:
        own = {
            "network": keras.saving.serialize_keras_object(self.network),
            "stride": self.stride,
            "window": self.window,
            "overlap": self.overlap,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)
