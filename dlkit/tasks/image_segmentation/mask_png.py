"""Masks as PNG files in memory."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from dlkit.errors import DataError, UnreadableError
from dlkit.reading_errors import as_data_error

IGNORE_CLASS = 255  # class id of pixels that are ignored by losses and metrics, as in Pascal VOC
_GRAY_8_BIT = b"\x08\x00"  # bit depth and color type in the header of a PNG
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_mask(ids: np.ndarray) -> bytes:
    """Encode class ids as a grayscale 8-bit PNG.

    Args:
        ids: (height, width), (height, width, 1), or (height, width, 3) with equal channels, of integers or booleans in
            [0, 255].

    Returns:
        The bytes of the PNG.

    Raises:
        DataError: shape, dtype or values are not valid.

    Examples:
        >>> import numpy as np
        >>> from dlkit.tasks.image_segmentation.mask_png import decode_mask, encode_mask
        >>> decode_mask(encode_mask(np.eye(2, dtype=int))).tolist()
        [[1, 0], [0, 1]]
    """
    from PIL import Image

    if ids.ndim == 3 and (ids.shape[-1] == 1 or (ids.shape[-1] == 3 and (ids == ids[..., :1]).all())):
        ids = ids[..., 0]
    if ids.ndim != 2 or not ids.size or ids.dtype.kind not in "biu":
        raise DataError(
            "a mask must be (height, width) of integers, a class id for each pixel, and not empty. "
            f"Received: shape {ids.shape}, {ids.dtype}."
        )
    if ids.min() < 0 or ids.max() > 255:
        raise DataError(f"class ids must lie in [0, 255]. Received: from {ids.min()} to {ids.max()}.")
    file = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def convert_to_png(encoded: bytes) -> bytes:
    """Convert an encoded mask to a grayscale 8-bit PNG of class ids. Such a PNG is returned as it is.

    Args:
        encoded: bytes of an image file.

    Returns:
        The bytes of the PNG.

    Raises:
        UnreadableError: the file is not a readable image.
        DataError: the image is in color or a JPEG, and therefore holds no class ids.
    """
    if encoded[:8] == _SIGNATURE and encoded[24:26] == _GRAY_8_BIT:
        return encoded
    return encode_mask(decode_mask(encoded))


def decode_mask(encoded: bytes) -> np.ndarray:
    """Decode the class ids of a mask.

    Args:
        encoded: bytes of an image file.

    Returns:
        (height, width) uint8, or int32 if the file has more bits.

    Raises:
        UnreadableError, DataError: as `convert_to_png`.
    """
    image = _open_image(encoded)
    if image.format == "JPEG":
        raise DataError("the mask is a JPEG, whose compression changes class ids. Save it as PNG.")
    ids = class_ids_of_pil(image)
    depth = encoded[24] if image.format == "PNG" and image.mode == "L" else 8
    return ids // (255 // (2**depth - 1))  # Pillow scales gray values of 2 and 4 bits to 0 to 255


def class_ids_of_pil(image: Any) -> np.ndarray:
    """Read the class ids of a PIL image: gray values, also of three equal channels, or indices of a palette.

    Args:
        image: PIL image.

    Returns:
        (height, width) integers.

    Raises:
        DataError: the image is in color.
    """
    if image.mode in ("1", "L", "P"):
        return np.asarray(image).astype(np.uint8)
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.int32)
    if image.mode in ("RGB", "RGBA", "LA"):
        channels = np.asarray(image.convert("RGB"))
        if (channels == channels[..., :1]).all():  # gray, written as a color image
            return channels[..., 0]
    raise DataError(
        f"the mask is a color image (mode {image.mode}). Expected class ids: a grayscale image, or one with a palette. "
        'Or name the colors of the classes in a file classes.json next to the masks: {"road": [128, 64, 128], ...}.'
    )


def read_colors(encoded: bytes) -> np.ndarray:
    """Decode an image in color: (height, width, 3) uint8. Raises UnreadableError."""
    return np.asarray(_open_image(encoded).convert("RGB"))


def _open_image(encoded: bytes) -> Any:
    from PIL import Image

    with as_data_error(f"the mask cannot be decoded ({len(encoded)} bytes)", "an image file", error=UnreadableError):
        image = Image.open(io.BytesIO(encoded))
        image.load()
    return image
