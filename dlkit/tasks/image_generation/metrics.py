"""Metrics of generated images: distances between the distributions of their features and those of real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlkit.tasks.image_generation.image_features import learn_features

NEIGHBORS = 3  # of precision and recall
MIN_IMAGES = 8  # real or generated ones
SUBSETS, SUBSET_SIZE = 20, 1000  # of the kernel distance of more images, which is their mean


def score_images(
    real: np.ndarray, generated: np.ndarray, features: Callable[[np.ndarray], np.ndarray] | None = None
) -> dict[str, Any]:
    """Compare generated images with real ones.

    Args:
        real: (n, height, width, channels) uint8.
        generated: (n, height, width, channels) uint8.
        features: computes the features, (n, features), of images, in which they are compared; None for
            `PatchFeatures`, learned from the real images.

    Returns:
        `kid` and `fid`, the distances, 0 for equal distributions; `precision`, the share of generated images that are
        among the real ones, and `recall`, the share of real ones that are among those generated; `floor_kid` and so on,
        the same of one half of the real images as if they had been generated; `baseline_kid`, of images each of whose
        pixels is from another real image; `kid_skill`, 1 - kid / baseline_kid, 1 at best, and its baseline, 0; and
        `images`, n. All of them depend on n: only those of equally many images can be compared.
    """
    compute = features or learn_features(real)
    of_real, of_generated, of_baseline = (compute(images) for images in (real, generated, mix_pixels(real)))
    found, baseline = compare_features(of_real, of_generated), compute_kid(of_real, of_baseline)
    floor = compare_features(of_real[::2], of_real[1::2])
    return {
        "kid_skill": 1.0 - found["kid"] / baseline if baseline > 0 else 0.0,
        "baseline_kid_skill": 0.0,
        **found,
        **{f"floor_{name}": value for name, value in floor.items()},
        "baseline_kid": baseline,
        "images": len(real),
    }


def compare_features(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """Return `kid`, `fid`, `precision` and `recall` of features, (n, features) and (m, features)."""
    precision, recall = compute_precision_and_recall(real, generated)
    distances = {"kid": compute_mean_kid(real, generated), "fid": compute_fid(real, generated)}
    return {**distances, "precision": precision, "recall": recall}


def mix_pixels(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw each pixel of each image from another image, at the same place: right frequencies, no shapes."""
    flat = images.reshape(len(images), -1, images.shape[-1])
    rows = np.random.default_rng(seed).permuted(np.tile(np.arange(len(flat))[:, None], flat.shape[1]), axis=0)
    return flat[rows, np.arange(flat.shape[1])].reshape(images.shape)


def compute_mean_kid(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean of `compute_kid` over 20 random subsets of 1,000 images; of fewer images, that of all.

    Args:
        first: (n, features), n at least 2.
        second: (m, features), m at least 2.
    """
    if max(len(first), len(second)) <= SUBSET_SIZE:
        return compute_kid(first, second)
    generator = np.random.default_rng(0)
    size = min(SUBSET_SIZE, len(first), len(second))
    pairs = ([each[generator.choice(len(each), size, False)] for each in (first, second)] for _ in range(SUBSETS))
    return float(np.mean([compute_kid(*pair) for pair in pairs]))


def compute_kid(first: np.ndarray, second: np.ndarray) -> float:
    """Return the kernel distance of two sets of features: the unbiased squared maximum mean discrepancy with the kernel
    (x y / features + 1)^3.

    Args:
        first: (n, features), n at least 2.
        second: (m, features), m at least 2.

    Returns:
        About 0 for equal distributions; chance can make it negative. Binkowski et al., 2018, arXiv:1801.01401.
    """
    size = first.shape[1]
    own = []
    for features in (first, second):
        kernel = (features.astype(np.float64) @ features.T / size + 1) ** 3
        own.append((kernel.sum() - np.trace(kernel)) / (len(features) * (len(features) - 1)))
    between = (first.astype(np.float64) @ second.T / size + 1) ** 3
    return float(sum(own) - 2 * between.mean())


def compute_fid(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Frechet distance of two sets of features, as of normal distributions: (n, features) and (m, features).

    Heusel et al., 2017, arXiv:1706.08500. Of few images it is too high.
    """
    means = first.mean(0) - second.mean(0)
    one, other = (np.cov(features.T.astype(np.float64)) for features in (first, second))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ other @ root), 0, None)).sum()
    return float((means**2).sum() + np.trace(one) + np.trace(other) - 2 * shared)


def compute_precision_and_recall(real: np.ndarray, generated: np.ndarray) -> tuple[float, float]:
    """Return the shares of generated images among the real ones, and of real ones among those generated.

    An image is among others if it is as close to one of them as that one's third neighbor. Kynkaanniemi et al., 2019,
    arXiv:1904.06991.

    Args:
        real: (n, features).
        generated: (m, features).
    """
    across = _distances(real, generated)
    radius_real, radius_generated = (
        np.partition(_distances(each, each), min(NEIGHBORS, len(each) - 1), axis=1)[:, min(NEIGHBORS, len(each) - 1)]
        for each in (real, generated)
    )
    precision = (across <= radius_real[:, None]).any(0).mean()
    return float(precision), float((across <= radius_generated[None]).any(1).mean())


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return squared distances, (n, m) float64."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.maximum(squares, 0)
