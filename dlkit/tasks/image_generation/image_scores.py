"""How probable images are to a variational autoencoder, and how unusual that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.data.split import evenly_spaced
from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.likelihood import entropy
from dlkit.tasks.image_generation.row_noise import draw_normal
from dlkit.tasks.image_generation.vae import NegativeElbo

SAMPLES = 8  # latent vectors of each image
MAX_CALIBRATED = 2000  # validation images whose scores are kept
STEPS = 1000  # of the percentiles
PERCENTILES = "percentiles"  # of the scores of validation images, in `Task.calibration_`


def objective_of(network: keras.Model) -> NegativeElbo:
    """Return the layer with the parts of an autoencoder, of the network that is trained."""
    return network.get_layer("objective")  # type: ignore[no-any-return]


def measure_images(objective: NegativeElbo, image: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compute the negative ELBO of images without their labels, always with the same noise.

    Args:
        objective: the layer of a trained network.
        image: (batch, height, width, channels) uint8.

    Returns:
        `negative_elbo`: (batch,) float32 in nats, the mean over `SAMPLES` latent vectors; `excess`: (batch,) float32,
        what of it is above the entropy of the image, which no model can be below: the blacker or whiter its pixels are,
        the less it is, whatever the image shows.
    """
    noise = draw_normal(tf.range(SAMPLES), [objective.prior.latents])
    no_label = tf.zeros([SAMPLES], tf.int32)

    def measure_row(pixels: tf.Tensor) -> tf.Tensor:
        likelihood, divergence = objective.terms(pixels[tf.newaxis], no_label, noise)
        return tf.reduce_mean(divergence - likelihood)

    # One row after another: the memory of a request does not depend on the number of its images.
    elbo = tf.map_fn(measure_row, image, fn_output_signature=tf.TensorSpec([], tf.float32))
    return {"negative_elbo": elbo, "excess": elbo - entropy(image, objective.likelihood)}


def find_percentiles(objective: NegativeElbo, images: np.ndarray) -> list[float]:
    """Return the percentiles of `excess` of validation images, in steps of 100 / `STEPS`.

    Args:
        objective: as of `measure_images`.
        images: (n, height, width, channels) uint8, of which up to `MAX_CALIBRATED` are measured.
    """
    rows = evenly_spaced(len(images), MAX_CALIBRATED)
    measure = tf.function(lambda image: measure_images(objective, image)["excess"], autograph=False)
    found: list[float] = np.quantile(measure(images[rows]).numpy(), np.linspace(0, 1, STEPS + 1)).tolist()
    return found


def to_percentile(excess: tf.Tensor, percentiles: Sequence[float]) -> tf.Tensor:
    """Return the share of validation images with a lower value, 0 to 100, interpolated: (batch,) float32.

    Examples:
        >>> to_percentile(tf.constant([0.0, 1.5, 4.0, 9.0]), [1.0, 2.0, 4.0]).numpy().tolist()
        [0.0, 25.0, 100.0, 100.0]
    """
    known = tf.constant(percentiles, tf.float32)
    steps = len(percentiles) - 1
    upper = tf.clip_by_value(tf.searchsorted(known, excess), 1, steps)
    below, above = tf.gather(known, upper - 1), tf.gather(known, upper)
    share = tf.math.divide_no_nan(excess - below, above - below)
    place = tf.cast(upper - 1, tf.float32) + tf.clip_by_value(share, 0.0, 1.0)
    return 100.0 / steps * place


def score_bound(objective: NegativeElbo, images: np.ndarray) -> dict[str, Any]:
    """Return the metrics of the bound for images, (n, height, width, channels) uint8.

    Returns:
        `negative_elbo`, the mean of an image in nats, and `bits_per_dim`, the same in bits for each value of a pixel.
    """
    measure = tf.function(lambda image: measure_images(objective, image)["negative_elbo"], autograph=False)
    nats = float(np.mean(measure(images).numpy()))
    return {"negative_elbo": nats, "bits_per_dim": nats / np.log(2) / np.prod(images.shape[1:])}
