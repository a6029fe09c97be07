"""Masks as PNG files in memory: class ids of pixels, and back."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from dlkit.errors import DataError, UnreadableError
from dlkit.reading_errors import as_data_error

NO_CLASS = 255  # the id of pixels that count neither in training nor in scores
_GREY_8_BIT = b"\x08\x00"  # depth and colour type, where a PNG's header has them
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_mask(ids: np.ndarray) -> bytes:
    """Class ids as a grey 8-bit PNG.

    Args:
        ids: (height, width) or (height, width, 1), or 3 with equal channels, of integers or booleans in [0, 255].
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


def mask_as_png(encoded: bytes) -> bytes:
    """An encoded mask as a grey 8-bit PNG of class ids. One that is so already comes back as it is, not decoded.

    Raises:
        UnreadableError: it is no image, or a broken one.
        DataError: it is an image in colours or a JPEG, which hold no class ids.
    """
    if encoded[:8] == _SIGNATURE and encoded[24:26] == _GREY_8_BIT:
        return encoded
    return encode_mask(decode_mask(encoded))


def decode_mask(encoded: bytes) -> np.ndarray:
    """The class ids of an encoded mask, (height, width); uint8, or int32 where the file has more bits."""
    image = _opened(encoded)
    if image.format == "JPEG":
        raise DataError("the mask is a JPEG, whose compression changes class ids. Save it as PNG.")
    ids = pil_ids(image)
    depth = encoded[24] if image.format == "PNG" and image.mode == "L" else 8
    return ids // (255 // (2**depth - 1))  # 2 and 4 grey bits were spread over 0 to 255


def pil_ids(image: Any) -> np.ndarray:
    """The class ids of a PIL image, (height, width): grey values, in three channels too, or a palette's indices."""
    if image.mode in ("1", "L", "P"):
        return np.asarray(image).astype(np.uint8)
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.int32)
    if image.mode in ("RGB", "RGBA", "LA"):
        channels = np.asarray(image.convert("RGB"))
        if (channels == channels[..., :1]).all():  # grey, written as a colour image
            return channels[..., 0]
    raise DataError(
        f"the mask is a color image (mode {image.mode}). Expected class ids: a grayscale image, or one with a palette. "
        'Or name the colors of the classes in a file classes.json next to the masks: {"road": [128, 64, 128], ...}.'
    )


def colours(encoded: bytes) -> np.ndarray:
    """The colours of an encoded image, (height, width, 3) uint8. Raises UnreadableError."""
    return np.asarray(_opened(encoded).convert("RGB"))


def _opened(encoded: bytes) -> Any:
    from PIL import Image

    with as_data_error(f"the mask cannot be decoded ({len(encoded)} bytes)", "an image file", error=UnreadableError):
        image = Image.open(io.BytesIO(encoded))
        image.load()
    return image
