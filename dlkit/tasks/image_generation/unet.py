"""The U-Net that predicts the velocity of noisy images."""

from __future__ import annotations

import math
from typing import Any

from dlkit.layers.pad_to_multiple import crop_padding, pad_to_multiple
from dlkit.lazy import keras, tf

GROUPS, HEADS = 8, 4


@keras.saving.register_keras_serializable("dlkit")
class TimeFeatures(keras.layers.Layer):
    """Computes sines and cosines of a time: (batch,) in [0, 1] to (batch, features) float32.

    Args:
        features: even number of features, with periods from 2 down to 2 / 1000 of the time.
    """

    def __init__(self, features: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.features = features

    def call(self, time: tf.Tensor) -> tf.Tensor:
        half = self.features // 2
        frequencies = tf.constant([math.pi * 1000.0 ** (number / max(half - 1, 1)) for number in range(half)])
        angles = time[:, tf.newaxis] * frequencies
        return tf.concat([tf.sin(angles), tf.cos(angles)], -1)

    def compute_output_spec(self, time: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((time.shape[0], self.features // 2 * 2), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "features": self.features}


@keras.saving.register_keras_serializable("dlkit")
class LabelEmbedding(keras.layers.Layer):
    """Embeds labels: (batch,) int32, from 1, to (batch, features) float32; 0, no label, becomes zeros.

    Args:
        num_labels: number of labels.
        features: number of features.
    """

    def __init__(self, num_labels: int, features: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_labels, self.features = num_labels, features
        self._convert_input_args = False

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight((self.num_labels, self.features), "uniform", name="embeddings")

    def call(self, label_id: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(label_id - 1, self.num_labels, dtype=self.compute_dtype) @ self.embeddings

    def compute_output_spec(self, label_id: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((label_id.shape[0], self.features), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_labels": self.num_labels, "features": self.features}


def unet(
    image_shape: tuple[int, int, int],
    num_labels: int,
    *,
    width: int = 48,
    depth: int = 2,
    blocks: int = 2,
    patch: int = 2,
    dropout: float = 0.0,
) -> keras.Model:
    """Build a U-Net that knows time and label.

    After Ho et al., 2020, arXiv:2006.11239, with these differences: it works on patches of `patch` x `patch` pixels, as
    in Hoogeboom et al., 2023, arXiv:2301.11093; time and label scale and shift the features (Dhariwal and Nichol, 2021,
    arXiv:2105.05233); each level has one skip connection, and only the deepest has self-attention.

    Args:
        image_shape: (height, width, channels), of any size.
        num_labels: number of labels.
        width: features of the first level, a multiple of 8; each further level has twice as many.
        depth: number of levels; each has half the size of the one before.
        blocks: residual blocks of each level, before and after the deeper ones.
        patch: side of the patches in pixels.
        dropout: dropout rate inside of the residual blocks.

    Returns:
        A functional model of `noisy_image`, (batch, height, width, channels) float32, `time`, (batch,) float32, and
        `label_id`, (batch,) int32 from 0 (no label) to `num_labels`, with the output `velocity`, float32, like the
        image.

    Raises:
        ValueError: `width` is not a multiple of 8.

    Examples:
        >>> from dlkit.tasks.image_generation.unet import unet
        >>> unet((30, 28, 3), 10, width=8, blocks=1).output["velocity"].shape
        (None, 30, 28, 3)
    """
    if width % GROUPS:
        raise ValueError(f"`width` must be a multiple of {GROUPS}. Received: width={width}.")
    noisy = keras.Input(image_shape, name="noisy_image")
    time = keras.Input((), dtype="float32", name="time")
    label_id = keras.Input((), dtype="int32", name="label_id")
    known = _embed(time, label_id, num_labels, 4 * width)
    x = pad_to_multiple(noisy, patch * 2 ** (depth - 1))
    padded = x
    x = keras.layers.Conv2D(width, max(patch, 3), strides=patch, padding="same", name="patches")(x)
    skips = []
    for level in range(depth):
        features = width * 2**level
        if level:
            x = keras.layers.Conv2D(features, 3, strides=2, padding="same", name=f"down_{level}")(x)
        x = _blocks(x, known, features, blocks, dropout, f"encoder_{level}")
        skips.append(x)
    x = _attend(x, "attention")
    x = _blocks(x, known, width * 2 ** (depth - 1), 1, dropout, "middle")
    for level in reversed(range(depth - 1)):
        x = keras.layers.UpSampling2D(name=f"up_{level}")(x)
        x = keras.layers.Concatenate(name=f"concat_{level}")([x, skips[level]])
        x = _blocks(x, known, width * 2**level, blocks, dropout, f"decoder_{level}")
    x = _norm(x, "output")
    x = keras.layers.Conv2DTranspose(
        image_shape[2], max(patch, 3), strides=patch, padding="same", kernel_initializer="zeros", name="pixels"
    )(x)
    assert x.shape == padded.shape
    return keras.Model(
        {"noisy_image": noisy, "time": time, "label_id": label_id},
        {"velocity": crop_padding(x, image_shape, name="velocity")},
        name="unet",
    )


def _embed(time: keras.KerasTensor, label_id: keras.KerasTensor, num_labels: int, features: int) -> keras.KerasTensor:
    """Embed time and label: (batch, features)."""
    x = keras.layers.Dense(features, activation="silu", name="time_1")(TimeFeatures(32, name="time_features")(time))
    x = keras.layers.Dense(features, name="time_2")(x)
    label = LabelEmbedding(num_labels, features, name="label")(label_id)
    return keras.layers.Activation("silu", name="known")(keras.layers.Add(name="time_and_label")([x, label]))


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = keras.layers.GroupNormalization(GROUPS, name=f"{name}_norm")(x)
    return keras.layers.Activation("silu", name=f"{name}_silu")(x)


def _blocks(
    x: keras.KerasTensor, known: keras.KerasTensor, features: int, count: int, dropout: float, name: str
) -> keras.KerasTensor:
    for number in range(count):
        x = _residual_block(x, known, features, dropout, f"{name}_{number}")
    return x


def _residual_block(
    x: keras.KerasTensor, known: keras.KerasTensor, features: int, dropout: float, name: str
) -> keras.KerasTensor:
    skip = x if x.shape[-1] == features else keras.layers.Conv2D(features, 1, name=f"{name}_skip")(x)
    x = keras.layers.Conv2D(features, 3, padding="same", name=f"{name}_conv_1")(_norm(x, f"{name}_1"))
    x = keras.layers.GroupNormalization(GROUPS, name=f"{name}_norm_2")(x)
    parts = keras.layers.Dense(2 * features, kernel_initializer="zeros", name=f"{name}_known")(known)
    parts = keras.layers.Reshape((1, 1, 2 * features), name=f"{name}_known_map")(parts)
    x = ScaleAndShift(name=f"{name}_modulate")(x, parts)
    x = keras.layers.Activation("silu", name=f"{name}_silu_2")(x)
    x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = keras.layers.Conv2D(features, 3, padding="same", kernel_initializer="zeros", name=f"{name}_conv_2")(x)
    return keras.layers.Add(name=f"{name}_add")([x, skip])


@keras.saving.register_keras_serializable("dlkit")
class ScaleAndShift(keras.layers.Layer):
    """Computes x (1 + scale) + shift, with both halves of a second tensor, (batch, 1, 1, 2 features)."""

    def call(self, x: tf.Tensor, parts: tf.Tensor) -> tf.Tensor:
        scale, shift = tf.split(parts, 2, axis=-1)
        return x * (1.0 + scale) + shift


def _attend(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    height, width, features = x.shape[1:]
    tokens = keras.layers.GroupNormalization(GROUPS, name=f"{name}_norm")(x)
    tokens = keras.layers.Reshape((height * width, features), name=f"{name}_tokens")(tokens)
    attended = keras.layers.MultiHeadAttention(HEADS, features // HEADS, name=name)(tokens, tokens)
    attended = keras.layers.Reshape((height, width, features), name=f"{name}_map")(attended)
    return keras.layers.Add(name=f"{name}_add")([x, attended])
