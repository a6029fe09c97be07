"""A multilayer perceptron over pixels."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import keras


def mlp(
    input_shape: tuple[int, int, int],
    outputs: int,
    *,
    widths: Sequence[int] = (512, 256),
    activation: str = "relu",
    dropout: float = 0.0,
) -> keras.Model:
    """Dense layers over the flattened image.

    Args:
        input_shape: (height, width, channels).
        outputs: number of logits.
        widths: units of each hidden layer; none gives a linear classifier.
        activation: name of a Keras activation.
        dropout: share of units dropped after each hidden layer, 0 to 1.

    Returns:
        A functional model. Input `image`: (batch, height, width, channels) uint8 or float, 0 to 255.
        Output `logits`: (batch, outputs) float32.

    He initialisation: He et al., 2015, arXiv:1502.01852. Dropout: Srivastava et al., 2014.
    """
    if any(width < 1 for width in widths):
        raise ValueError(f"`widths` must be positive. Received: widths={widths}.")
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_minus_one_one")(image)
    x = keras.layers.Flatten(name="pixels")(x)
    for number, width in enumerate(widths, 1):
        x = keras.layers.Dense(width, activation, kernel_initializer="he_normal", name=f"hidden_{number}")(x)
        x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
    logits = keras.layers.Dense(outputs, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name="mlp")
