"""Latent vectors, levels of pixels, and the two losses of a generator and its critic."""

from __future__ import annotations

from typing import Any, Literal

from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.encode_images import to_pixels
from dlkit.tasks.image_generation.row_noise import draw_normal


@keras.saving.register_keras_serializable("dlkit")
class DrawLatent(keras.layers.Layer):
    """Draws a latent vector for each row: (batch, 2) or (batch,) int32 seeds to (batch, size) float32, as
    `draw_normal` does."""

    def __init__(self, size: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = size
        self._convert_input_args = False  # the seeds stay integers

    def call(self, seeds: tf.Tensor) -> tf.Tensor:
        return draw_normal(seeds, [self.size])

    def compute_output_spec(self, seeds: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((seeds.shape[0], self.size), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("dlkit")
class StopGradient(keras.layers.Layer):
    """Returns its input, which counts as a constant in the gradient."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.stop_gradient(x)


@keras.saving.register_keras_serializable("dlkit")
class ToLevels(keras.layers.Layer):
    """Converts images in [-1, 1], (batch, height, width, channels) float32, to levels from 0 to 255, uint8."""

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, image: tf.Tensor) -> tf.Tensor:
        return to_pixels(image)

    def compute_output_spec(self, image: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(image.shape, "uint8")


@keras.saving.register_keras_serializable("dlkit")
class AdversarialLoss(keras.layers.Layer):
    """Computes the losses of a critic and of a generator.

    Call with scores of the critic, (batch, 1) float32, high for real images: `real`, of real images; `held`, of
    generated images that count as constants; `generated`, the same scores, where the critic counts as constant. Returns
    a dict of (batch, 1) float32, `critic` and `generator`.

    Args:
        loss: "hinge" (Lim and Ye, 2017, arXiv:1705.02894): max(0, 1 - real) + max(0, 1 + held), and -generated; or
            "non_saturating" (Goodfellow et al., 2014, arXiv:1406.2661), with softplus(-real) + softplus(held), and
            softplus(-generated).

    Raises:
        ValueError: there is no such loss.
    """

    def __init__(self, loss: Literal["hinge", "non_saturating"] = "hinge", **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        if loss not in ("hinge", "non_saturating"):
            raise ValueError(f"`loss` must be hinge or non_saturating. Received: loss={loss!r}.")
        self.loss = loss

    def call(self, real: tf.Tensor, held: tf.Tensor, generated: tf.Tensor) -> dict[str, tf.Tensor]:
        if self.loss == "hinge":
            return {"critic": tf.nn.relu(1.0 - real) + tf.nn.relu(1.0 + held), "generator": -generated}
        return {"critic": tf.nn.softplus(-real) + tf.nn.softplus(held), "generator": tf.nn.softplus(-generated)}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "loss": self.loss}
