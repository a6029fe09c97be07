"""Variational autoencoders: the bound that is maximized, and images from latent vectors.

An encoder maps an image x to a normal distribution q(z | x) of latent vectors, a decoder maps latent vectors to a
distribution p(x | z) of images, and a prior p(z | label) is learned. The evidence lower bound

    ELBO = E_q [log p(x | z)] - E_q [log q(z | x) - log p(z | label)]

is at most the logarithm of the probability of the image (Kingma and Welling, 2013, arXiv:1312.6114). The second term,
the divergence, is estimated with the same latent vectors as the first one.
"""

from __future__ import annotations

import math
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.latent_prior import LatentPrior
from dlkit.tasks.image_generation.likelihood import PARAMETERS, Likelihood, expected_image, log_likelihood
from dlkit.tasks.image_generation.row_noise import draw_normal


@keras.saving.register_keras_serializable("dlkit")
class NegativeElbo(keras.layers.Layer):
    """Computes the objective of each row: the negative ELBO in nats for each value of a pixel.

    Call with `image`: (batch, height, width, channels) uint8; `label_id`: (batch,) int32, 0 for no label; `row_seed`:
    (batch, 2) int32, of the noise. Returns (batch, 1) float32.

    Args:
        prior: of the latent vectors.
        decoder: functional model of `latent`, (batch, latents) float32, with the output `parameters`.
        encoder: functional model of `image` with the outputs `mean` and `log_deviation`, (batch, latents) float32.
        likelihood: see `dlkit.tasks.image_generation.likelihood.log_likelihood`.
        beta: weight of the divergence; 1 for the ELBO (Higgins et al., 2017, "beta-VAE").
        free_nats: divergence of an image that costs nothing (Kingma et al., 2016, arXiv:1606.04934).
    """

    def __init__(
        self,
        prior: LatentPrior,
        decoder: keras.Model,
        encoder: keras.Model,
        likelihood: Likelihood = "bernoulli",
        beta: float = 1.0,
        free_nats: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        # The weights of what generates come first: `Stages.decode` has them alone.
        self.prior, self.decoder, self.encoder = prior, decoder, encoder
        self.likelihood, self.beta, self.free_nats = likelihood, beta, free_nats
        self._convert_input_args = False

    def build(self, *shapes: Any) -> None:
        if not self.prior.built:  # which two layers share
            self.prior.build()

    def call(self, image: tf.Tensor, label_id: tf.Tensor, row_seed: tf.Tensor) -> tf.Tensor:
        likelihood, divergence = self.terms(image, label_id, draw_normal(row_seed, [self.prior.latents]))
        if self.free_nats:  # an estimate can be below 0, where nothing is free
            divergence = tf.maximum(divergence, self.free_nats)
        objective = self.beta * divergence - likelihood
        return objective[:, tf.newaxis] / math.prod(image.shape[1:])

    def terms(self, image: tf.Tensor, label_id: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the logarithm of the likelihood and the divergence, (batch,) float32 in nats each.

        Args:
            image: (batch, height, width, channels) uint8.
            label_id: (batch,) int32, 0 for no label.
            noise: (batch, latents) float32, standard normal.
        """
        encoded = self.encoder({"image": image})
        latent = encoded["mean"] + tf.exp(encoded["log_deviation"]) * noise
        log_posterior = -0.5 * tf.reduce_sum(tf.square(noise) + math.log(2 * math.pi) + 2 * encoded["log_deviation"], 1)
        parameters = self.decoder({"latent": latent})["parameters"]
        likelihood = log_likelihood(image, parameters, self.likelihood)
        return likelihood, log_posterior - self.prior(latent, label_id)

    def compute_output_spec(self, image: keras.KerasTensor, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((image.shape[0], 1), "float32")

    def get_config(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in ("prior", "decoder", "encoder")}
        own = {name: getattr(self, name) for name in ("likelihood", "beta", "free_nats")}
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            **own,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name)) for name in ("prior", "decoder", "encoder")
        }
        return cls(**parts, **config)


@keras.saving.register_keras_serializable("dlkit")
class VaeSampler(keras.layers.Layer):
    """Generates images: latent vectors of the prior, decoded.

    Call with `seed`: (batch,) int32 and `label_id`: (batch,) int32, 0 for no label. Returns `image`: (batch, height,
    width, channels) uint8, the mean of the distribution of the pixels.

    Args:
        prior, decoder, likelihood: as of `NegativeElbo`.
    """

    def __init__(self, prior: LatentPrior, decoder: keras.Model, likelihood: Likelihood = "bernoulli", **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.prior, self.decoder, self.likelihood = prior, decoder, likelihood
        self._convert_input_args = False

    def build(self, *shapes: Any) -> None:
        if not self.prior.built:  # which two layers share
            self.prior.build()

    def call(self, seed: tf.Tensor, label_id: tf.Tensor) -> tf.Tensor:
        noise = draw_normal(seed, [self.prior.latents])

        def draw_row(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            latent = self.prior.draw(row[0][tf.newaxis], row[1][tf.newaxis])
            return expected_image(self.decoder({"latent": latent}, training=False)["parameters"], self.likelihood)[0]

        # One row after another: products of matrices round otherwise for batches of another size.
        return tf.map_fn(draw_row, (noise, label_id), fn_output_signature=tf.TensorSpec(self.image_shape, tf.uint8))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        height, width, values = self.decoder.output["parameters"].shape[1:]
        return height, width, values // PARAMETERS[self.likelihood]

    def compute_output_spec(self, seed: keras.KerasTensor, label_id: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((seed.shape[0], *self.image_shape), "uint8")

    def get_config(self) -> dict[str, Any]:
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("prior", "decoder")}
        return {**super().get_config(), **parts, "likelihood": self.likelihood}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        parts = {name: keras.saving.deserialize_keras_object(config.pop(name)) for name in ("prior", "decoder")}
        return cls(**parts, **config)
