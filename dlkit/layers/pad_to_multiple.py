"""Padding of images to sides that a network can downsample, and cropping of what it makes of them."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import keras


def pad_to_multiple(x: keras.KerasTensor, multiple: int, square: bool = False) -> keras.KerasTensor:
    """Pad images with zeros at the bottom and right, so that their sides are multiples of a number.

    Args:
        x: (batch, height, width, channels); height and width are static.
        multiple: number of pixels.
        square: whether to pad to a square.

    Returns:
        (batch, padded height, padded width, channels).

    Examples:
        >>> import keras
        >>> from dlkit.layers.pad_to_multiple import pad_to_multiple
        >>> pad_to_multiple(keras.Input((30, 40, 3)), 32).shape
        (None, 32, 64, 3)
    """
    height, width = (-(-side // multiple) * multiple for side in x.shape[1:3])
    if square:
        height = width = max(height, width)
    if (height, width) == x.shape[1:3]:
        return x
    padding = ((0, height - x.shape[1]), (0, width - x.shape[2]))
    return keras.layers.ZeroPadding2D(padding, name="padding")(x)


def crop_padding(x: keras.KerasTensor, input_shape: Sequence[int], name: str = "logits") -> keras.KerasTensor:
    """Crop what a network makes of a padded image to the size of the image.

    Args:
        x: (batch, padded height, padded width, channels).
        input_shape: (height, width, channels) of the image.
        name: name of the layer.

    Returns:
        (batch, height, width, channels) float32.
    """
    cropping = tuple((0, side - original) for side, original in zip(x.shape[1:3], input_shape[:2], strict=True))
    return keras.layers.Cropping2D(cropping, dtype="float32", name=name)(x)
