"""LeNet-5, the first widely used convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dlkit.lazy import keras


def lenet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    filters: Sequence[int] = (6, 16),
    dense_units: Sequence[int] = (120, 84),
    activation: str = "relu",
    pooling: Literal["max", "average"] = "max",
    dropout: float = 0.0,
) -> keras.Model:
    """Build LeNet-5: 5 x 5 convolutions, each followed by pooling, then dense layers.

    LeCun et al., 1998, "Gradient-based learning applied to document recognition", figure 2, with the layer sizes of
    the paper. The paper reads images of 32 x 32 pixels; any size that leaves at least one pixel is possible here. The
    first convolution is padded, so that images of 28 x 28 pixels give the 5 x 5 feature maps of the paper before the
    dense layers. Differences: ReLU and max pooling by default (`activation="tanh", pooling="average"` is closer to
    the paper), each filter of the second convolution sees all filters of the first, and the output is logits instead
    of radial basis functions.

    Args:
        input_shape: (height, width, channels), at least 12 x 12 pixels for two convolutions.
        num_classes: number of logits.
        filters: number of filters of each convolution.
        dense_units: units of each hidden dense layer.
        activation: name of a Keras activation.
        pooling: "max" or "average".
        dropout: dropout rate after each hidden dense layer, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, num_classes) float32.

    Raises:
        ValueError: `pooling` is unknown, or the images are too small.

    Examples:
        >>> from dlkit.tasks.image_classification.lenet import lenet
        >>> lenet((28, 28, 1), 10).count_params()
        61706
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
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name="lenet")
