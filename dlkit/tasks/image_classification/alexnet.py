"""AlexNet in its one-tower form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dlkit.lazy import keras


def alexnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: Sequence[int] = (64, 192, 384, 256, 256),
    dense_units: Sequence[int] = (4096, 4096),
    dropout: float = 0.5,
) -> keras.Model:
    """Build AlexNet: five convolutions and two hidden dense layers.

    Krizhevsky et al., 2012, in the one-tower form of Krizhevsky, 2014, arXiv:1404.5997: no local response
    normalization, no grouped convolutions, 61,100,840 parameters at 224 x 224 x 3 and 1000 classes.
    For images with a side below 64 pixels, the stem (11 x 11, stride 4) is replaced by a 5 x 5 convolution of
    stride 1, and overlapping 3 x 3 pooling by 2 x 2 pooling.

    Args:
        input_shape: (height, width, channels), at least 8 x 8 pixels.
        num_classes: number of logits.
        filters: number of filters of each of the five convolutions.
        dense_units: units of each hidden dense layer.
        dropout: dropout rate before each hidden dense layer, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, num_classes) float32.

    Raises:
        ValueError: `filters` does not have five entries, or the images are too small.

    Examples:
        >>> from dlkit.tasks.image_classification.alexnet import alexnet
        >>> alexnet((28, 28, 1), 10, filters=(8, 16, 16, 16, 16), dense_units=(32, 32)).output_shape
        (None, 10)
    """
    if len(filters) != 5:
        raise ValueError(f"`filters` must have five entries. Received: filters={filters}.")
    if min(input_shape[:2]) < 8:
        raise ValueError(f"`input_shape` must be at least 8 x 8. Received: input_shape={tuple(input_shape)}.")
    small = min(input_shape[:2]) < 64
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_minus_one_one")(image)
    if small:
        x = _conv(filters[0], 5, "conv_1")(x)
    else:
        x = keras.layers.ZeroPadding2D(2, name="padding")(x)
        x = _conv(filters[0], 11, "conv_1", strides=4, padding="valid")(x)
    for number, kernel in enumerate((5, 3, 3, 3), 2):
        if number in (2, 3):
            x = keras.layers.MaxPooling2D(2 if small else 3, 2, name=f"pool_{number - 1}")(x)
        x = _conv(filters[number - 1], kernel, f"conv_{number}")(x)
    x = keras.layers.MaxPooling2D(2 if small else 3, 2, name="pool_5")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for number, width in enumerate(dense_units, 1):
        x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
        x = keras.layers.Dense(width, "relu", kernel_initializer="he_normal", name=f"hidden_{number}")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name="alexnet")


def _conv(
    filters: int, kernel: int, name: str, strides: int = 1, padding: Literal["same", "valid"] = "same"
) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters, kernel, strides, padding, activation="relu", kernel_initializer="he_normal", name=name
    )
