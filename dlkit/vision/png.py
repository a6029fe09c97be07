"""Pixels of images as PNG files in memory."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np

from dlkit.errors import DataError
from dlkit.lazy import tf
from dlkit.reading_errors import as_data_error
from dlkit.vision.orientation import EXIF_TAG

_SUPPORTED = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8")  # the graph decodes files that begin so
_HEAD = 33  # bytes of a PNG's signature and first chunk


def encode_image(array: np.ndarray) -> bytes:
    """Encode pixels as PNG, lossless for 8 and 16 bits.

    Args:
        array: (height, width) or (height, width, 1, 3 or 4), of integers or booleans, or of floats in [0, 1].
    """
    if array.dtype == bool or array.dtype.kind == "f":
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        if not (low >= 0.0 and high <= 1.0):  # also refuses NaN
            raise DataError(
                f"a float image must lie in [0, 1]. Received: values from {low:g} to {high:g}. "
                "Divide by its maximum, or give uint8 in [0, 255]."
            )
        array = np.round(array.astype(np.float64) * 255.0)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or array.size == 0:
        raise DataError(f"an image array must be (height, width[, 1, 3 or 4]), not empty. Received: {array.shape}.")
    dtype = np.uint16 if array.dtype == np.uint16 else np.uint8
    if array.min() < 0 or array.max() > np.iinfo(dtype).max:
        raise DataError(
            f"pixels must lie in [0, {np.iinfo(dtype).max}]. Received: from {array.min()} to {array.max()}."
        )
    return tf.io.encode_png(array.astype(dtype), compression=1).numpy()  # 1: three times quicker than the default


def convert_unsupported(data: bytes) -> bytes:
    """Convert a file of a format that only Pillow reads to PNG; return any other file unchanged."""
    if data.startswith(_SUPPORTED) or _is_plain_bmp(data) or _is_still_webp(data):
        return data
    from PIL import Image

    with contextlib.suppress(DataError), as_data_error("the image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the graph rejects images that are too large
        with Image.open(io.BytesIO(data)) as image:
            return encode_pil(image)
    return data  # the graph reports the error


def encode_pil(image: Any) -> bytes:
    """Encode a PIL image as PNG with its EXIF orientation; the graph applies it."""
    image.load()  # rotates TIFF images
    orientation = image.getexif().get(EXIF_TAG, 1)
    if image.mode in ("P", "PA", "LA", "La", "RGBa") and ("transparency" in image.info or image.mode != "P"):
        image = image.convert("RGBA")
    elif image.mode not in ("1", "L", "I;16", "RGB", "RGBA"):  # a palette's indices are no colors
        image = image.convert("I;16" if image.mode.startswith("I;16") else "RGB")
    png = encode_image(np.asarray(image))
    if orientation not in range(2, 9):
        return png
    exif = b"eXIf" + struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, EXIF_TAG, 3, 1, orientation, 0)
    return png[:_HEAD] + struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif)) + png[_HEAD:]


def displayed_pixels(data: bytes) -> np.ndarray:
    """Decode a file for display: (height, width, 3) uint8, upright, composited onto white."""
    from PIL import Image

    return render_pil(Image.open(io.BytesIO(data)))


def render_pil(image: Any) -> np.ndarray:
    """Convert a PIL image for display: (height, width, 3) uint8, upright, composited onto white."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.float64)
        image = Image.fromarray((255 * samples / max(samples.max(), 1)).astype(np.uint8))
    image = image.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


def _is_plain_bmp(data: bytes) -> bool:
    return (
        data.startswith(b"BM")
        and data[28:30] in (b"\x08\0", b"\x18\0", b" \0")
        and data[30:34] in (b"\0" * 4, b"\3\0\0\0")
    )


def _is_still_webp(data: bytes) -> bool:
    return (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP" and not (data[12:16] == b"VP8X" and data[20:21] and data[20] & 2)
    )


def as_json(value: Any) -> Any:
    """Convert NumPy values for JSON, as the argument `default` of `json.dumps`.

    Pixels, (height, width) or (height, width, 3) uint8, become a PNG in base64, `{"b64": "..."}` as in requests; other
    arrays, lists.

    Raises:
        TypeError: the value is not a NumPy value.
    """
    is_image = np.ndim(value) == 2 or (np.ndim(value) == 3 and np.shape(value)[-1] == 3)
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and is_image and value.size:
        return {"b64": base64.b64encode(encode_image(value)).decode()}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"expected a JSON or NumPy value. Received: {type(value).__name__}.")
