"""Columns of masks: a class id for each pixel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.columns import Column, EncodedFile, describe_value, is_pil, read_file_bytes
from dlkit.errors import DataError
from dlkit.tasks.image_segmentation.mask_png import decode_mask, encode_mask, mask_as_png, pil_ids


class Mask(EncodedFile):
    """A class id for each pixel of an image, as a grey 8-bit PNG of the image's size.

    Accepts a path, the bytes of an image file, a PIL image, or an array of integers, (height, width). A palette image
    gives its indices. By convention 255 is no class: such pixels count neither in training nor in scores.
    """

    reader = "dlkit.tasks.image_segmentation.mask_folder"
    pixels = 1e-3
    lists_classes = True
    channels = (1,)

    def raw(self, value: Any) -> bytes:
        if isinstance(value, (str, os.PathLike)):
            value = read_file_bytes(value, "mask")
        if isinstance(value, (bytes, bytearray)):
            return mask_as_png(bytes(value))
        if is_pil(value):
            return encode_mask(pil_ids(value))
        if hasattr(value, "__array__"):
            return encode_mask(np.asarray(value))
        raise DataError(
            "expected a mask: a path, encoded bytes, a PIL image or an array of class ids. "
            f"Received: {describe_value(value)}."
        )

    def is_batch(self, shape: Sequence[int | None], dtype: str) -> bool:
        if dtype == "string":
            return super().is_batch(shape, dtype)
        return len(shape) == 4 or (len(shape) == 3 and shape[-1] != 1)

    def show(self, answer: Any) -> np.ndarray:
        return decode_mask(answer)


class ClassIds(Column):
    """A class id for each pixel of the network's image."""

    dtype = "uint8"
    shape = (None, None)
    pixels = Mask.pixels
