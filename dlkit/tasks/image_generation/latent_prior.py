"""The distribution of the latent vectors of a variational autoencoder, learned by label."""

from __future__ import annotations

import math
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.unet import LabelEmbedding

LARGEST_LOG_SCALE = 2.0  # of a coupling


@keras.saving.register_keras_serializable("dlkit")
class LatentPrior(keras.layers.Layer):
    """Maps standard normal noise to latent vectors and back, depending on the label.

    Affine couplings (Dinh et al., 2017, arXiv:1605.08803): each shifts and scales one half of the vector by a function
    of the other half and the label, so that it can be inverted and its density is known.

    Call with `latent`: (batch, latents) float32 and `label_id`: (batch,) int32, 0 for no label. Returns the logarithm
    of the density in nats, (batch,) float32.

    Args:
        latents: length of the vectors, at least 2.
        num_labels: number of labels, at least 1.
        couplings: number of couplings.
        hidden: units of the hidden layer of each coupling.
    """

    def __init__(self, latents: int, num_labels: int, couplings: int = 4, hidden: int = 128, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.latents, self.num_labels, self.couplings, self.hidden = latents, num_labels, couplings, hidden
        self._convert_input_args = False
        self.label = LabelEmbedding(num_labels, hidden, dtype="float32", name="label")
        self.first = [keras.layers.Dense(hidden, dtype="float32", name=f"first_{n}") for n in range(couplings)]
        self.last = [
            keras.layers.Dense(2 * len(self._moved(n)), kernel_initializer="zeros", dtype="float32", name=f"last_{n}")
            for n in range(couplings)
        ]
        self.known = [
            keras.layers.Dense(hidden, use_bias=False, dtype="float32", name=f"known_{n}") for n in range(couplings)
        ]

    def build(self, *shapes: Any) -> None:
        self.label.build((None,))
        for number in range(self.couplings):
            self.first[number].build((None, self.latents - len(self._moved(number))))
            self.known[number].build((None, self.hidden))
            self.last[number].build((None, self.hidden))

    def call(self, latent: tf.Tensor, label_id: tf.Tensor) -> tf.Tensor:
        known, noise, log_scales = self.label(label_id), latent, tf.zeros_like(latent[:, 0])
        for number in reversed(range(self.couplings)):
            shift, log_scale = self._shift_and_scale(number, noise, known)
            noise = (noise - shift) * tf.exp(-log_scale)
            log_scales += tf.reduce_sum(log_scale, 1)
        return -0.5 * tf.reduce_sum(tf.square(noise) + math.log(2 * math.pi), 1) - log_scales

    def draw(self, noise: tf.Tensor, label_id: tf.Tensor) -> tf.Tensor:
        """Map standard normal noise, (batch, latents) float32, to latent vectors of that shape."""
        known, latent = self.label(label_id), noise
        for number in range(self.couplings):
            shift, log_scale = self._shift_and_scale(number, latent, known)
            latent = latent * tf.exp(log_scale) + shift
        return latent

    def _moved(self, number: int) -> list[int]:
        """Return the indices of the half that a coupling moves: every second one, or those between."""
        return [*range(number % 2, self.latents, 2)]

    def _shift_and_scale(self, number: int, vector: tf.Tensor, known: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return shift and logarithm of the scale, (batch, latents) each, which are 0 in the half that stays."""
        stays = vector[:, 1 - number % 2 :: 2]
        hidden = tf.nn.silu(self.first[number](stays) + self.known[number](known))
        shift, log_scale = tf.split(self.last[number](hidden), 2, 1)
        place = tf.one_hot(self._moved(number), self.latents)
        return shift @ place, LARGEST_LOG_SCALE * tf.tanh(log_scale / LARGEST_LOG_SCALE) @ place

    def compute_output_spec(self, latent: keras.KerasTensor, label_id: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(latent.shape[:1], "float32")

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("latents", "num_labels", "couplings", "hidden")}
        return {**super().get_config(), **own}
