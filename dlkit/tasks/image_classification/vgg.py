"""VGG: blocks of 3 x 3 convolutions, each followed by pooling."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import keras
from dlkit.tasks.image_classification.resnet import batch_normalization


def vgg(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    blocks: Sequence[int] = (2, 2, 3, 3, 3),
    widths: Sequence[int] = (64, 128, 256, 512, 512),
    dense_units: Sequence[int] = (4096, 4096),
    use_batch_norm: bool = False,
    dropout: float = 0.5,
) -> keras.Model:
    """Build VGG: blocks of 3 x 3 convolutions, each followed by 2 x 2 max pooling, then dense layers.

    Simonyan and Zisserman, 2014, arXiv:1409.1556. The defaults are configuration D of the paper, VGG16: 138,357,544
    parameters at 224 x 224 x 3 and 1000 classes. VGG11 is `blocks=(1, 1, 2, 2, 2)`, VGG19 is `blocks=(2, 2, 4, 4, 4)`.
    For small images, a block does not pool feature maps that are down to one pixel.

    Args:
        input_shape: (height, width, channels), of any size.
        num_classes: number of logits.
        blocks: number of convolutions in each block.
        widths: number of filters in each block.
        dense_units: units of each hidden dense layer.
        use_batch_norm: add batch normalization after each convolution (not in the paper; easier to train).
        dropout: dropout rate after each hidden dense layer, between 0 and 1.

    Returns:
        A functional model with the input `image`, (batch, height, width, channels) uint8 or float in [0, 255], and the
        output `logits`, (batch, num_classes) float32.

    Raises:
        ValueError: `blocks` are not positive, or do not match `widths`.

    Examples:
        >>> from dlkit.tasks.image_classification.vgg import vgg
        >>> vgg((32, 32, 3), 10, blocks=(1, 1), widths=(8, 16), dense_units=(32,)).output_shape
        (None, 10)
    """
    if not blocks or len(blocks) != len(widths) or min(blocks) < 1:
        raise ValueError(
            f"`blocks` must be positive, one for each of `widths`. Received: blocks={blocks}, widths={widths}."
        )
    image = keras.Input(input_shape, name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="to_minus_one_one")(image)
    for stage, (depth, width) in enumerate(zip(blocks, widths, strict=True), 1):
        for number in range(1, depth + 1):
            name = f"stage_{stage}_conv_{number}"
            x = keras.layers.Conv2D(
                width, 3, padding="same", use_bias=not use_batch_norm, kernel_initializer="he_normal", name=name
            )(x)
            x = batch_normalization(f"{name}_norm")(x) if use_batch_norm else x
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if min(x.shape[1:3]) > 1:
            x = keras.layers.MaxPooling2D(2, name=f"stage_{stage}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for number, width in enumerate(dense_units, 1):
        x = keras.layers.Dense(width, "relu", kernel_initializer="he_normal", name=f"hidden_{number}")(x)
        x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model({"image": image}, {"logits": logits}, name="vgg")
