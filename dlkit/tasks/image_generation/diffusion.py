"""Diffusion: noise that is added to images, and the sampler that takes it away step by step.

An image x at the time t in [0, 1] is alpha x + sigma e, with noise e, alpha = cos(pi t / 2) and sigma = sin(pi t / 2).
The network predicts the velocity alpha e - sigma x (Salimans and Ho, 2022, arXiv:2202.00512), from which follow both:
x = alpha z - sigma v and e = sigma z + alpha v.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.encode_images import to_pixels
from dlkit.tasks.image_generation.row_noise import draw_normal, draw_uniform


def signal_and_noise(time: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return alpha and sigma, (batch, 1, 1, 1) each, at a time, (batch,) in [0, 1].

    The cosine schedule of Nichol and Dhariwal, 2021, arXiv:2102.09672, without its offset.
    """
    angle = (math.pi / 2) * time[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.cos(angle), tf.sin(angle)


@keras.saving.register_keras_serializable("dlkit")
class AddNoise(keras.layers.Layer):
    """Adds noise to images at a random time of each row.

    Call with `image`: (batch, height, width, channels) uint8 and `row_seed`: (batch, 2) int32. Returns a dict, float32:
        noisy_image: (batch, height, width, channels), of images in [-1, 1].
        time: (batch,), uniform in [0, 1).
        velocity: (batch, height, width, channels), what the network is to predict.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self._convert_input_args = False  # the seeds stay integers

    def call(self, image: tf.Tensor, row_seed: tf.Tensor) -> dict[str, tf.Tensor]:
        time = draw_uniform(row_seed)
        noise = draw_normal(tf.math.add(row_seed, [0, 1]), image.shape[1:])
        clean, (alpha, sigma) = tf.cast(image, tf.float32) / 127.5 - 1.0, signal_and_noise(time)
        return {"noisy_image": alpha * clean + sigma * noise, "time": time, "velocity": alpha * noise - sigma * clean}

    def compute_output_spec(self, image: keras.KerasTensor, row_seed: keras.KerasTensor) -> dict[str, Any]:
        shapes = {"noisy_image": image.shape, "time": image.shape[:1], "velocity": image.shape}
        return {name: keras.KerasTensor(shape, "float32") for name, shape in shapes.items()}


@keras.saving.register_keras_serializable("dlkit")
class MeanSquaredDifference(keras.layers.Layer):
    """Computes the mean squared difference of two images of each row: (batch, 1) float32."""

    def __init__(self, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.math.squared_difference(first, second), [1, 2, 3])[:, tf.newaxis]


@keras.saving.register_keras_serializable("dlkit")
class DiffusionSampler(keras.layers.Layer):
    """Generates images: starts with noise and takes it away, in a number of steps of each row.

    The image of a row does not depend on the other rows of its batch.

    Call with `seed`: (batch,) int32; `label_id`: (batch,) int32, 0 for no label; `steps`: (batch,) int32, at least 1;
    `guidance`: (batch,) float32. Returns `image`: (batch, height, width, channels) uint8.

    With guidance g the velocity is v(no label) + g (v(label) - v(no label)): classifier-free guidance (Ho and Salimans,
    2022, arXiv:2207.12598).

    Args:
        network: predicts the velocity; see `dlkit.tasks.image_generation.unet.unet`.
        sampler: "ddim" (Song et al., 2020, arXiv:2010.02502), which adds no noise on the way, or "ancestral" (Ho et
            al., 2020, arXiv:2006.11239).
        labeled: whether the network knows labels; else guidance changes nothing.

    Raises:
        ValueError: the sampler is unknown.
    """

    def __init__(
        self, network: keras.Model, sampler: Literal["ddim", "ancestral"] = "ddim", labeled: bool = True, **kwargs: Any
    ):
        super().__init__(**{"dtype": "float32", **kwargs})
        if sampler not in ("ddim", "ancestral"):
            raise ValueError(f"`sampler` must be ddim or ancestral. Received: sampler={sampler!r}.")
        self.network, self.sampler, self.labeled = network, sampler, labeled
        self._convert_input_args = False

    @property
    def image_shape(self) -> Sequence[int]:
        """Height, width and channels of the images."""
        return self.network.input["noisy_image"].shape[1:]

    def call(self, seed: tf.Tensor, label_id: tf.Tensor, steps: tf.Tensor, guidance: tf.Tensor) -> tf.Tensor:
        request = {"seed": seed, "label_id": label_id, "steps": steps, "guidance": guidance}
        return self.denoise(self.draw(seed), request)

    def draw(self, seed: tf.Tensor) -> tf.Tensor:
        """Draw the noise that each row begins with: (batch,) int32 to (batch, height, width, channels) float32."""
        return self._noise(seed, tf.constant(0))

    def denoise(self, noise: tf.Tensor, request: dict[str, tf.Tensor]) -> tf.Tensor:
        """Generate images, uint8, from given noise; `request` has the arguments of the call."""
        most = tf.reduce_max(tf.concat([request["steps"], [0]], 0))  # of no row at all, 0
        shapes = [tf.TensorShape([]), tf.TensorShape([None, *self.image_shape])]
        _, image = tf.while_loop(
            lambda number, _: number < most,
            lambda number, noisy: (number + 1, self.step(number, noisy, request)),
            [0, noise],
            shape_invariants=shapes,
        )
        return to_pixels(image)

    def step(self, number: tf.Tensor, noisy: tf.Tensor, request: dict[str, tf.Tensor]) -> tf.Tensor:
        """Take a step, () int32 from 0, with the rows that have so many; the others stay as they are."""
        steps = request["steps"]
        going = (number < steps)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        time, next_time = (_time_of_step(number + offset, steps) for offset in (0, 1))
        velocity = self._velocity(noisy, time, request["label_id"], request["guidance"])
        fresh = self._noise(request["seed"], number + 1) if self.sampler == "ancestral" else None
        return tf.where(going, step_back(noisy, velocity, time, next_time, fresh), noisy)

    def _noise(self, seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        return draw_normal(tf.stack([seed, tf.fill(tf.shape(seed), number)], 1), self.image_shape)

    def _velocity(self, noisy: tf.Tensor, time: tf.Tensor, label_id: tf.Tensor, guidance: tf.Tensor) -> tf.Tensor:
        if not self.labeled:
            return self._predict(noisy, time, label_id)
        twice = [tf.concat([values, values], 0) for values in (noisy, time)]
        velocity = self._predict(twice[0], twice[1], tf.concat([label_id, tf.zeros_like(label_id)], 0))
        given, without = tf.split(velocity, 2)
        return without + guidance[:, tf.newaxis, tf.newaxis, tf.newaxis] * (given - without)

    def _predict(self, noisy: tf.Tensor, time: tf.Tensor, label_id: tf.Tensor) -> tf.Tensor:
        tensors = {"noisy_image": noisy, "time": time, "label_id": label_id}
        return self.network(tensors, training=False)["velocity"]

    def compute_output_spec(self, seed: keras.KerasTensor, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((seed.shape[0], *self.image_shape), "uint8")

    def get_config(self) -> dict[str, Any]:
        own = {"network": keras.saving.serialize_keras_object(self.network)}
        return {**super().get_config(), **own, "sampler": self.sampler, "labeled": self.labeled}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)


def step_back(
    noisy: tf.Tensor, velocity: tf.Tensor, time: tf.Tensor, next_time: tf.Tensor, fresh: tf.Tensor | None = None
) -> tf.Tensor:
    """Take images from a time to an earlier one.

    Args:
        noisy: (batch, height, width, channels) float32, the images at `time`.
        velocity: their predicted velocity, of the same shape.
        time: (batch,) float32, above 0 and at most 1.
        next_time: (batch,) float32, at least 0 and below `time`.
        fresh: new noise of the shape of the images, of the ancestral sampler; None for DDIM.

    Returns:
        The images at `next_time`. The predicted clean image is clipped to [-1, 1] on the way.
    """
    alpha, sigma = signal_and_noise(time)
    next_alpha, next_sigma = signal_and_noise(next_time)
    clean = tf.clip_by_value(alpha * noisy - sigma * velocity, -1.0, 1.0)
    noise = (noisy - alpha * clean) / tf.maximum(sigma, 1e-6)
    if fresh is None:
        return next_alpha * clean + next_sigma * noise
    # The variance of the posterior of the forward process, which is all of it from pure noise.
    kept = tf.square(alpha / tf.maximum(next_alpha, 1e-6))
    added = tf.minimum(tf.square(next_sigma / tf.maximum(sigma, 1e-6)) * (1.0 - kept), tf.square(next_sigma))
    added = tf.maximum(added, 0.0)
    return next_alpha * clean + tf.sqrt(tf.square(next_sigma) - added) * noise + tf.sqrt(added) * fresh


def _time_of_step(number: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Return the time before a step, (batch,) float32: 1 before the first, 0 after the last."""
    share = tf.cast(number, tf.float32) / tf.cast(tf.maximum(steps, 1), tf.float32)
    return tf.clip_by_value(1.0 - share, 0.0, 1.0)
