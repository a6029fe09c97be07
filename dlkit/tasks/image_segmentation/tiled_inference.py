"""Tiled inference on large images: overlapping tiles of the size of the network's input, at the original resolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.tasks.image_segmentation.logits_to_masks import decode_png_mask, encode_png_mask
from dlkit.tasks.image_segmentation.mask_png import IGNORE_CLASS
from dlkit.vision.decode_image import DecodeImage


@keras.saving.register_keras_serializable("dlkit")
class TiledInference(keras.layers.Layer):
    """Run a network on overlapping tiles of each image and blend the logits.

    Input: (batch,) string, encoded images. Outputs: `mask_bytes`, (batch,) string, a grayscale 8-bit PNG of class ids
    for each image, of its size; and `error`, (batch,) string, why an image cannot be read. Images and tiles are
    processed one by one, so that the result of a row does not depend on the other rows. Only the logits of one row of
    tiles are in memory at a time.

    Tiles are spread evenly over the image. Where they overlap, each is weighted by a squared sine that falls to zero at
    its border, so that there are no seams. Images smaller than a tile are padded with black on all sides.

    Args:
        network: model from `image`, (batch, height, width, channels) uint8, to `logits`, (batch, height, width,
            classes).
        overlap: minimum overlap of neighboring tiles, as a fraction of the tile size, between 0 and 0.9.
        max_pixels: maximum number of pixels of an image; larger ones are rejected before decoding.
        decode_options: further arguments of `DecodeImage`.

    Examples:
        >>> import tensorflow as tf
        >>> from dlkit.tasks.image_segmentation.tiled_inference import TiledInference
        >>> from dlkit.tasks.image_segmentation.unet import unet
        >>> layer = TiledInference(unet((16, 16, 3), 2, width=2, depth=1))
        >>> png = tf.io.encode_png(tf.zeros((40, 24, 3), tf.uint8))
        >>> tf.io.decode_png(layer(png[tf.newaxis])["mask_bytes"][0]).shape
        TensorShape([40, 24, 1])
    """

    def __init__(
        self,
        network: keras.Model,
        overlap: float = 0.25,
        max_pixels: int = 50_000_000,
        decode_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= overlap <= 0.9:
            raise ValueError(f"`overlap` must be between 0 and 0.9. Received: overlap={overlap}.")
        self.network, self.overlap, self.max_pixels = network, overlap, max_pixels
        self.decode_options = dict(decode_options or {})
        shape: tuple[int, int, int] = network.input["image"].shape[1:]
        self._size, self._classes = shape[:2], network.output["logits"].shape[-1]
        self.decode = DecodeImage(*shape, max_pixels=max_pixels, **self.decode_options)
        self.decode.build([None])  # nothing to build, which Keras would warn about
        self._convert_input_args = False

    def call(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        masks, errors = self.decode.map_pixels(image, self._segment, tf.TensorSpec([], tf.string))
        return {"mask_bytes": masks, "error": errors}

    def _segment(self, pixels: tf.Tensor) -> tf.Tensor:
        """Segment one image: (height, width, channels) uint8 to () string."""
        size = tf.shape(pixels)[:2]
        pixels, before = _pad_to_size(pixels, self._size)
        lengths = tf.unstack(tf.shape(pixels)[:2])
        tops, lefts = (
            place_tiles(length, tile_length, self._count_tiles(length, tile_length))
            for length, tile_length in zip(lengths, self._size, strict=True)
        )

        def tile_logits(top: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
            tile = tf.slice(pixels, [top, left, 0], [*self._size, pixels.shape[-1]])
            logits = self.network({"image": tile[tf.newaxis]}, training=False)["logits"][0]
            return tf.transpose(tf.cast(logits, tf.float32), [1, 0, 2])  # columns first: they are blended first

        def strip_logits(top: tf.Tensor) -> tf.Tensor:
            columns = _blend_overlapping(
                lefts, self._size[1], lambda left: tile_logits(top, left), [self._size[0], self._classes]
            )
            return tf.transpose(columns, [1, 0, 2])

        def classify(logits: tf.Tensor) -> tf.Tensor:
            return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)

        shape = [tf.shape(pixels)[1], self._classes]
        ids = _blend_overlapping(tops, self._size[0], strip_logits, shape, classify, tf.TensorSpec([None], tf.uint8))
        return encode_png_mask(tf.slice(ids, before, size))

    def _count_tiles(self, length: tf.Tensor, tile_length: int) -> tf.Tensor:
        """Compute the number of tiles that cover a length with the overlap."""
        step = max(round(tile_length * (1 - self.overlap)), 1)
        return (length - tile_length + step - 1) // step + 1

    def compute_output_spec(self, image: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        return {name: keras.KerasTensor((image.shape[0],), "string") for name in ("mask_bytes", "error")}

    def get_config(self) -> dict[str, Any]:
        network = keras.saving.serialize_keras_object(self.network)
        own = {"overlap": self.overlap, "max_pixels": self.max_pixels, "decode_options": self.decode_options}
        return {**super().get_config(), "network": network, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)


def place_tiles(length: tf.Tensor, tile_length: int, count: int | tf.Tensor) -> tf.Tensor:
    """Place tiles evenly over a length.

    Args:
        length: () int32, in pixels.
        tile_length: length of a tile, in pixels.
        count: number of tiles.

    Returns:
        (count,) int32, where each tile starts; the last one ends at `length`.
    """
    room, last = tf.cast(length - tile_length, tf.float32), tf.cast(tf.maximum(count - 1, 1), tf.float32)
    return tf.cast(tf.round(tf.cast(tf.range(count), tf.float32) * room / last), tf.int32)


def extract_tiles(
    image: tf.Tensor, encoded_mask: tf.Tensor, decode: DecodeImage, grid: Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Extract tiles from images and their masks, to train on tiles as `TiledInference` sees them.

    Args:
        image: (batch,) string, encoded images.
        encoded_mask: (batch,) string, grayscale 8-bit PNGs of the same sizes.
        decode: layer that decodes images; its size is that of a tile.
        grid: number of rows and columns of tiles.

    Returns:
        Tiles, (batch * tiles, height, width, channels) uint8; their masks, (batch * tiles, height, width) uint8; and
        the error of each image, (batch,) string. Outside of the image, tiles are black and masks have the ignored
        class.
    """
    num_tiles, size, channels = math.prod(grid), (decode.height, decode.width), decode.channels

    def cut_tiles(pixels: tf.Tensor) -> tf.Tensor:
        starts = [place_tiles(tf.shape(pixels)[axis], size[axis], grid[axis]) for axis in (0, 1)]
        corners = tf.stack(tf.meshgrid(*starts, indexing="ij"), axis=-1)
        shape = [*size, pixels.shape[-1]]
        return tf.map_fn(
            lambda corner: tf.ensure_shape(tf.slice(pixels, tf.pad(corner, [[0, 1]]), shape), shape),
            tf.reshape(corners, [num_tiles, 2]),
            fn_output_signature=tf.TensorSpec(shape, tf.uint8),
        )

    spec = tf.TensorSpec([num_tiles, *size, channels], tf.uint8)
    images, errors = decode.map_pixels(image, lambda pixels: cut_tiles(_pad_to_size(pixels, size)[0]), spec)
    masks = tf.map_fn(
        lambda png: cut_tiles(_pad_to_size(decode_png_mask(png), size, IGNORE_CLASS)[0]),
        encoded_mask,
        fn_output_signature=tf.TensorSpec([num_tiles, *size, 1], tf.uint8),
    )
    return tf.reshape(images, [-1, *size, channels]), tf.reshape(masks, [-1, *size]), errors


