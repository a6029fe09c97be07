"""A multilayer perceptron on pixels."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import keras


def mlp(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    widths: Sequence[int] = (512, 256),
    activation: str = "relu",
    dropout: float = 0.0,
) -> keras.Model:
    """Build a multilayer perceptron: dense layers on the flattened image.

    He initialization: He et al., 2015, arXiv:1502.01852. Dropout: Srivastava et al., 2014.

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        widths: units of each hidden layer; an empty sequence gives a linear classifier.
        activation: name of a Keras activation.
        dropout: dropout rate after each hidden layer, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, num_classes) float32.

    Raises:
        ValueError: a width is not positive.

    Examples:
        >>> from dlkit.tasks.image_classification.mlp import mlp
        >>> mlp((8, 8, 1), 10, widths=(32,)).count_params()
        2410
    """
    if any(width < 1 for width in widths):
        raise ValueError(f"`widths` must be positive. Received: widths={widths}.")
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_minus_one_one")(image)
    x = keras.layers.Flatten(name="pixels")(x)
    for number, width in enumerate(widths, 1):
        x = keras.layers.Dense(width, activation, kernel_initializer="he_normal", name=f"hidden_{number}")(x)
        x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name="mlp")
