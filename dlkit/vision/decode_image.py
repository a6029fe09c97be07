"""Encoded image bytes to pixels of one size, inside the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from dlkit.lazy import keras, tf

_FITS = ("stretch", "crop", "pad")
_HEADER_BYTES = 32  # the width and height of PNG, GIF and BMP lie within the first 26 bytes
_UNKNOWN, _JPEG, _PNG, _GIF, _BMP = range(-1, 4)
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")  # by the numbers above
_LUMA = (19595, 38470, 7471)  # ITU-R 601 weights times 65536, the integers that Pillow uses


@keras.saving.register_keras_serializable("dlkit")
class DecodeImage(keras.layers.Layer):
    """Decodes JPEG, PNG, BMP and GIF files and resizes them to one size.

    Input: `image`: (batch,) string, whole encoded files. Output: (batch, height, width, channels) uint8, RGB order;
    with `with_size` a dict of that as `image`, and of `original_size`: (batch, 2) int32, height and width of the files.

    Grey becomes RGB by repetition, RGB becomes grey by the ITU-R 601 luma. Palettes are looked up, 16-bit samples
    keep their high byte, CMYK JPEGs become RGB, an animation gives its first frame. Alpha is dropped, and the
    EXIF orientation is ignored, as by Pillow's `Image.open(...).convert("RGB")` and by the pipelines that
    published networks were trained with. 1-bit, 4-bit and compressed BMP files are refused.

    Resizing is bilinear with antialiasing, rounded to the nearest integer. An image that has the right size already
    passes unchanged.

    Args:
        height, width: size of the output in pixels.
        channels: 1 (grey) or 3 (RGB).
        fit: "stretch" ignores the aspect ratio; "crop" cuts the largest centred part with the output's aspect ratio;
            "pad" keeps all of the image, centred, and fills the rest with black (`pad_frame` tells where it lies).
        max_pixels: a file whose header tells of more pixels is refused before any memory is taken for them.
        with_size: whether to give the files' own sizes too.

    A file that cannot be decoded fails the call with INVALID_ARGUMENT and a text such as "image undecodable: row 3:
    not a JPEG, PNG, GIF or BMP file (0 bytes)". A file that breaks off behind its header is reported by the decoder,
    without the row, under the node name `undecodable_image`. A truncated GIF, though, gives the part that is there,
    and the limit on GIFs is read from the screen size in the header.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int = 3,
        fit: Literal["stretch", "crop", "pad"] = "stretch",
        max_pixels: int = 50_000_000,
        with_size: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value in (("height", height), ("width", width), ("max_pixels", max_pixels)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")
        if channels not in (1, 3):
            raise ValueError(f"`channels` must be 1 (grey) or 3 (RGB). Received: channels={channels!r}.")
        if fit not in _FITS:
            raise ValueError(f"`fit` must be one of {', '.join(_FITS)}. Received: fit={fit!r}.")
        self.height, self.width, self.channels = height, width, channels
        self.fit, self.max_pixels, self.with_size = fit, max_pixels, with_size
        self._convert_input_args = False  # Keras would turn Python lists of bytes into float tensors

    def call(self, image: tf.Tensor) -> tf.Tensor | dict[str, tf.Tensor]:
        pixels = tf.TensorSpec((self.height, self.width, self.channels), tf.uint8)
        outputs = (pixels, tf.TensorSpec((2,), tf.int32))
        images, sizes = self.each(image, lambda pixels: (self._resize(pixels), tf.shape(pixels)[:2]), outputs)
        return {"image": images, "original_size": sizes} if self.with_size else images

    def each(
        self,
        image: tf.Tensor,
        function: Callable[[tf.Tensor], Any],
        outputs: tf.TensorSpec | tuple[tf.TensorSpec, ...],
    ) -> Any:
        """What a function makes of each file's pixels at their own size, one file after another.

        Args:
            image: (batch,) string, whole encoded files.
            function: from (any height, any width, channels) uint8 to tensors.
            outputs: their specifications, as `tf.map_fn` takes them.
        """
        image = tf.ensure_shape(tf.convert_to_tensor(image, tf.string), [None])
        formats, sizes = _read_headers(image)
        rows = (image, formats, sizes, tf.range(tf.size(image)))
        return tf.map_fn(lambda row: function(self._decode_row(*row)), rows, fn_output_signature=outputs)

    def _decode_row(self, image: tf.Tensor, image_format: tf.Tensor, size: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """One file: () string to (its own height and width, channels) uint8."""
        known = _check(
            image_format != _UNKNOWN,
            row,
            lambda: ["not a JPEG, PNG, GIF or BMP file (", _text(tf.strings.length(image)), " bytes)"],
        )
        with tf.control_dependencies(known), tf.name_scope("undecodable_image"):
            size = tf.cond(image_format == _JPEG, lambda: _jpeg_size(image), lambda: size)
        pixels = size[0] * size[1]
        small = _check(
            (pixels > 0) & (pixels <= self.max_pixels),
            row,
            lambda: [_text(size[0]), " x ", _text(size[1]), f" pixels, allowed are 1 to {self.max_pixels}"],
        )
        with tf.control_dependencies(small), tf.name_scope("undecodable_image"):
            rgb = tf.switch_case(
                image_format,
                [
                    lambda: tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"),
                    lambda: tf.io.decode_png(image, channels=3),
                    lambda: tf.io.decode_image(image, channels=3, expand_animations=False),
                    lambda: _decode_bmp(image),
                ],
            )
            rgb = tf.ensure_shape(rgb, [None, None, 3])
        return rgb if self.channels == 3 else _grey(rgb)

    def _resize(self, image: tf.Tensor) -> tf.Tensor:
        size = tf.shape(image)[:2]
        wanted = tf.constant([self.height, self.width])
        image = tf.cond(tf.reduce_all(size == wanted), lambda: image, lambda: self._fit(image, size, wanted))
        return tf.ensure_shape(image, [self.height, self.width, self.channels])

    def _fit(self, image: tf.Tensor, size: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        inner = wanted
        height, width = size[0], size[1]
        if self.fit == "crop":
            part = tf.stack([_share(width, self.height, self.width), _share(height, self.width, self.height)])
            part = tf.clip_by_value(part, 1, size)
            start = (size - part) // 2
            image = tf.slice(image, tf.pad(start, [[0, 1]]), tf.pad(part, [[0, 1]], constant_values=self.channels))
        elif self.fit == "pad":
            inner, _ = pad_frame(size, self.height, self.width)
        image = tf.image.resize(image, inner, antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
        before = (wanted - inner) // 2
        return tf.pad(image, tf.pad(tf.stack([before, wanted - inner - before], 1), [[0, 1], [0, 0]]))

    def compute_output_spec(self, image: keras.KerasTensor) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
        pixels = keras.KerasTensor((image.shape[0], self.height, self.width, self.channels), dtype="uint8")
        if not self.with_size:
            return pixels
        return {"image": pixels, "original_size": keras.KerasTensor((image.shape[0], 2), dtype="int32")}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("height", "width", "channels", "fit", "max_pixels", "with_size"):
            config[name] = getattr(self, name)
        return config


def pad_frame(size: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the "pad" fit puts images of these sizes.

    Args:
        size: (..., 2) int32, height and width of the images.
        height, width: of the output.

    Returns:
        (inner, before): (..., 2) int32 each: height and width of the resized image, and the rows above and the columns
        left of it.
    """
    wanted = tf.constant([height, width])
    tall, wide = size[..., 0], size[..., 1]
    inner = tf.stack([_share(tall, width, wide), _share(wide, height, tall)], axis=-1)
    inner = tf.clip_by_value(inner, 1, wanted)
    return inner, (wanted - inner) // 2


def _read_headers(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Format (batch,) int32; height and width (batch, 2) int64, meaningless for JPEG and unknown formats."""
    head = tf.io.decode_raw(image, tf.uint8, fixed_length=_HEADER_BYTES)  # pads with zeros
    formats = tf.fill([tf.shape(head)[0]], _UNKNOWN)
    for number, magic in enumerate(_MAGIC):
        starts = tf.reduce_all(head[:, : len(magic)] == tf.constant(list(magic), tf.uint8), axis=1)
        formats = tf.where(starts, number, formats)
    byte = tf.cast(head, tf.int64)
    png = tf.stack([_number(byte[:, 23:19:-1]), _number(byte[:, 19:15:-1])], 1)  # big-endian
    gif = tf.stack([_number(byte[:, 8:10]), _number(byte[:, 6:8])], 1)
    height = _number(byte[:, 22:26])
    height = tf.where(height >= 2**31, 2**32 - height, height)  # a negative height: rows run from top to bottom
    bmp = tf.stack([height, _number(byte[:, 18:22])], 1)
    column = formats[:, tf.newaxis]
    return formats, tf.where(column == _PNG, png, tf.where(column == _GIF, gif, bmp))


def _number(little_endian: tf.Tensor) -> tf.Tensor:
    """(..., bytes) int64 in 0..255 to (...) int64."""
    return tf.reduce_sum(little_endian * [256**i for i in range(little_endian.shape[-1])], axis=-1)


def _jpeg_size(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.extract_jpeg_shape(image)[:2], tf.int64)


def _decode_bmp(image: tf.Tensor) -> tf.Tensor:
    """(h, w, 3) uint8. TensorFlow's op hands out the indices of a palette, and blue, green, red, alpha as RGBA."""
    header = tf.cast(tf.io.decode_raw(image, tf.uint8, fixed_length=54), tf.int32)
    first_colour = 14 + _number(header[14:18])
    pixels = tf.io.decode_bmp(image, channels=0)

    def look_up() -> tf.Tensor:
        palette = tf.strings.substr(image, first_colour, _number(header[10:14]) - first_colour)
        palette = tf.reshape(tf.io.decode_raw(palette, tf.uint8), [-1, 4])[:, 2::-1]
        return tf.gather(palette, tf.cast(pixels[:, :, 0], tf.int32))

    return tf.cond(tf.shape(pixels)[2] == 1, look_up, lambda: pixels[:, :, :3])


def _grey(rgb: tf.Tensor) -> tf.Tensor:
    """(h, w, 3) uint8 to (h, w, 1) uint8, the integers of Pillow's `convert("L")`."""
    luma = tf.reduce_sum(tf.cast(rgb, tf.int32) * _LUMA, axis=-1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(luma + 32768, 16), tf.uint8)


def _share(length: tf.Tensor, numerator: int | tf.Tensor, denominator: int | tf.Tensor) -> tf.Tensor:
    """round(length * numerator / denominator) of int32 scalars, without overflow."""
    length, numerator, denominator = (tf.cast(x, tf.int64) for x in (length, numerator, denominator))
    return tf.cast((2 * length * numerator + denominator) // (2 * denominator), tf.int32)


def _check(condition: tf.Tensor, row: tf.Tensor, reason: Callable[[], Sequence[str | tf.Tensor]]) -> list[tf.Tensor]:
    """Operations that fail with the reason, which is put into words only when the condition is false."""

    def fail() -> tf.Tensor:
        message = tf.strings.join(["image undecodable: row ", _text(row), ": ", *reason()])
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.constant(False)

    return [tf.cond(condition, lambda: True, fail)]


def _text(number: tf.Tensor) -> tf.Tensor:
    return tf.strings.as_string(number)
