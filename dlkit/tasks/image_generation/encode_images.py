"""Generated images as levels of pixels and as PNG files, inside the graph, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class EncodePng(keras.layers.Layer):
    """Encodes images as PNG: (batch, height, width, 1 or 3) uint8 to (batch,) string."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._convert_input_args = False

    def call(self, image: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(tf.io.encode_png, image, fn_output_signature=tf.TensorSpec([], tf.string))

    def compute_output_spec(self, image: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(image.shape[:1], "string")


def to_pixels(image: tf.Tensor) -> tf.Tensor:
    """Convert images in [-1, 1], beyond which they are cut, to uint8 levels of the same shape."""
    return tf.cast(tf.clip_by_value(tf.round((image + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def decode_answers(encoded: Sequence[bytes]) -> np.ndarray:
    """Decode PNG files of one size: (n, height, width, channels) uint8."""
    return np.stack([tf.io.decode_png(image).numpy() for image in encoded])
