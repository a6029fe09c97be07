"""Differentiable augmentation: random changes through which the gradient of a critic reaches the generator."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.image_generation.row_noise import draw_uniform

SHIFT, CUTOUT = 1 / 8, 1 / 2  # shares of the side
DRAWS = 8


@keras.saving.register_keras_serializable("dlkit")
class AugmentImages(keras.layers.Layer):
    """Changes brightness, saturation and contrast, shifts images and cuts out a square, in training only.

    Zhao et al., 2020, arXiv:2006.10738: translation, cutout and color. Real and generated images are changed alike, so
    that the critic cannot learn the real ones by heart, and the generator does not learn the changes.

    Call with `image`: (batch, height, width, channels) float32, in [-1, 1], and `row_seed`: (batch, 2) int32. Returns
    images of the same shape.

    Args:
        share: probability that an image is changed, in [0, 1].
        stream: added to the second number of the seeds, so that others draw other numbers from them.
    """

    def __init__(self, share: float, stream: int, **kwargs: Any):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.share, self.stream = share, stream
        self._convert_input_args = False  # the seeds stay integers

    def call(self, image: tf.Tensor, row_seed: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or not self.share:
            return image
        draws = draw_uniform(tf.math.add(row_seed, [0, self.stream]), [DRAWS])
        chosen, color, shift, hole = tf.split(draws, [1, 3, 2, 2], 1)
        changed = cut_out(translate(change_color(image, color), shift), hole)
        return tf.where((chosen < self.share)[:, :, tf.newaxis, tf.newaxis], changed, image)

    def compute_output_spec(self, image: keras.KerasTensor, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(image.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "share": self.share, "stream": self.stream}


def change_color(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Change brightness by up to a quarter of the range, saturation by up to 100 % and contrast by up to 50 %.

    Args:
        image: (batch, height, width, channels) float32, in [-1, 1].
        draws: (batch, 3) in [0, 1), uniform.
    """
    brightness, saturation, contrast = tf.split(draws[:, :, tf.newaxis, tf.newaxis], 3, 1)
    image += brightness - 0.5
    gray = tf.reduce_mean(image, 3, keepdims=True)
    image = gray + (image - gray) * 2.0 * saturation
    middle = tf.reduce_mean(image, [1, 2, 3], keepdims=True)
    return middle + (image - middle) * (contrast + 0.5)


def translate(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Shift images by up to an eighth of each side; pixels from outside are 0, a middle gray.

    Args:
        image: (batch, height, width, channels) float32.
        draws: (batch, 2) in [0, 1), uniform: down and to the right, if above 1/2.
    """
    for axis, letters in ((1, "byj,bjxc->byxc"), (2, "bxj,byjc->byxc")):
        side = image.shape[axis]
        offset = _draw_integer(draws[:, axis - 1], -round(SHIFT * side), round(SHIFT * side))
        source = tf.range(side) - offset[:, tf.newaxis]  # of each pixel; a row of zeros where there is none
        # A product of matrices, unlike a gather, has a gradient without additions in a random order.
        image = tf.einsum(letters, tf.one_hot(source, side), image)
    return image


def cut_out(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Set a square of half the sides to 0; it may reach over the edges.

    Args:
        image: (batch, height, width, channels) float32.
        draws: (batch, 2) in [0, 1), uniform: the center, from the upper left to the lower right corner.
    """
    inside = []
    for axis in (1, 2):
        side = image.shape[axis]
        size = round(CUTOUT * side)
        first = _draw_integer(draws[:, axis - 1], 0, side - size % 2) - size // 2
        place = tf.range(side) - first[:, tf.newaxis]
        inside.append((place >= 0) & (place < size))
    hole = inside[0][:, :, tf.newaxis, tf.newaxis] & inside[1][:, tf.newaxis, :, tf.newaxis]
    return tf.where(hole, 0.0, image)


def _draw_integer(draws: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """Turn uniform values in [0, 1) into integers from `low` to `high`, int32."""
    return low + tf.cast(tf.floor(draws * (high - low + 1)), tf.int32)
