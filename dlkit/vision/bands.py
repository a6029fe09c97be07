"""Large images processed in bands of rows, so that wider number types than bytes are never held for the whole image."""

from __future__ import annotations

from collections.abc import Callable

from dlkit.lazy import tf

BAND_VALUES = 2**22  # values of an image that are processed at once


def map_bands(function: Callable[[tf.Tensor], tf.Tensor], image: tf.Tensor, channels: int) -> tf.Tensor:
    """Apply a function of single pixels to an image, band by band if the image is large.

    Args:
        function: from (any height, width, any channels) to (the same height, width, channels) uint8.
        image: (height, width, any channels).
        channels: number of channels of its output.

    Returns:
        (height, width, channels) uint8, the same numbers as `function(image)`.
    """
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    lines = tf.maximum(BAND_VALUES // tf.maximum(width * tf.shape(image)[2], 1), 1)
    bands = (height + lines - 1) // lines

    def band(number: tf.Tensor, made: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        return number + 1, made.write(number, function(image[number * lines : (number + 1) * lines]))

    def all_bands() -> tf.Tensor:
        parts = tf.TensorArray(tf.uint8, bands, infer_shape=False, element_shape=[None, None, channels])
        return tf.while_loop(lambda number, _: number < bands, band, (0, parts), parallel_iterations=1)[1].concat()

    return tf.cond(bands <= 1, lambda: function(image), all_bands)
