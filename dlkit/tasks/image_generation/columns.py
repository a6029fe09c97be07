"""Columns of image generation: what a request asks for, and generated images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkit.columns import Column, Count, EncodedFile, Label, Number, describe_value, is_missing_number
from dlkit.errors import DataError
from dlkit.lazy import tf


class Condition(Label):
    """The label to generate an image of; empty for an image of any kind."""

    kind = "label"
    may_be_empty = True

    def raw(self, value: Any) -> bytes:
        is_empty = not value.strip() if isinstance(value, (str, bytes)) else is_missing_number(value)
        return b"" if is_empty else super().raw(value)


class Seed(Count):
    """The seed of an image: the same seed gives the same image."""


class Steps(Count):
    """The number of denoising steps: more of them give better images and take longer."""


class Guidance(Number):
    """The strength of classifier-free guidance: 1 is none; higher values give more typical, less varied images."""


def drop_gray_axis(image: np.ndarray) -> np.ndarray:
    """Return a grayscale image, (height, width, 1), without its axis of channels; any other image unchanged."""
    return image[..., 0] if image.shape[-1] == 1 else image


class GeneratedImage(EncodedFile):
    """A generated image as PNG: grayscale, or RGB."""

    pixels = 0.05  # between machines, levels of single pixels are rounded the other way

    def show(self, answer: Any) -> np.ndarray:
        return drop_gray_axis(tf.io.decode_png(answer).numpy())


@dataclass(frozen=True)
class Latent(Column):
    """A latent vector of an image: finite numbers.

    Attributes:
        length: of the vector; 0 for any.
    """

    length: int = 0

    dtype = "float32"
    shape = (None,)
    atol = 1e-4

    def raw(self, value: Any) -> np.ndarray:
        try:
            vector = np.asarray(value, np.float32)
        except (TypeError, ValueError):
            vector = np.asarray(np.nan)
        if vector.ndim != 1 or not np.isfinite(vector).all() or len(vector) != (self.length or len(vector)):
            count = f"{self.length} " if self.length else ""
            raise DataError(f"expected {count}finite numbers. Received: {describe_value(value)}.")
        return vector


class Anomaly(Number):
    """The share of validation images that are more probable to the model, in percent: 100 is most unusual."""

    atol = 0.1


class Nats(Number):
    """The negative evidence lower bound of the image, in nats: lower is more probable."""

    atol = 1e-2