def count_tiles(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """Compute the number of rows and columns of tiles that cover an image.

    Args:
        height, width: size of the image, in pixels.
        size: height and width of a tile, in pixels.

    Returns:
        (rows, columns).

    Examples:
        >>> from dlkit.tasks.image_segmentation.tiled_inference import count_tiles
        >>> count_tiles(100, 200, (64, 64))
        (2, 4)
    """
    return -(-height // size[0]), -(-width // size[1])


def _pad_to_size(pixels: tf.Tensor, size: tuple[int, int], value: int = 0) -> tuple[tf.Tensor, tf.Tensor]:
    """Pad an image on all sides to a minimum size.

    Returns:
        The padded image, and the number of rows above and of columns left of the original, (2,) int32.
    """
    padding = tf.maximum(tf.constant(list(size)) - tf.shape(pixels)[:2], 0)
    before = padding // 2
    paddings = tf.pad(tf.stack([before, padding - before], 1), [[0, 1], [0, 0]])
    padded = tf.pad(pixels, paddings, constant_values=value)
    return tf.ensure_shape(padded, [None, None, pixels.shape[-1]]), before


def _blend_overlapping(
    starts: tf.Tensor,
    length: int,
    compute_piece: Callable[[tf.Tensor], tf.Tensor],
    shape: Sequence[int | tf.Tensor],
    postprocess: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    output_spec: tf.TensorSpec | None = None,
) -> tf.Tensor:
    """Blend pieces that overlap along their first axis; each position gets the weighted mean of the pieces there.

    Args:
        starts: (pieces,) int32, where each piece starts, in ascending order.
        length: length of a piece.
        compute_piece: from the start of a piece to (length, *shape) float32.
        shape: shape of one position; integers and () int32 tensors.
        postprocess: applied to (positions, *shape) as soon as no further piece contributes to them.
        output_spec: specification of one position of its result; None for `shape` in float32.

    Returns:
        (positions, ...).
    """
    static_shape = [None if tf.is_tensor(side) else side for side in shape]
    output_spec = output_spec or tf.TensorSpec(static_shape, tf.float32)
    weights = tf.square(tf.sin((tf.range(length, dtype=tf.float32) + 0.5) * (math.pi / length)))
    ends = tf.concat([starts[1:], starts[-1:] + length], axis=0)  # where no later piece contributes
    positions = tf.reshape(starts[:, tf.newaxis] + tf.range(length), [-1])
    total_weights = tf.math.unsorted_segment_sum(tf.tile(weights, tf.shape(starts)), positions, ends[-1])
    broadcast_shape = [-1] + [1] * len(shape)

    def add(number: tf.Tensor, total: tf.Tensor, parts: tf.TensorArray) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        start, end = starts[number], ends[number]
        total += compute_piece(start) * tf.reshape(weights, broadcast_shape)
        done = total[: end - start] / tf.reshape(total_weights[start:end], broadcast_shape)
        remaining = tf.concat([total[end - start :], tf.zeros([end - start, *shape])], axis=0)
        return number + 1, tf.ensure_shape(remaining, [length, *static_shape]), parts.write(number, postprocess(done))

    parts = tf.TensorArray(
        output_spec.dtype, tf.size(starts), infer_shape=False, element_shape=[None, *output_spec.shape]
    )
    state = (0, tf.ensure_shape(tf.zeros([length, *shape]), [length, *static_shape]), parts)
    return tf.while_loop(lambda number, *_: number < tf.size(starts), add, state, parallel_iterations=1)[2].concat()
