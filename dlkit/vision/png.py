"""Pixels of images as PNG files in memory."""

from __future__ import annotations

import numpy as np

from dlkit.errors import DataError
from dlkit.lazy import tf


def encode_image(array: np.ndarray) -> bytes:
    """Pixels as PNG, which loses nothing of 8 and 16 bits.

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
