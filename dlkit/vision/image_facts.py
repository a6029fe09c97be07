"""What images are like: the size of one, and what suits those of a table, from a few of them."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import Column, read_file_bytes
from dlkit.data.split import evenly_spaced
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError, UnreadableError
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.reading_errors import as_data_error
from dlkit.vision.image_header import parse_orientation
from dlkit.vision.orientation import EXIF_TAG, FIRST_SWAPPED

MAX_HEADERS, MAX_DECODED = 50, 500  # rows: at whose headers, and at whose pixels
GRAYSCALE_MODES = ("1", "L", "LA", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")  # modes of Pillow
ROTATED_WITH_IMAGE = "were annotated on the image as stored, and were rotated by its EXIF orientation"
_PNG_HEAD = 26  # bytes up to the depth and colour type
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_SIDE = 224  # beyond that, networks for classification gain little and cost a lot


def image_size(image: Any) -> tuple[int, int]:
    """(height, width) of an image as it is stored: of a file's header alone, without decoding it.

    Args:
        image: encoded bytes, a path, or an array or PIL image.

    Raises:
        UnreadableError: there is no such file, or it is no image.
    """
    return _header(image)[0]


def read_orientation(image: Any) -> int:
    """The EXIF orientation of an image, 1 to 8. Raises UnreadableError, as `image_size` does."""
    if isinstance(image, (str, os.PathLike)):
        image = read_file_bytes(image, "image")
    if isinstance(image, (bytes, bytearray)):
        return parse_orientation(bytes(image))
    return image.getexif().get(EXIF_TAG, 1) if hasattr(image, "getexif") else 1


def displayed_size(image: Any) -> tuple[int, int]:
    """(height, width) of an image as it is to be seen. Raises UnreadableError, as `image_size` does."""
    height, width = image_size(image)
    return (width, height) if read_orientation(image) >= FIRST_SWAPPED else (height, width)


def turns_images(task: Any) -> bool:
    """Whether a task turns images by their EXIF orientation: all but those that were saved before it was read."""
    stages = getattr(task, "stages_", None)
    return stages is None or bool(stages.preprocess.get_layer("decode_image").orient)


def orientation_of_annotation(image: Any, size: tuple[int, int]) -> int:
    """The EXIF orientation by which an annotation is to be turned to lie on an image as it is seen; 1 for none.

    An annotation is of the image as it is stored where its own size says so, and not of the one that is seen.

    Args:
        image: as `image_size` takes it.
        size: the height and width that the annotation has, or tells of its image.

    Raises:
        UnreadableError: as `image_size` does.
    """
    stored = image_size(image)
    if tuple(size) != stored or stored[0] == stored[1]:
        return 1
    orientation = read_orientation(image)
    return orientation if orientation >= FIRST_SWAPPED else 1


def _header(image: Any) -> tuple[tuple[int, int], str]:
    """(height, width) of an image as it is stored, and its mode in Pillow's words. UnreadableError without one."""
    from PIL import Image

    if isinstance(image, np.ndarray):
        return image.shape[:2], "RGB" if image.ndim == 3 and image.shape[2] > 2 else "L"  # type: ignore[return-value]
    if isinstance(image, (bytes, bytearray)):
        file: Any = io.BytesIO(image)
        named = f"{len(image)} bytes"
    elif isinstance(image, (str, os.PathLike)):
        file, named = Path(image), repr(str(image))
    else:
        return (image.height, image.width), image.mode
    with (
        as_data_error(f"the size of the image ({named})", "an image file", error=UnreadableError),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decompressed
        with Image.open(file) as opened:
            return (opened.height, opened.width), opened.mode


def infer_shape(table: Table, column: Column, max_pixels: int, largest: int = LARGEST_SIDE) -> tuple[int, int, int]:
    """(height, width, channels) that suit a table's images, by their headers alone.

    If those looked at are of one size as they are seen, of at most `largest` pixels a side, it is that size; else a
    square with their median shorter side, at most `largest`. One channel if all are grey.

    Raises:
        DataError: none of the images has a header and is small enough.
    """
    sizes, coloured, broken = [], False, ""
    for row in evenly_spaced(len(table), MAX_HEADERS):
        try:
            image = table.raw(row, {"image": column})["image"]
            (height, width), mode = _header(image)
        except DataError:
            broken = broken or f"{table.where(row)} is not a readable image file"
            continue
        if not 0 < height * width <= max_pixels:
            broken = broken or f"{table.where(row)} has {height} x {width} pixels, allowed: {max_pixels}"
            continue
        sizes.append((width, height) if parse_orientation(image) >= FIRST_SWAPPED else (height, width))
        coloured = coloured or mode not in GRAYSCALE_MODES
    if not sizes:
        raise DataError(f"{table.source}: none of the inspected images can be used. The first: {broken}.")
    channels = 3 if coloured else 1
    if len(set(sizes)) == 1 and max(sizes[0]) <= largest:
        return (*sizes[0], channels)
    side = min(int(np.median([min(size) for size in sizes])), largest)
    return side, side, channels


def find_max_sample(table: Table, column: Column, max_pixels: int) -> int:
    """The largest sample of a table's 16-bit PNGs, of at most 500 rows; 0 where there are none.

    It is what they are scaled by: cameras that count to 4095 write it into 16 bits.
    """
    largest = 0
    for row in evenly_spaced(len(table), MAX_DECODED):
        with contextlib.suppress(DataError, OSError, ValueError, tf.errors.InvalidArgumentError):
            if not _may_be_deep(table.columns["image"][row]):
                continue
            image = table.raw(row, {"image": column})["image"]
            if image[:8] != PNG or image[24:25] != b"\x10":
                continue
            height, width = image_size(image)
            if height * width <= max_pixels:
                pixels = tf.io.decode_png(image, channels=3, dtype=tf.uint16)
                largest = max(largest, int(tf.reduce_max(tf.cast(pixels, tf.int32))))
    return largest


def _may_be_deep(value: Any) -> bool:
    """Whether an image may have 16 bits: of a file, which need not be read whole, its first bytes tell."""
    if isinstance(value, (str, os.PathLike)):
        with Path(value).open("rb") as file:
            value = file.read(_PNG_HEAD)
    if not isinstance(value, (bytes, bytearray)):
        return True
    if value.startswith(PNG):
        return value[24:25] == b"\x10"
    return not value.startswith((b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF"))


def choose_shape(
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
    height, width, found = infer_shape(table, column, max_pixels, largest)
    if image_size:
        height = width = image_size
    height, width = (-(-side // multiple) * multiple for side in (height, width))
    return height, width, channels or found


def check_channels(channels: int) -> None:
    """Raises HparamError for a number of channels that no image is decoded to."""
    if channels == 2:
        raise HparamError(f"{option('channels')} must be 0, 1 or 3. Received: {option('channels', 2)}.")
