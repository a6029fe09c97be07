"""AlexNet, in one tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dlkit.lazy import keras


def alexnet(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    filters: Sequence[int] = (64, 192, 384, 256, 256),
    dense_units: Sequence[int] = (4096, 4096),
    dropout: float = 0.5,
) -> keras.Model:
    """Five convolutions and two hidden dense layers.

    Krizhevsky et al., 2012, in the one-tower form of Krizhevsky, 2014, arXiv:1404.5997: no local response
    normalisation, no grouped convolutions, 61,100,840 parameters at 224 x 224 x 3 and 1000 outputs.
    Images of fewer than 64 pixels on a side would vanish in its stem (11 x 11, stride 4). They get a scaled one:
    5 x 5, stride 1, and 2 x 2 instead of overlapping 3 x 3 pooling.

    Args:
        input_shape: (height, width, channels), at least 8 x 8.
        outputs: number of logits.
        filters: maps of the five convolutions.
        dense_units: units of each hidden dense layer.
        dropout: share of units dropped before each hidden dense layer, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255.
        Output `logits`: (batch, outputs) float32.
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
    logits = keras.layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name="alexnet")


def _conv(
    filters: int, kernel: int, name: str, strides: int = 1, padding: Literal["same", "valid"] = "same"
) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters, kernel, strides, padding, activation="relu", kernel_initializer="he_normal", name=name
    )
