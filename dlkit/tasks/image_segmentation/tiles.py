"""Large images piece by piece: overlapping windows of the network's size, at the image's own scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.tasks.image_segmentation.encode_masks import decode_mask, encode_mask
from dlkit.tasks.image_segmentation.mask_png import NO_CLASS
from dlkit.vision.decode_image import DecodeImage


@keras.saving.register_keras_serializable("dlkit")
class SegmentTiles(keras.layers.Layer):
    """Runs a network on overlapping windows of each image and blends their logits.

    Input: (batch,) string, whole encoded image files. Output: (batch,) string: a grey 8-bit PNG of class ids for each
    row, of its image's size; where rows may have errors, a dict of that as `mask_bytes`, and of `error`. Images are
    read one after another and windows one by one, so that a row's answer does not depend on the others. Logits are
    held for one line of windows at a time.

    Windows are spread evenly from border to border. Where they overlap, each counts by a squared sine that falls to
    its border, so that there is no seam. An image smaller than the window lies in the middle of black.

    Args:
        network: from `image`, (batch, height, width, channels) uint8, to `logits`, (batch, height, width, classes).
        overlap: share of a window, 0 to 0.9, that its neighbour covers too, at least.
        max_pixels: larger images are refused before they are decoded.
        reading: further options of `DecodeImage`.
    """

    def __init__(
        self,
        network: keras.Model,
        overlap: float = 0.25,
        max_pixels: int = 50_000_000,
        reading: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= overlap <= 0.9:
            raise ValueError(f"`overlap` must be between 0 and 0.9. Received: overlap={overlap}.")
        self.network, self.overlap, self.max_pixels, self.reading = network, overlap, max_pixels, dict(reading or {})
        shape: tuple[int, int, int] = network.input["image"].shape[1:]
        self._size, self._classes = shape[:2], network.output["logits"].shape[-1]
        self.decode = DecodeImage(*shape, max_pixels=max_pixels, **self.reading)
        self.decode.build([None])  # it has nothing to build, which Keras would warn of
        self._convert_input_args = False

    def call(self, image: tf.Tensor) -> tf.Tensor | dict[str, tf.Tensor]:
        masks, errors = self.decode.predict_batch(image, self._mask_of, tf.TensorSpec([], tf.string))
        return {"mask_bytes": masks, "error": errors} if self.decode.with_error else masks

    def _mask_of(self, pixels: tf.Tensor) -> tf.Tensor:
        """(any height, any width, channels) uint8 to () string."""
        size = tf.shape(pixels)[:2]
        pixels, before = _padded(pixels, self._size)
        tops, lefts = (
            spread(tf.shape(pixels)[axis], self._size[axis], self._count(tf.shape(pixels)[axis], self._size[axis]))
            for axis in (0, 1)
        )

        def window(top: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
            seen = tf.slice(pixels, [top, left, 0], [*self._size, pixels.shape[-1]])
            logits = self.network({"image": seen[tf.newaxis]}, training=False)["logits"][0]
            return tf.transpose(tf.cast(logits, tf.float32), [1, 0, 2])  # columns first: they are blended first

        def strip(top: tf.Tensor) -> tf.Tensor:
            columns = _blend(lefts, self._size[1], lambda left: window(top, left), [self._size[0], self._classes])
            return tf.transpose(columns, [1, 0, 2])

        def best(logits: tf.Tensor) -> tf.Tensor:
            return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)

        shape = [tf.shape(pixels)[1], self._classes]
        ids = _blend(tops, self._size[0], strip, shape, best, tf.TensorSpec([None], tf.uint8))
        return encode_mask(tf.slice(ids, before, size))

    def _count(self, length: tf.Tensor, window: int) -> tf.Tensor:
        """How many windows reach from border to border with the overlap."""
        step = max(round(window * (1 - self.overlap)), 1)
        return (length - window + step - 1) // step + 1

    def compute_output_spec(self, image: keras.KerasTensor) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
        made = {name: keras.KerasTensor((image.shape[0],), "string") for name in ("mask_bytes", "error")}
        return made if self.decode.with_error else made["mask_bytes"]

    def get_config(self) -> dict[str, Any]:
        network = keras.saving.serialize_keras_object(self.network)
        own = {"overlap": self.overlap, "max_pixels": self.max_pixels, "reading": self.reading}
        return {**super().get_config(), "network": network, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)


def spread(length: tf.Tensor, window: int, count: int | tf.Tensor) -> tf.Tensor:
    """(count,) int32: where windows begin that are spread evenly over a length, from its begin to its end."""
    room, last = tf.cast(length - window, tf.float32), tf.cast(tf.maximum(count - 1, 1), tf.float32)
    return tf.cast(tf.round(tf.cast(tf.range(count), tf.float32) * room / last), tf.int32)


def cut_tiles(
    image: tf.Tensor, encoded_mask: tf.Tensor, decode: DecodeImage, counts: Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Windows of images with their masks, to train on what `SegmentTiles` will see.

    Args:
        image: (batch,) string, whole encoded image files.
        encoded_mask: (batch,) string, grey 8-bit PNGs of the same sizes.
        decode: reads the images; its size is that of a window.
        counts: how many windows one below the other, and side by side.

    Returns:
        (batch * windows, height, width, channels) uint8, and (batch * windows, height, width) uint8 class ids; beyond
        the image black, and no class; and what is wrong with each image, (batch,) string.
    """
    windows, size, channels = math.prod(counts), (decode.height, decode.width), decode.channels

    def cut(pixels: tf.Tensor) -> tf.Tensor:
        starts = [spread(tf.shape(pixels)[axis], size[axis], counts[axis]) for axis in (0, 1)]
        places = tf.stack(tf.meshgrid(*starts, indexing="ij"), axis=-1)
        shape = [*size, pixels.shape[-1]]
        return tf.map_fn(
            lambda place: tf.ensure_shape(tf.slice(pixels, tf.pad(place, [[0, 1]]), shape), shape),
            tf.reshape(places, [windows, 2]),
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )

    spec = tf.TensorSpec([windows, *size, channels], tf.uint8)
    images, errors = decode.predict_batch(image, lambda pixels: cut(_padded(pixels, size)[0]), spec)
    masks = tf.map_fn(
        lambda png: cut(_padded(decode_mask(png), size, NO_CLASS)[0]),
        encoded_mask,
        fn_output_signature=tf.TensorSpec([windows, *size, 1], tf.uint8),
    )
    return tf.reshape(images, [-1, *size, channels]), tf.reshape(masks, [-1, *size]), errors


