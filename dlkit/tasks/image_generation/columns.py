"""Columns of image generation: what a request asks for, and generated images."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.columns import Count, EncodedFile, Label, Number, is_missing_number
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


class GeneratedImage(EncodedFile):
    """A generated image as PNG: grayscale, or RGB."""

    pixels = 0.05  # between machines, levels of single pixels are rounded the other way

    def show(self, answer: Any) -> np.ndarray:
        pixels = tf.io.decode_png(answer).numpy()
        return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
