"""Encoded image bytes to pixels of one size, inside the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.vision.bands import map_bands
from dlkit.vision.image_header import JPEG, UNKNOWN, Header, find_format_name, little_endian, read_header, read_headers
from dlkit.vision.orientation import find_reversals, orient_image, swap_sides

_FITS = ("stretch", "crop", "pad")
_LUMA = (19595, 38470, 7471)  # ITU-R 601 weights times 65536, the integers that Pillow uses
_OPTIONS = {"orient": False, "webp": False, "alpha": "drop", "depth": 0, "with_error": False}  # all as they once were


def as_displayed(alpha: Literal["white", "drop"] = "white", depth: int = 0) -> dict[str, Any]:
    """The options of `DecodeImage` with which new models read pictures."""
    return {"orient": True, "webp": True, "alpha": alpha, "depth": depth, "with_error": True}


@keras.saving.register_keras_serializable("dlkit")
class DecodeImage(keras.layers.Layer):
    """Decodes JPEG, PNG, BMP, GIF and WebP files and resizes them to one size.

    Input: `image`: (batch,) string, whole encoded files. Output: (batch, height, width, channels) uint8, RGB order;
    with `with_size` or `with_error` a dict of that as `image`, and of `original_size`: (batch, 2) int32, height and
    width of the pictures, turned if they are; and of `error`: (batch,) string.

    Grey becomes RGB by repetition, RGB becomes grey by the ITU-R 601 luma. Palettes are looked up, CMYK JPEGs become
    RGB, an animated GIF gives its first frame. 1-bit, 4-bit and compressed BMP files and animated WebP are refused.

    Resizing is bilinear with antialiasing, rounded to the nearest integer. An image that has the right size already
    passes unchanged.

    What is refused fails the call with INVALID_ARGUMENT and a text such as "image undecodable: row 3: not a JPEG, PNG,
    GIF or BMP file (0 bytes)"; with `with_error` it costs its own row alone. A file that is corrupt inside always fails
    the call, since the decoders do: under the node name `undecodable_image`, without the row. A truncated GIF gives the
    part that is there, and the limit on GIFs is read from the screen size in the header.

    Args:
        height, width: size of the output in pixels.
        channels: 1 (grey) or 3 (RGB).
        fit: "stretch" ignores the aspect ratio; "crop" cuts the largest centred part with the output's aspect ratio;
            "pad" keeps all of the image, centred, and fills the rest with black (`pad_frame` tells where it lies).
        max_pixels: a file whose header tells of more pixels is refused before any memory is taken for them.
        with_size: whether to give the pictures' own sizes too.
        orient: whether pictures are turned by the EXIF orientation of JPEG, PNG and WebP, as Pillow's
            `ImageOps.exif_transpose` does it; else they are read as they are stored.
        webp: whether WebP files are read; else they are refused.
        alpha: "white" lays what is transparent in PNG and WebP on white; "drop" takes the colours as if it were opaque.
        depth: the sample of 16-bit PNGs that becomes 255; 0 keeps the high byte.
        with_error: whether `error` says what is wrong with a row that is no image, too large, or ends too early (a JPEG
            or PNG without its end mark, a BMP or WebP shorter than it announces); it is "" for others, and the row's
            pixels are black, of the size 1 x 1. Without it such rows fail the call.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int = 3,
        fit: Literal["stretch", "crop", "pad"] = "stretch",
        max_pixels: int = 50_000_000,
        with_size: bool = False,
        orient: bool = False,
        webp: bool = False,
        alpha: Literal["drop", "white"] = "drop",
        depth: int = 0,
        with_error: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value in (("height", height), ("width", width), ("max_pixels", max_pixels)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}.")
        if channels not in (1, 3):
            raise ValueError(f"`channels` must be 1 (grayscale) or 3 (RGB). Received: channels={channels!r}.")
        if fit not in _FITS:
            raise ValueError(f"`fit` must be one of {', '.join(_FITS)}. Received: fit={fit!r}.")
        if alpha not in ("drop", "white"):
            raise ValueError(f"`alpha` must be drop or white. Received: alpha={alpha!r}.")
        if not isinstance(depth, int) or not 0 <= depth < 2**16:
            raise ValueError(f"`depth` must be an integer between 0 and 65535. Received: depth={depth!r}.")
        self.height, self.width, self.channels = height, width, channels
        self.fit, self.max_pixels, self.with_size = fit, max_pixels, with_size
        self.orient, self.webp, self.alpha, self.depth, self.with_error = orient, webp, alpha, depth, with_error
        self._convert_input_args = False  # Keras would turn Python lists of bytes into float tensors

    @property
    def limits(self) -> dict[str, Limits]:
        """What its tensors can be, where a request brings them."""
        return {"original_size": Limits(1, self.max_pixels)}

    def call(self, image: tf.Tensor) -> tf.Tensor | dict[str, tf.Tensor]:
        def fitted(pixels: tf.Tensor, orientation: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
            size = tf.shape(pixels)[:2]
            return self._resize(pixels, orientation), size if orientation is None else swap_sides(size, orientation)

        pixels = tf.TensorSpec((self.height, self.width, self.channels), tf.uint8)
        (images, sizes), errors = self._rows(image, fitted, (pixels, tf.TensorSpec((2,), tf.int32)))
        made = {"image": images}
        if self.with_size:
            made["original_size"] = tf.maximum(sizes, 1)  # what is refused has none
        if self.with_error:
            made["error"] = errors
        return made if len(made) > 1 else images

    def each(
        self,
        image: tf.Tensor,
        function: Callable[[tf.Tensor], Any],
        outputs: tf.TensorSpec | tuple[tf.TensorSpec, ...],
    ) -> tuple[Any, tf.Tensor]:
        """What a function makes of each file's pixels at their own size, one file after another.

        Args:
            image: (batch,) string, whole encoded files.
            function: from (any height, any width, channels) uint8 to tensors.
            outputs: their specifications, as `tf.map_fn` takes them; where rows may have errors, without free sizes.

        Returns:
            That, and what is wrong with each row, (batch,) string: see `with_error`.
        """

        def upright(pixels: tf.Tensor, orientation: tf.Tensor | None) -> Any:
            return function(pixels if orientation is None else orient_image(pixels, orientation))

        return self._rows(image, upright, outputs)

    def _rows(
        self, image: tf.Tensor, function: Callable[[tf.Tensor, tf.Tensor | None], Any], outputs: Any
    ) -> tuple[Any, tf.Tensor]:
        """What a function makes of each file's stored pixels and its orientation, None for that of all; and errors."""
        image = tf.ensure_shape(tf.convert_to_tensor(image, tf.string), [None])
        formats, sizes = read_headers(image, self.webp)

        @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and it takes seconds
        def of_row(number: tf.Tensor) -> tuple[Any, tf.Tensor]:
            encoded, image_format, size = (tf.gather(values, number) for values in (image, formats, sizes))
            return self._row(encoded, image_format, size, number, function, outputs)

        # One after another: of ten files at a time the decoded pixels alone could take ten times as much memory. By
        # their numbers, as the loop would copy all files that it is given.
        signature = (outputs, tf.TensorSpec([], tf.string))
        return tf.map_fn(of_row, tf.range(tf.size(image)), fn_output_signature=signature, parallel_iterations=1)

    def _row(
        self,
        image: tf.Tensor,
        image_format: tf.Tensor,
        size: tf.Tensor,
        row: tf.Tensor,
        function: Callable[[tf.Tensor, tf.Tensor | None], Any],
        outputs: Any,
    ) -> tuple[Any, tf.Tensor]:
        known = image_format != UNKNOWN

        def made(header: Header) -> Any:
            with tf.name_scope("undecodable_image"):
                pixels = self._decode(image, image_format, header)
            return function(pixels, header.orientation if self.orient else None)

        if self.with_error:
            header = read_header(image, image_format, size)
            fine = known & header.whole & self._is_small(header.size)
            error = tf.cond(fine, lambda: tf.constant(""), lambda: self._error(image, known, header))
            return tf.cond(fine, lambda: made(header), lambda: tf.nest.map_structure(_make_blank, outputs)), error
        with tf.control_dependencies(_check(known, row, lambda: self._unknown(image))):
            header = self._header(image, image_format, size)
        with tf.control_dependencies(_check(self._is_small(header.size), row, lambda: self._too_large(header.size))):
            return made(header), tf.constant("")

    def _error(self, image: tf.Tensor, known: tf.Tensor, header: Header) -> tf.Tensor:
        """() string: what is wrong with a file."""
        few = header.size[0] * header.size[1] <= self.max_pixels
        length = _text(tf.strings.length(image))
        early = ["the file is truncated, or its length differs from its header (", length, " bytes)"]
        return tf.case(
            [
                (~known, lambda: tf.strings.join(self._unknown(image))),
                (few & ~header.whole, lambda: tf.strings.join(early)),
            ],
            default=lambda: tf.strings.join(self._too_large(header.size)),
        )

    def _header(self, image: tf.Tensor, image_format: tf.Tensor, size: tf.Tensor) -> Header:
        if self.orient or self.alpha != "drop" or self.depth:
            return read_header(image, image_format, size)
        with tf.name_scope("undecodable_image"):
            size = tf.cond(image_format == JPEG, lambda: _jpeg_size(image), lambda: size)
        return Header(size, tf.constant(1), tf.constant(False), tf.constant(False), tf.constant(True))

    def _is_small(self, size: tf.Tensor) -> tf.Tensor:
        pixels = size[0] * size[1]
        return (pixels > 0) & (pixels <= self.max_pixels)

    def _unknown(self, image: tf.Tensor) -> list[str | tf.Tensor]:
        formats = "JPEG, PNG, GIF, BMP or still WebP" if self.webp else "JPEG, PNG, GIF or BMP"
        name = find_format_name(image)
        called = tf.where(name == "", "", name + ", ") if self.webp else ""
        return [called, f"not a {formats} file (", _text(tf.strings.length(image)), " bytes)"]

    def _too_large(self, size: tf.Tensor) -> list[str | tf.Tensor]:
        return [_text(size[0]), " x ", _text(size[1]), f" pixels, allowed: 1 to {self.max_pixels}"]

    def _decode(self, image: tf.Tensor, image_format: tf.Tensor, header: Header) -> tf.Tensor:
        """One file: () string to (its stored height and width, channels) uint8."""
        formats = [
            lambda: tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"),
            lambda: self._decode_png(image, header),
            lambda: tf.io.decode_image(image, channels=3, expand_animations=False),
            lambda: _decode_bmp(image),
        ]
        if self.webp:
            formats.append(lambda: self._opaque(tf.io.decode_image(image, expand_animations=False)))
        rgb = tf.ensure_shape(tf.switch_case(image_format, formats), [None, None, 3])
        return rgb if self.channels == 3 else map_bands(_to_grayscale, rgb, 1)

    def _decode_png(self, image: tf.Tensor, header: Header) -> tf.Tensor:
        def usual() -> tf.Tensor:
            if self.alpha == "drop":
                return tf.io.decode_png(image, channels=3)
            return tf.cond(
                header.alpha,
                lambda: self._opaque(tf.io.decode_png(image, channels=4)),
                lambda: tf.io.decode_png(image, channels=3),
            )

        def scaled(samples: tf.Tensor) -> tf.Tensor:
            samples = tf.cast(samples, tf.float32)
            colours = tf.clip_by_value(tf.round(samples[..., :3] * (255 / self.depth)), 0.0, 255.0)
            pixels = tf.cast(tf.concat([colours, tf.round(samples[..., 3:] / 257)], -1), tf.uint8)
            return pixels[..., :3] if self.alpha == "drop" else _on_white(pixels)

        def deep() -> tf.Tensor:
            return map_bands(scaled, tf.io.decode_png(image, channels=4, dtype=tf.uint16), 3)

        return tf.cond(header.deep, deep, usual) if self.depth else usual()

    def _opaque(self, pixels: tf.Tensor) -> tf.Tensor:
        """(h, w, 3 or 4) uint8 to (h, w, 3) uint8."""
        if self.alpha == "drop":
            return pixels[..., :3]
        return tf.cond(tf.shape(pixels)[2] == 4, lambda: map_bands(_on_white, pixels, 3), lambda: pixels)

    def _resize(self, image: tf.Tensor, orientation: tf.Tensor | None) -> tf.Tensor:
        """A stored picture at the output's size, as it is to be seen: turned when it is small, which costs less."""
        wanted = tf.constant([self.height, self.width])

        def sized(orientation: tf.Tensor | None) -> tf.Tensor:
            size = tf.shape(image)[:2]
            if orientation is None:
                return tf.cond(tf.reduce_all(size == wanted), lambda: image, lambda: self._fit(image, wanted, None))
            return tf.cond(
                tf.reduce_all(swap_sides(size, orientation) == wanted),
                lambda: orient_image(image, orientation),
                lambda: self._fit(image, wanted, orientation),
            )

        if orientation is None:
            resized = sized(None)
        else:  # most are upright, and are not to pay for those that are not
            resized = tf.cond(orientation > 1, lambda: sized(orientation), lambda: sized(None))
        return tf.ensure_shape(resized, [self.height, self.width, self.channels])

    def _fit(self, image: tf.Tensor, wanted: tf.Tensor, orientation: tf.Tensor | None) -> tf.Tensor:
        stored = tf.shape(image)[:2]
        size = stored if orientation is None else swap_sides(stored, orientation)
        inner = wanted
        height, width = size[0], size[1]
        if self.fit == "crop":
            part = tf.stack(
                [_round_ratio(width, self.height, self.width), _round_ratio(height, self.width, self.height)]
            )
            part = tf.clip_by_value(part, 1, size)
            start = (size - part) // 2
            if orientation is not None:  # where the part that is to be seen is stored
                start = tf.where(tf.stack(find_reversals(orientation)), size - part - start, start)
                part, start = swap_sides(part, orientation), swap_sides(start, orientation)
            image = tf.slice(image, tf.pad(start, [[0, 1]]), tf.pad(part, [[0, 1]], constant_values=self.channels))
        elif self.fit == "pad":
            inner, _ = pad_frame(size, self.height, self.width)
        image = tf.image.resize(image, inner if orientation is None else swap_sides(inner, orientation), antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
        if orientation is not None:
            image = orient_image(image, orientation)
        before = (wanted - inner) // 2
        return tf.pad(image, tf.pad(tf.stack([before, wanted - inner - before], 1), [[0, 1], [0, 0]]))

    def compute_output_spec(self, image: keras.KerasTensor) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
        batch = image.shape[0]
        made = {"image": keras.KerasTensor((batch, self.height, self.width, self.channels), dtype="uint8")}
        if self.with_size:
            made["original_size"] = keras.KerasTensor((batch, 2), dtype="int32")
        if self.with_error:
            made["error"] = keras.KerasTensor((batch,), dtype="string")
        return made if len(made) > 1 else made["image"]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("height", "width", "channels", "fit", "max_pixels", "with_size", *_OPTIONS):
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
    inner = tf.stack([_round_ratio(tall, width, wide), _round_ratio(wide, height, tall)], axis=-1)
    inner = tf.clip_by_value(inner, 1, wanted)
    return inner, (wanted - inner) // 2


def _jpeg_size(image: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.extract_jpeg_shape(image)[:2], tf.int64)


def _decode_bmp(image: tf.Tensor) -> tf.Tensor:
    """(h, w, 3) uint8. TensorFlow's op hands out the indices of a palette, and blue, green, red, alpha as RGBA."""
    header = tf.cast(tf.io.decode_raw(image, tf.uint8, fixed_length=54), tf.int32)
    first_colour = 14 + little_endian(header[14:18])
    pixels = tf.io.decode_bmp(image, channels=0)

    def look_up() -> tf.Tensor:
        palette = tf.strings.substr(image, first_colour, little_endian(header[10:14]) - first_colour)
        palette = tf.reshape(tf.io.decode_raw(palette, tf.uint8), [-1, 4])[:, 2::-1]
        return map_bands(lambda indices: tf.gather(palette, tf.cast(indices[:, :, 0], tf.int32)), pixels, 3)

    return tf.cond(tf.shape(pixels)[2] == 1, look_up, lambda: pixels[:, :, :3])


def _on_white(pixels: tf.Tensor) -> tf.Tensor:
    """(h, w, 4) uint8 laid on white: (h, w, 3) uint8."""
    colours, opacity = tf.cast(pixels[..., :3], tf.float32), tf.cast(pixels[..., 3:], tf.float32) / 255.0
    return tf.cast(tf.round(255.0 - (255.0 - colours) * opacity), tf.uint8)


def _to_grayscale(rgb: tf.Tensor) -> tf.Tensor:
    """(h, w, 3) uint8 to (h, w, 1) uint8, the integers of Pillow's `convert("L")`."""
    luma = tf.reduce_sum(tf.cast(rgb, tf.int32) * _LUMA, axis=-1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(luma + 32768, 16), tf.uint8)


def _round_ratio(length: tf.Tensor, numerator: int | tf.Tensor, denominator: int | tf.Tensor) -> tf.Tensor:
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


def _make_blank(spec: tf.TensorSpec) -> tf.Tensor:
    """What stands in the place of a row that could not be read."""
    return tf.zeros(spec.shape, spec.dtype)  # of texts: empty ones
