"""A causal network that reads clips in chunks."""

from __future__ import annotations

import re
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.speech_recognition.frame_gru import FrameGru
from dlkit.tasks.speech_recognition.masked_conv import MaskedConv1D, mask_frames


class StreamingNetwork:
    """Runs `networks.conv_gru`, built with `causal=True`, chunk by chunk: the logits are those of the whole clip.

    The state of a row is one vector: the last frames before each convolution, and what each GRU remembers.

    Args:
        network: the trained functional model, or one that was built on it; its weights are used as they are.

    Examples:
        >>> from dlkit.tasks.speech_recognition.networks import conv_gru
        >>> stream = StreamingNetwork(conv_gru(8, 5, width=16, blocks=1, causal=True))
        >>> stream.stride, stream.numbers
        (4, 88)
    """

    def __init__(self, network: keras.Model):
        self._network = network
        self._convs: list[MaskedConv1D] = self._layers(r"conv_\d+")
        self._grus: list[FrameGru] = self._layers(r"gru_\d+")
        channels = [conv.kernel.shape[1] for conv in self._convs]
        frames = [conv.kernel_size - conv.strides for conv in self._convs]
        self._shapes = [
            *zip(frames, channels, strict=True),
            *((gru.units,) for gru in self._grus),
        ]
        self._sizes = [int(tf.TensorShape(shape).num_elements()) for shape in self._shapes]
        self.stride = 1  # frames per output
        for conv in self._convs:
            self.stride *= conv.strides
        self.numbers = sum(self._sizes)  # of the state of a row
        self.classes = network.get_layer("logits").units

    def step(self, features: tf.Tensor, mask: tf.Tensor, state: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Read the next frames of each row.

        Args:
            features: (rows, frames, mels) float32, as many frames as a multiple of the stride, at least one stride.
            mask: (rows, frames) bool, true at the frames of each chunk, which are the first ones; their number is a
                multiple of the stride, but for the last chunk of a clip.
            state: (rows, numbers) float32, that of the last call; zeros before the first.

        Returns:
            Tuple of logits, (rows, frames / stride, classes), of which those of the mask count, and the next state.
        """
        rows, x = tf.shape(features)[0], features
        parts = tf.split(state, self._sizes, 1)
        states = [tf.reshape(part, [rows, *shape]) for part, shape in zip(parts, self._shapes, strict=True)]
        after = []
        for conv, before in zip(self._convs, states, strict=False):
            x, last = conv.step(x, mask, before)
            x = tf.nn.relu(self._network.get_layer(f"{conv.name}_norm")(x))
            mask = mask[:, :: conv.strides]
            after.append(last)
        for gru, before in zip(self._grus, states[len(self._convs) :], strict=True):
            recurrent, last = gru.step(x, mask, before)
            x = self._network.get_layer(f"{gru.name}_norm")(x + recurrent)
            after.append(last)
        state = tf.concat([tf.reshape(each, [rows, size]) for each, size in zip(after, self._sizes, strict=True)], 1)
        return mask_frames(self._network.get_layer("logits")(x), mask), state

    def _layers(self, pattern: str) -> list[Any]:
        return [layer for layer in self._network.layers if re.fullmatch(pattern, layer.name)]
