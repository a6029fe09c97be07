"""The signatures of a variational autoencoder beside the default one: `encode`, `decode`, `reconstruct` and `score`.

Networks run on one row after another, so that the numbers and the bytes of a row are the same in any batch: products
of matrices round otherwise for batches of another size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dlkit.columns import Column, Image, tensor_specs
from dlkit.layers.blank_invalid_rows import BlankInvalidRows
from dlkit.layers.micro_batches import in_micro_batches
from dlkit.lazy import tf
from dlkit.rows import ERROR
from dlkit.serving.signature import Signature
from dlkit.tasks.image_generation.columns import Latent
from dlkit.tasks.image_generation.encode_images import EncodePng
from dlkit.tasks.image_generation.image_scores import PERCENTILES, measure_images, objective_of, to_percentile
from dlkit.tasks.image_generation.likelihood import expected_image
from dlkit.tasks.image_generation.rows import IMAGE
from dlkit.tasks.image_generation.vae import NegativeElbo

if TYPE_CHECKING:
    from dlkit.tasks.image_generation.task import ImageGenerator

Tensors = dict[str, tf.Tensor]


def make_signatures(task: ImageGenerator) -> list[Signature]:
    """Make the signatures of a fitted task; `score` only if validation images tell what scores are usual."""
    objective = objective_of(task.stages_.network)
    percentiles = task.calibration_.get(PERCENTILES)

    def encode(image: tf.Tensor) -> Tensors:
        return {"latent": in_micro_batches(objective.encoder, {"image": image}, 1)["mean"]}

    def reconstruct(image: tf.Tensor) -> Tensors:
        return {"image_bytes": _draw(objective, encode(image)["latent"])}

    def score(image: tf.Tensor) -> Tensors:
        found = measure_images(objective, image)
        return {"anomaly": to_percentile(found["excess"], percentiles or []), "negative_elbo": found["negative_elbo"]}

    by_image = {"encode": encode, "reconstruct": reconstruct, **({"score": score} if percentiles else {})}
    signatures = [_image_signature(task, name, function) for name, function in by_image.items()]
    return [*signatures, _decode_signature(task, objective)]


def _image_signature(task: ImageGenerator, name: str, function: Callable[[tf.Tensor], Tensors]) -> Signature:
    """Make a signature of image files; those that cannot be read are answered with `error`, and nothing else."""
    read, blank = task.image_decoder(), BlankInvalidRows()

    def answer(tensors: Tensors) -> Tensors:
        decoded = read(tensors[IMAGE])
        return {**blank(decoded[ERROR], function(decoded["image"])), ERROR: decoded[ERROR]}

    columns: dict[str, Column] = {IMAGE: Image()}
    return Signature(name, answer, tensor_specs(columns), example=lambda raw: _draw_images(task, raw), columns=columns)


def _decode_signature(task: ImageGenerator, objective: NegativeElbo) -> Signature:
    """Make the signature of latent vectors; those that are not finite are answered with `error`."""
    read, blank = task.image_decoder(), BlankInvalidRows()

    def answer(tensors: Tensors) -> Tensors:
        finite = tf.math.is_finite(tensors["latent"])
        error = tf.where(tf.reduce_all(finite, 1), "", "`latent` must be finite numbers.")
        drawn = _draw(objective, tf.where(finite, tensors["latent"], 0.0))
        return {**blank(error, {"image_bytes": drawn}), ERROR: error}

    def make_example(raw: Tensors) -> Tensors:
        image = read(_draw_images(task, raw)[IMAGE])["image"]
        return {"latent": objective.encoder({"image": image})["mean"]}

    latents = objective.prior.latents
    spec = {"latent": tf.TensorSpec([None, latents], tf.float32)}
    return Signature("decode", answer, spec, example=make_example, columns={"latent": Latent(length=latents)})


def _draw(objective: NegativeElbo, latent: tf.Tensor) -> tf.Tensor:
    """Decode latent vectors to PNG files, (batch,) string."""
    parameters = in_micro_batches(objective.decoder, {"latent": latent}, 1)["parameters"]
    return EncodePng()(expected_image(parameters, objective.likelihood))


def _draw_images(task: ImageGenerator, raw: Tensors) -> Tensors:
    return {IMAGE: task.predict_tensors(raw)["image_bytes"]}
