"""Generated pixels as PNG files, inside the graph."""

from __future__ import annotations

from typing import Any

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
