"""Masks as a segmenter's targets: pixel for pixel where `DecodeImage` puts the image."""

import tensorflow as tf

from dlkit.data.mask_facts import NO_CLASS
from dlkit.layers.decode_image import pad_frame


def decode_mask(encoded):
    """() string, a grey 8-bit PNG, to (height, width, 1) uint8 class ids. A broken one fails with INVALID_ARGUMENT."""
    return tf.io.decode_png(encoded, channels=1)


def fit_masks(encoded, height, width, fit):
    """Masks at the size of the network's image.

    Args:
        encoded: (batch,) string, grey 8-bit PNGs.
        height, width: of the network's image.
        fit: "stretch" or "pad", as for the image. What "pad" adds is no class.

    Returns:
        (batch, height, width) uint8, class ids: of the nearest pixel.
    """
    wanted = tf.constant([height, width])

    def of_row(png):
        mask = decode_mask(png)
        inner, before = (
            pad_frame(tf.shape(mask)[:2], height, width) if fit == "pad" else (wanted, tf.zeros_like(wanted))
        )
        resized = tf.image.resize(mask, inner, "nearest")[..., 0]
        padded = tf.pad(resized, tf.stack([before, wanted - inner - before], 1), constant_values=NO_CLASS)
        return tf.ensure_shape(padded, [height, width])

    return tf.map_fn(of_row, encoded, fn_output_signature=tf.TensorSpec([height, width], tf.uint8))
