"""Features of images in which sets of images are compared: responses to patches of real images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dlkit.lazy import tf

PATCHES, FILTERS, LARGEST_PATCH = 20_000, 64, 6
CHUNK = 256  # images at a time


class PatchFeatures(NamedTuple):
    """Features of a single layer of whitened patches (Coates, Lee and Ng, 2011, "An Analysis of Single-Layer Networks
    in Unsupervised Feature Learning"), with random patches as the filters.

    The positive part of each response is averaged over the quarters of the image. Nothing is trained, so that such
    features exist for any images.

    Attributes:
        filters: (side, side, channels, FILTERS) float32.
        offsets: (FILTERS,) float32, subtracted from the responses.
        mean, scale: (features,) float32, of the real images: features of them have the mean 0 and the variance 1.
    """

    filters: np.ndarray
    offsets: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Compute the features of images: (n, height, width, channels) uint8 to (n, features) float32."""
        return (_pool_responses(images, self.filters, self.offsets) - self.mean) / self.scale


def learn_features(real: np.ndarray, seed: int = 0) -> PatchFeatures:
    """Learn the features from real images, (n, height, width, channels) uint8."""
    generator = np.random.default_rng(seed)
    count, height, width, channels = real.shape
    side = min(LARGEST_PATCH, -(-min(height, width) // 2))
    rows = generator.integers(count, size=PATCHES)
    tops, lefts = (generator.integers(size - side + 1, size=PATCHES) for size in (height, width))
    windows = np.lib.stride_tricks.sliding_window_view(real, (side, side), (1, 2))
    patches = windows[rows, tops, lefts].transpose(0, 2, 3, 1).reshape(PATCHES, -1) / 255.0
    mean = patches.mean(0)
    values, vectors = np.linalg.eigh(np.cov(patches.T) + 1e-3 * np.eye(patches.shape[1]))
    whiten = (vectors / np.sqrt(values)) @ vectors.T
    chosen = (patches[:FILTERS] - mean) @ whiten
    chosen /= np.linalg.norm(chosen, axis=1, keepdims=True) + 1e-6
    filters = (whiten @ chosen.T).astype(np.float32)
    offsets = (mean @ filters).astype(np.float32)
    filters = filters.reshape(side, side, channels, FILTERS)
    found = _pool_responses(real, filters, offsets)
    return PatchFeatures(filters, offsets, found.mean(0), found.std(0) + 1e-3)


def _pool_responses(images: np.ndarray, filters: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    found = []
    for start in range(0, len(images), CHUNK):
        pixels = tf.cast(images[start : start + CHUNK], tf.float32) / 255.0
        responses = tf.nn.relu(tf.nn.conv2d(pixels, filters, 1, "VALID") - offsets)
        middle = [-(-size // 2) for size in responses.shape[1:3]]
        halves: Sequence[tf.Tensor] = [responses[:, : middle[0]], responses[:, -middle[0] :]]
        quarters = [part for half in halves for part in (half[:, :, : middle[1]], half[:, :, -middle[1] :])]
        found.append(tf.concat([tf.reduce_mean(part, [1, 2]) for part in quarters], 1).numpy())
    return np.concatenate(found)
