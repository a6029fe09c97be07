"""Masks to the network's size and back: class ids of an image's own size from logits, and the way there."""

from __future__ import annotations

from typing import Any, Literal

from dlkit.lazy import keras, tf
from dlkit.tasks.image_segmentation.mask_png import NO_CLASS
from dlkit.vision.decode_image import pad_frame

STRIP = 2**22  # logits that are held at once while a mask is made


@keras.saving.register_keras_serializable("dlkit")
class EncodeMasks(keras.layers.Layer):
    """Cuts away what the letterbox added, resizes logits to the original image, and takes the best class of each pixel.

    Inputs: `logits`: (batch, height, width, classes) float; `original_size`: (batch, 2) int32, height and width.
    Output: (batch,) string: a grey 8-bit PNG of class ids for each row, of its image's size.

    Logits are resized bilinearly, some lines of a row at a time, so that memory does not grow with the image.

    Args:
        fit: "stretch" or "pad": how the image was made to fit.
    """

    def __init__(self, fit: Literal["stretch", "pad"] = "stretch", **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if fit not in ("stretch", "pad"):
            raise ValueError(f"`fit` must be stretch or pad. Received: fit={fit!r}.")
        self.fit = fit

    def call(self, logits: tf.Tensor, original_size: tf.Tensor) -> tf.Tensor:
        height, width = logits.shape[1:3]
        inner, before = tf.broadcast_to([height, width], tf.shape(original_size)), tf.zeros_like(original_size)
        if self.fit == "pad":
            inner, before = pad_frame(original_size, height, width)

        def of_row(row: tuple[tf.Tensor, ...]) -> tf.Tensor:
            values, size, part, start = row
            values = values[start[0] : start[0] + part[0], start[1] : start[1] + part[1]]
            return encode_mask(classes_at(values, size))

        rows = (tf.cast(logits, tf.float32), original_size, inner, before)
        return tf.map_fn(of_row, rows, fn_output_signature=tf.TensorSpec([], tf.string), parallel_iterations=1)

    def compute_output_spec(self, logits: keras.KerasTensor, original_size: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((logits.shape[0],), "string")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fit": self.fit}


def encode_mask(ids: tf.Tensor) -> tf.Tensor:
    """(height, width) uint8 to () string, a grey 8-bit PNG."""
    return tf.io.encode_png(ids[..., tf.newaxis], compression=1)  # 1: masks gain little by more


def classes_at(logits: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The best class of each pixel of an image, whose logits are resized to its size as `tf.image.resize` does it.

    Args:
        logits: (height, width, classes) float32.
        size: (2,) int32, height and width of the image.

    Returns:
        (*size) uint8.
    """
    tops, bottoms, down = _neighbours(tf.shape(logits)[0], size[0])
    lefts, rights, right = _neighbours(tf.shape(logits)[1], size[1])
    lines = tf.maximum(STRIP // (size[1] * logits.shape[-1]), 1)
    strips = (size[0] + lines - 1) // lines

    def strip(number: tf.Tensor, ids: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        rows = slice(number * lines, (number + 1) * lines)
        above, below = tf.gather(logits, tops[rows]), tf.gather(logits, bottoms[rows])
        narrow = above + (below - above) * down[rows, tf.newaxis, tf.newaxis]
        before, behind = tf.gather(narrow, lefts, axis=1), tf.gather(narrow, rights, axis=1)
        values = before + (behind - before) * right[:, tf.newaxis]
        return number + 1, ids.write(number, tf.cast(tf.argmax(values, axis=-1, output_type=tf.int32), tf.uint8))

    ids = tf.TensorArray(tf.uint8, strips, infer_shape=False, element_shape=[None, None])
    _, ids = tf.while_loop(lambda number, _: number < strips, strip, (0, ids), parallel_iterations=1)
    return ids.concat()


def _neighbours(old: tf.Tensor, new: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """For each of `new` places the two of `old` around it, and how far it lies from the first: half-pixel centres."""
    there = (tf.cast(tf.range(new), tf.float32) + 0.5) * (tf.cast(old, tf.float32) / tf.cast(new, tf.float32)) - 0.5
    first = tf.floor(there)
    places = [tf.clip_by_value(tf.cast(first + offset, tf.int32), 0, old - 1) for offset in (0, 1)]
    return *places, there - first


def decode_mask(encoded: tf.Tensor) -> tf.Tensor:
    """() string, a grey 8-bit PNG, to (height, width, 1) uint8 class ids. A broken one fails with INVALID_ARGUMENT."""
    return tf.io.decode_png(encoded, channels=1)


def fit_masks(encoded: tf.Tensor, height: int, width: int, fit: Literal["stretch", "pad"]) -> tf.Tensor:
    """Masks at the size of the network's image.

    Args:
        encoded: (batch,) string, grey 8-bit PNGs.
        height, width: of the network's image.
        fit: "stretch" or "pad", as for the image. What "pad" adds is no class.

    Returns:
        (batch, height, width) uint8, class ids: of the nearest pixel.
    """
    wanted = tf.constant([height, width])

    def of_row(png: tf.Tensor) -> tf.Tensor:
        mask = decode_mask(png)
        inner, before = (
            pad_frame(tf.shape(mask)[:2], height, width) if fit == "pad" else (wanted, tf.zeros_like(wanted))
        )
        resized = tf.image.resize(mask, inner, "nearest")[..., 0]
        padded = tf.pad(resized, tf.stack([before, wanted - inner - before], 1), constant_values=NO_CLASS)
        return tf.ensure_shape(padded, [height, width])

    return tf.map_fn(of_row, encoded, fn_output_signature=tf.TensorSpec([height, width], tf.uint8))
