"""LeNet-5, the first convolutional network in wide use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dlkit.lazy import keras


def lenet(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    filters: Sequence[int] = (6, 16),
    dense_units: Sequence[int] = (120, 84),
    activation: str = "relu",
    pooling: Literal["max", "average"] = "max",
    dropout: float = 0.0,
) -> keras.Model:
    """Convolutions of 5 x 5, each followed by pooling, then dense layers.

    LeCun et al., 1998, "Gradient-based learning applied to document recognition", figure 2, with the sizes of its
    layers. It reads 32 x 32 pixels there, and any size here that leaves a pixel: the first convolution is padded,
    so that 28 x 28 gives the paper's 5 x 5 maps before the dense layers. Divergences: ReLU and max pooling by
    default (`activation="tanh", pooling="average"` is closer to the paper), every map of the second convolution
    sees every map of the first, softmax logits instead of radial basis functions.

    Args:
        input_shape: (height, width, channels), at least 12 x 12 with two convolutions.
        outputs: number of logits.
        filters: maps of each convolution.
        dense_units: units of each hidden dense layer.
        activation: name of a Keras activation.
        pooling: "max" or "average".
        dropout: share of units dropped after each hidden dense layer, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255.
        Output `logits`: (batch, outputs) float32.
    """
    if pooling not in ("max", "average"):
        raise ValueError(f"`pooling` must be max or average. Received: pooling={pooling!r}.")
    pool = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_minus_one_one")(image)
    for number, width in enumerate(filters, 1):
        padding = "same" if number == 1 else "valid"
        if min(x.shape[1:3]) < (2 if padding == "same" else 6):
            raise ValueError(
                f"`input_shape` is too small for {len(filters)} convolutions with pooling. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        x = keras.layers.Conv2D(
            width,
            5,
            padding=padding,
            activation=activation,
            kernel_initializer="he_normal",
            name=f"conv_{number}",
        )(x)
        x = pool(2, name=f"pool_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for number, width in enumerate(dense_units, 1):
        x = keras.layers.Dense(width, activation, kernel_initializer="he_normal", name=f"hidden_{number}")(x)
        x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
    logits = keras.layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name="lenet")
