"""Any size for networks that halve their image several times: padded at the entrance, cut at the exit."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import keras


def padded(x: keras.KerasTensor, multiple: int, square: bool = False) -> keras.KerasTensor:
    """Zeros below and right of an image, so that its sides are multiples of a number.

    Args:
        x: (batch, height, width, channels); height and width are static.
        multiple: of pixels.
        square: whether both sides are to be equal.

    Returns:
        (batch, more, more, channels).
    """
    height, width = (-(-side // multiple) * multiple for side in x.shape[1:3])
    if square:
        height = width = max(height, width)
    if (height, width) == x.shape[1:3]:
        return x
    missing = ((0, height - x.shape[1]), (0, width - x.shape[2]))
    return keras.layers.ZeroPadding2D(missing, name="padding")(x)


def logits_of(x: keras.KerasTensor, input_shape: Sequence[int], name: str = "logits") -> keras.KerasTensor:
    """Logits of a padded image, (batch, more, more, classes), cut to its own size, as float32."""
    more = tuple((0, side - wanted) for side, wanted in zip(x.shape[1:3], input_shape[:2], strict=True))
    return keras.layers.Cropping2D(more, dtype="float32", name=name)(x)
