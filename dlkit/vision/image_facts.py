"""What images are like: the size of one, and what suits those of a table, from a few of them."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column
from dlkit.data.split import spread
from dlkit.data.table import Table
from dlkit.errors import DataError, KnobError, UnreadableError
from dlkit.lazy import tf

LOOKED_AT = 50
LARGEST_SIDE = 224  # beyond that, networks for classification gain little and cost a lot


def image_size(image: Any) -> tuple[int, int]:
    """(height, width) of an image: of a file's header alone, without decoding it.

    Args:
        image: encoded bytes, a path, or an array or PIL image.

    Raises:
        UnreadableError: there is no such file, or it is no image.
    """
    from PIL import Image, UnidentifiedImageError

    if isinstance(image, np.ndarray):
        return image.shape[0], image.shape[1]
    if isinstance(image, (bytes, bytearray)):
        file: Any = io.BytesIO(image)
        named = f"{len(image)} bytes"
    elif isinstance(image, (str, os.PathLike)):
        file, named = Path(image), repr(str(image))
    else:
        return image.height, image.width
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decompressed
            with Image.open(file) as opened:
                return opened.height, opened.width
    except UnidentifiedImageError as error:
        raise UnreadableError(f"cannot read the size of the image ({named}): not an image file.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableError(f"cannot read the size of the image ({named}): {reason}.") from error


def typical_shape(table: Table, column: Column, max_pixels: int, largest: int = LARGEST_SIDE) -> tuple[int, int, int]:
    """(height, width, channels) that suit a table's images.

    If those looked at are of one size, of at most `largest` pixels a side, it is that size; else a square with
    their median shorter side, at most `largest`. One channel if all are grey.

    Raises:
        DataError: none of the images can be decoded and is small enough.
    """
    sizes, coloured, broken = [], False, ""
    for row in spread(len(table), LOOKED_AT):
        try:
            image = tf.io.decode_image(table.raw(row, {"image": column})["image"], expand_animations=False)
        except (DataError, tf.errors.InvalidArgumentError):
            broken = broken or f"{table.where(row)} is not a readable JPEG, PNG, GIF or BMP file"
            continue
        height, width, channels = image.shape
        if height * width > max_pixels:
            broken = broken or f"{table.where(row)} has {height} x {width} pixels, allowed are {max_pixels}"
            continue
        sizes.append((height, width))
        coloured = coloured or channels > 2
    if not sizes:
        raise DataError(f"{table.source}: none of the images looked at can be used. The first: {broken}.")
    channels = 3 if coloured else 1
    if len(set(sizes)) == 1 and max(sizes[0]) <= largest:
        return (*sizes[0], channels)
    side = min(int(np.median([min(size) for size in sizes])), largest)
    return side, side, channels


def chosen_shape(
    table: Table,
    column: Column,
    max_pixels: int,
    *,
    image_size: int,
    channels: int,
    largest: int = LARGEST_SIDE,
    multiple: int = 1,
) -> tuple[int, int, int]:
    """(height, width, channels) of a network's images: those that suit a table's, where they are not given.

    Args:
        table, column, max_pixels, largest: as of `typical_shape`.
        image_size: height and width; 0 for what suits.
        channels: 1 or 3; 0 for what suits.
        multiple: what height and width are rounded up to.

    Raises:
        DataError: none of the images can be decoded and is small enough.
    """
    height, width, found = typical_shape(table, column, max_pixels, largest)
    if image_size:
        height = width = image_size
    height, width = (-(-side // multiple) * multiple for side in (height, width))
    return height, width, channels or found


def check_channels(channels: int) -> None:
    """Raises KnobError for a number of channels that no image is decoded to."""
    if channels == 2:
        raise KnobError("`channels` must be 0, 1 or 3. Received: channels=2.")