def tiles_of(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """How many windows of a size cover an image of this one, one below the other and side by side."""
    return -(-height // size[0]), -(-width // size[1])


def _padded(pixels: tf.Tensor, size: tuple[int, int], value: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
    """An image of at least this size, with itself in the middle; and the rows above and columns left of it."""
    missing = tf.maximum(tf.constant(list(size)) - tf.shape(pixels)[:2], 0)
    before = missing // 2
    paddings = tf.pad(tf.stack([before, missing - before], 1), [[0, 1], [0, 0]])
    padded = tf.pad(pixels, paddings, constant_values=value)
    return tf.ensure_shape(padded, [None, None, pixels.shape[-1]]), before


def _blend(
    starts: tf.Tensor,
    length: int,
    piece: Callable[[tf.Tensor], tf.Tensor],
    shape: Sequence[int | tf.Tensor],
    finish: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    finished: tf.TensorSpec | None = None,
) -> tf.Tensor:
    """Pieces that overlap along their first axis, joined: each place gets the weighted mean of those that cover it.

    Args:
        starts: (pieces,) int32, where each begins, in order; the last one ends at the end.
        length: of a piece.
        piece: from its start to (length, *shape) float32.
        shape: of a place in it; integers and () int32 tensors.
        finish: what to make of (places, *shape), for which no further piece counts.
        finished: the specification of a place of that.

    Returns:
        (all places, ...).
    """
    known = [None if tf.is_tensor(side) else side for side in shape]
    finished = finished or tf.TensorSpec(known, tf.float32)
    weights = tf.square(tf.sin((tf.range(length, dtype=tf.float32) + 0.5) * (math.pi / length)))
    ends = tf.concat([starts[1:], starts[-1:] + length], axis=0)  # of what no later piece covers
    places = tf.reshape(starts[:, tf.newaxis] + tf.range(length), [-1])
    covered = tf.math.unsorted_segment_sum(tf.tile(weights, tf.shape(starts)), places, ends[-1])
    aligned = [-1] + [1] * len(shape)

    def add(number: tf.Tensor, total: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        start, end = starts[number], ends[number]
        total += piece(start) * tf.reshape(weights, aligned)
        done = total[: end - start] / tf.reshape(covered[start:end], aligned)
        following = tf.concat([total[end - start :], tf.zeros([end - start, *shape])], axis=0)
        return number + 1, tf.ensure_shape(following, [length, *known]), parts.write(number, finish(done))

    parts = tf.TensorArray(finished.dtype, tf.size(starts), infer_shape=False, element_shape=[None, *finished.shape])
    state = (0, tf.ensure_shape(tf.zeros([length, *shape]), [length, *known]), parts)
    return tf.while_loop(lambda number, *_: number < tf.size(starts), add, state, parallel_iterations=1)[2].concat()
