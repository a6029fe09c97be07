"""Conversion of logits to masks of the size of the original image, and of masks to the size of the network's input."""

from __future__ import annotations

from typing import Any, Literal

from dlkit.lazy import keras, tf
from dlkit.tasks.image_segmentation.mask_png import IGNORE_CLASS
from dlkit.vision.decode_image import pad_frame

MAX_STRIP_LOGITS = 2**22  # maximum number of resized logits in memory at a time


@keras.saving.register_keras_serializable("dlkit")
class LogitsToMasks(keras.layers.Layer):
    """Convert logits to masks of the size of the original images, encoded as PNG.

    Removes the padding of letterboxed images, resizes the logits bilinearly and takes the best class of each pixel.
    Logits are resized in strips, so that memory does not grow with the size of the image.

    Inputs: `logits`, (batch, height, width, classes) float, and `original_size`, (batch, 2) int32, height and width in
    pixels. Output: (batch,) string, a grayscale 8-bit PNG of class ids for each image.

    Args:
        resize: "stretch" or "pad": how the images were resized to the network's input.

    Examples:
        >>> import tensorflow as tf
        >>> from dlkit.tasks.image_segmentation.logits_to_masks import LogitsToMasks
        >>> png = LogitsToMasks()(tf.zeros((1, 8, 8, 2)), tf.constant([[30, 40]]))
        >>> tf.io.decode_png(png[0]).shape
        TensorShape([30, 40, 1])
    """

    def __init__(self, resize: Literal["stretch", "pad"] = "stretch", **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if resize not in ("stretch", "pad"):
            raise ValueError(f"`resize` must be stretch or pad. Received: resize={resize!r}.")
        self.resize = resize

    def call(self, logits: tf.Tensor, original_size: tf.Tensor) -> tf.Tensor:
        height, width = logits.shape[1:3]
        resized_size, offset = tf.broadcast_to([height, width], tf.shape(original_size)), tf.zeros_like(original_size)
        if self.resize == "pad":
            resized_size, offset = pad_frame(original_size, height, width)

        def convert_row(row: tuple[tf.Tensor, ...]) -> tf.Tensor:
            row_logits, size, inner_size, start = row
            end = start + inner_size
            return encode_png_mask(resize_and_classify(row_logits[start[0] : end[0], start[1] : end[1]], size))

        rows = (tf.cast(logits, tf.float32), original_size, resized_size, offset)
        return tf.map_fn(convert_row, rows, fn_output_signature=tf.TensorSpec([], tf.string), parallel_iterations=1)

    def compute_output_spec(self, logits: keras.KerasTensor, original_size: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((logits.shape[0],), "string")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "resize": self.resize}


def encode_png_mask(ids: tf.Tensor) -> tf.Tensor:
    """Encode a mask as a grayscale 8-bit PNG: (height, width) uint8 to () string."""
    return tf.io.encode_png(ids[..., tf.newaxis], compression=1)  # masks hardly get smaller at higher levels


def resize_and_classify(logits: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Resize the logits of an image bilinearly, as `tf.image.resize` does, and take the best class of each pixel.

    Args:
        logits: (height, width, classes) float32.
        size: (2,) int32, height and width of the image, in pixels.

    Returns:
        (*size) uint8, class ids.
    """
    upper, lower, vertical = _interpolation_indices(tf.shape(logits)[0], size[0])
    left, right, horizontal = _interpolation_indices(tf.shape(logits)[1], size[1])
    rows_per_strip = tf.maximum(MAX_STRIP_LOGITS // (size[1] * logits.shape[-1]), 1)
    num_strips = (size[0] + rows_per_strip - 1) // rows_per_strip

    def classify_strip(index: tf.Tensor, ids: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        rows = slice(index * rows_per_strip, (index + 1) * rows_per_strip)
        above, below = tf.gather(logits, upper[rows]), tf.gather(logits, lower[rows])
        resized = above + (below - above) * vertical[rows, tf.newaxis, tf.newaxis]
        before, after = tf.gather(resized, left, axis=1), tf.gather(resized, right, axis=1)
        values = before + (after - before) * horizontal[:, tf.newaxis]
        return index + 1, ids.write(index, tf.cast(tf.argmax(values, axis=-1, output_type=tf.int32), tf.uint8))

    ids = tf.TensorArray(tf.uint8, num_strips, infer_shape=False, element_shape=[None, None])
    _, ids = tf.while_loop(lambda index, _: index < num_strips, classify_strip, (0, ids), parallel_iterations=1)
    return ids.concat()


def _interpolation_indices(old_length: tf.Tensor, new_length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Compute bilinear interpolation with half-pixel centers along one axis.

    Returns:
        For each of the `new_length` positions: the indices of both neighbors, int32, and the weight of the second.
    """
    scale = tf.cast(old_length, tf.float32) / tf.cast(new_length, tf.float32)
    positions = (tf.cast(tf.range(new_length), tf.float32) + 0.5) * scale - 0.5
    first = tf.floor(positions)
    indices = [tf.clip_by_value(tf.cast(first + step, tf.int32), 0, old_length - 1) for step in (0, 1)]
    return *indices, positions - first


def decode_png_mask(encoded: tf.Tensor) -> tf.Tensor:
    """Decode a grayscale 8-bit PNG: () string to (height, width, 1) uint8. Fails with INVALID_ARGUMENT."""
    return tf.io.decode_png(encoded, channels=1)


def resize_masks(encoded: tf.Tensor, height: int, width: int, resize: Literal["stretch", "pad"]) -> tf.Tensor:
    """Resize masks to the size of the network's input, with the nearest pixel.

    Args:
        encoded: (batch,) string, grayscale 8-bit PNGs.
        height, width: size of the network's input, in pixels.
        resize: "stretch" or "pad", as for the images. Padding belongs to the ignored class.

    Returns:
        (batch, height, width) uint8, class ids.
    """
    target_size = tf.constant([height, width])

    def convert_row(png: tf.Tensor) -> tf.Tensor:
        mask = decode_png_mask(png)
        resized_size, offset = (
            pad_frame(tf.shape(mask)[:2], height, width)
            if resize == "pad"
            else (target_size, tf.zeros_like(target_size))
        )
        resized = tf.image.resize(mask, resized_size, "nearest")[..., 0]
        padded = tf.pad(
            resized, tf.stack([offset, target_size - resized_size - offset], 1), constant_values=IGNORE_CLASS
        )
        return tf.ensure_shape(padded, [height, width])

    return tf.map_fn(convert_row, encoded, fn_output_signature=tf.TensorSpec([height, width], tf.uint8))
