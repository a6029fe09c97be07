"""Large pictures a band of lines at a time: what is worked out in wider numbers than bytes is never held in whole."""

from __future__ import annotations

from collections.abc import Callable

from dlkit.lazy import tf

BAND_VALUES = 2**22  # values of a picture that are worked on at once


def map_bands(function: Callable[[tf.Tensor], tf.Tensor], image: tf.Tensor, channels: int) -> tf.Tensor:
    """What a function of single pixels makes of a picture, band by band where the picture is larger than one.

    Args:
        function: from (any height, width, any channels) to (the same height, width, channels) uint8.
        image: (height, width, any channels).
        channels: of what it makes.

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
