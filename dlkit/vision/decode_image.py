"""Decoding of image files to pixels of one size, inside the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.vision.bands import map_bands
from dlkit.vision.image_header import UNKNOWN, Header, find_format_name, little_endian, read_header, read_headers
from dlkit.vision.orientation import find_reversals, orient_image, swap_sides

_FITS = ("stretch", "crop", "pad")
_LUMA = (19595, 38470, 7471)  # ITU-R 601 weights times 65536, the integers that Pillow uses


@keras.saving.register_keras_serializable("dlkit")
class DecodeImage(keras.layers.Layer):
    """Decodes JPEG, PNG, BMP, GIF and WebP files and resizes them to one size.

    Grayscale becomes RGB by repetition, RGB becomes grayscale by the ITU-R 601 luma. Palettes are looked up, CMYK JPEGs
    become RGB, an animated GIF gives its first frame. Images are rotated by the EXIF orientation of JPEG, PNG and WebP,
    as Pillow's `ImageOps.exif_transpose` does it. 1-bit, 4-bit and compressed BMP files and animated WebP are rejected.

    Resizing is bilinear with antialiasing, rounded to the nearest integer. An image that has the right size already
    passes unchanged.

    A file that is not an image, is larger than `max_pixels` or is truncated (a JPEG or PNG without its end marker, a
    BMP or WebP shorter than its header says) is reported in `error` and does not affect other rows. A file that is
    corrupt inside fails the whole call with INVALID_ARGUMENT, because TensorFlow's decoders do, under the node name
    `undecodable_image`. A truncated GIF gives the part that is there; its size is read from the screen size in its
    header.

    Call with `image`: (batch,) string, whole encoded files. Returns a dict of `image`: (batch, height, width, channels)
    uint8, RGB order, black where a file is rejected; `original_size`: (batch, 2) int32, height and width as displayed,
    with `with_size`; `error`: (batch,) string, why a file is rejected, "" for others.

    Args:
        height, width: size of the output in pixels.
        channels: 1 (grayscale) or 3 (RGB).
        fit: "stretch" ignores the aspect ratio; "crop" cuts the largest centered part with the output's aspect ratio;
            "pad" keeps the whole image, centered, and fills the rest with black (see `pad_frame`).
        max_pixels: files with more pixels by their header are rejected before memory is allocated for them.
        with_size: whether to return `original_size`.
        transparency: "white" composites transparent PNG and WebP files onto white; "drop" ignores the alpha channel.
        max_sample: the sample value of 16-bit PNGs that is scaled to 255; 0 keeps their high byte.

    Examples:
        >>> import tensorflow as tf
        >>> from dlkit.vision.decode_image import DecodeImage
        >>> png = tf.io.encode_png(tf.zeros((40, 60, 3), tf.uint8))
        >>> decoded = DecodeImage(32, 32, with_size=True)(tf.stack([png, b"hello"]))
        >>> decoded["image"].shape, decoded["original_size"][0].numpy().tolist()
        (TensorShape([2, 32, 32, 3]), [40, 60])
        >>> decoded["error"][1].numpy()
        b'not a JPEG, PNG, GIF, BMP or still WebP file (5 bytes)'
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int = 3,
        fit: Literal["stretch", "crop", "pad"] = "stretch",
        max_pixels: int = 50_000_000,
        with_size: bool = False,
        transparency: Literal["white", "drop"] = "white",
        max_sample: int = 0,
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
        if transparency not in ("white", "drop"):
            raise ValueError(f"`transparency` must be white or drop. Received: transparency={transparency!r}.")
        if not isinstance(max_sample, int) or not 0 <= max_sample < 2**16:
            raise ValueError(
                f"`max_sample` must be an integer between 0 and 65535. Received: max_sample={max_sample!r}."
            )
        self.height, self.width, self.channels = height, width, channels
        self.fit, self.max_pixels, self.with_size = fit, max_pixels, with_size
        self.transparency, self.max_sample = transparency, max_sample
        self._convert_input_args = False  # Keras would turn Python lists of bytes into float tensors

    @property
    def limits(self) -> dict[str, Limits]:
        """Bounds of its outputs, for requests that bring preprocessed tensors."""
        return {"original_size": Limits(1, self.max_pixels)}

    def call(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        def resize(pixels: tf.Tensor, orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self._resize(pixels, orientation), swap_sides(tf.shape(pixels)[:2], orientation)

        pixels = tf.TensorSpec((self.height, self.width, self.channels), tf.uint8)
        (images, sizes), errors = self._map_rows(image, resize, (pixels, tf.TensorSpec((2,), tf.int32)))
        size = {"original_size": tf.maximum(sizes, 1)} if self.with_size else {}  # a rejected file has none
        return {"image": images, **size, "error": errors}

    def map_pixels(
        self,
        image: tf.Tensor,
        function: Callable[[tf.Tensor], Any],
        outputs: tf.TensorSpec | tuple[tf.TensorSpec, ...],
    ) -> tuple[Any, tf.Tensor]:
        """Apply a function to the pixels of each file at their original size, one file after another.

        Args:
            image: (batch,) string, whole encoded files.
            function: maps (any height, any width, channels) uint8 to tensors.
            outputs: the specifications of these tensors, as `tf.map_fn` takes them, with static shapes.

        Returns:
            Tuple of the function's outputs, stacked over the batch, and the error of each row, (batch,) string.
        """

        def upright(pixels: tf.Tensor, orientation: tf.Tensor) -> Any:
            return function(orient_image(pixels, orientation))

        return self._map_rows(image, upright, outputs)

    def _map_rows(
        self, image: tf.Tensor, function: Callable[[tf.Tensor, tf.Tensor], Any], outputs: Any
    ) -> tuple[Any, tf.Tensor]:
        """Apply a function to the stored pixels and the orientation of each file; also return the errors."""
        image = tf.ensure_shape(tf.convert_to_tensor(image, tf.string), [None])
        formats, sizes = read_headers(image)

        @tf.autograph.experimental.do_not_convert  # nothing needs conversion, which takes seconds
        def decode_row(number: tf.Tensor) -> tuple[Any, tf.Tensor]:
            encoded, image_format, size = (tf.gather(values, number) for values in (image, formats, sizes))
            return self._decode_row(encoded, image_format, size, function, outputs)

        # One after another: of ten files at a time the decoded pixels alone could take ten times as much memory. By
        # their numbers, as the loop would copy all files that it is given.
        signature = (outputs, tf.TensorSpec([], tf.string))
        return tf.map_fn(decode_row, tf.range(tf.size(image)), fn_output_signature=signature, parallel_iterations=1)

    def _decode_row(
        self,
        image: tf.Tensor,
        image_format: tf.Tensor,
        size: tf.Tensor,
        function: Callable[[tf.Tensor, tf.Tensor], Any],
        outputs: Any,
    ) -> tuple[Any, tf.Tensor]:
        known = image_format != UNKNOWN
        header = read_header(image, image_format, size)
        valid = known & header.whole & self._is_small(header.size)

        def decode() -> Any:
            with tf.name_scope("undecodable_image"):
                pixels = self._decode(image, image_format, header)
            return function(pixels, header.orientation)

        error = tf.cond(valid, lambda: tf.constant(""), lambda: self._error(image, known, header))
        return tf.cond(valid, decode, lambda: tf.nest.map_structure(_make_blank, outputs)), error

    def _error(self, image: tf.Tensor, known: tf.Tensor, header: Header) -> tf.Tensor:
        """Return why a file is rejected: () string."""
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

    def _is_small(self, size: tf.Tensor) -> tf.Tensor:
        pixels = size[0] * size[1]
        return (pixels > 0) & (pixels <= self.max_pixels)

    def _unknown(self, image: tf.Tensor) -> list[str | tf.Tensor]:
        name = find_format_name(image)
        prefix = tf.where(name == "", "", name + ", ")
        return [prefix, "not a JPEG, PNG, GIF, BMP or still WebP file (", _text(tf.strings.length(image)), " bytes)"]

    def _too_large(self, size: tf.Tensor) -> list[str | tf.Tensor]:
        return [_text(size[0]), " x ", _text(size[1]), f" pixels, allowed: 1 to {self.max_pixels}"]

    def _decode(self, image: tf.Tensor, image_format: tf.Tensor, header: Header) -> tf.Tensor:
        """Decode one file: () string to (stored height and width, channels) uint8."""
        formats = [
            lambda: tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"),
            lambda: self._decode_png(image, header),
            lambda: tf.io.decode_image(image, channels=3, expand_animations=False),
            lambda: _decode_bmp(image),
            lambda: self._opaque(tf.io.decode_image(image, expand_animations=False)),
        ]
        rgb = tf.ensure_shape(tf.switch_case(image_format, formats), [None, None, 3])
        return rgb if self.channels == 3 else map_bands(_to_grayscale, rgb, 1)

    def _decode_png(self, image: tf.Tensor, header: Header) -> tf.Tensor:
        def usual() -> tf.Tensor:
            if self.transparency == "drop":
                return tf.io.decode_png(image, channels=3)
            return tf.cond(
                header.alpha,
                lambda: self._opaque(tf.io.decode_png(image, channels=4)),
                lambda: tf.io.decode_png(image, channels=3),
            )

        def scaled(samples: tf.Tensor) -> tf.Tensor:
            samples = tf.cast(samples, tf.float32)
            colors = tf.clip_by_value(tf.round(samples[..., :3] * (255 / self.max_sample)), 0.0, 255.0)
            pixels = tf.cast(tf.concat([colors, tf.round(samples[..., 3:] / 257)], -1), tf.uint8)
            return pixels[..., :3] if self.transparency == "drop" else _on_white(pixels)

        def deep() -> tf.Tensor:
            return map_bands(scaled, tf.io.decode_png(image, channels=4, dtype=tf.uint16), 3)

        return tf.cond(header.deep, deep, usual) if self.max_sample else usual()

    def _opaque(self, pixels: tf.Tensor) -> tf.Tensor:
        """Remove the alpha channel: (h, w, 3 or 4) uint8 to (h, w, 3) uint8."""
        if self.transparency == "drop":
            return pixels[..., :3]
        return tf.cond(tf.shape(pixels)[2] == 4, lambda: map_bands(_on_white, pixels, 3), lambda: pixels)

    def _resize(self, image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
        """Resize a stored image as it is displayed: it is rotated when it is small, which costs less."""
        wanted = tf.constant([self.height, self.width])

        def upright() -> tf.Tensor:
            fits = tf.reduce_all(tf.shape(image)[:2] == wanted)
            return tf.cond(fits, lambda: image, lambda: self._fit(image, wanted, None))

        def rotated() -> tf.Tensor:
            return tf.cond(
                tf.reduce_all(swap_sides(tf.shape(image)[:2], orientation) == wanted),
                lambda: orient_image(image, orientation),
                lambda: self._fit(image, wanted, orientation),
            )

        resized = tf.cond(orientation > 1, rotated, upright)  # most are upright, and must not pay for the others
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

    def compute_output_spec(self, image: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        batch = image.shape[0]
        size = {"original_size": keras.KerasTensor((batch, 2), dtype="int32")} if self.with_size else {}
        return {
            "image": keras.KerasTensor((batch, self.height, self.width, self.channels), dtype="uint8"),
            **size,
            "error": keras.KerasTensor((batch,), dtype="string"),
        }

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("height", "width", "channels", "fit", "max_pixels", "with_size", "transparency", "max_sample"):
            config[name] = getattr(self, name)
        return config


def pad_frame(size: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return where the "pad" fit places images of given sizes.

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


def _decode_bmp(image: tf.Tensor) -> tf.Tensor:
    """Decode a BMP to (h, w, 3) uint8. TensorFlow's op returns palette indices, and blue, green, red, alpha as RGBA."""
    header = tf.cast(tf.io.decode_raw(image, tf.uint8, fixed_length=54), tf.int32)
    first_color = 14 + little_endian(header[14:18])
    pixels = tf.io.decode_bmp(image, channels=0)

    def look_up() -> tf.Tensor:
        palette = tf.strings.substr(image, first_color, little_endian(header[10:14]) - first_color)
        palette = tf.reshape(tf.io.decode_raw(palette, tf.uint8), [-1, 4])[:, 2::-1]
        return map_bands(lambda indices: tf.gather(palette, tf.cast(indices[:, :, 0], tf.int32)), pixels, 3)

    return tf.cond(tf.shape(pixels)[2] == 1, look_up, lambda: pixels[:, :, :3])


def _on_white(pixels: tf.Tensor) -> tf.Tensor:
    """Composite (h, w, 4) uint8 onto white: (h, w, 3) uint8."""
    colors, opacity = tf.cast(pixels[..., :3], tf.float32), tf.cast(pixels[..., 3:], tf.float32) / 255.0
    return tf.cast(tf.round(255.0 - (255.0 - colors) * opacity), tf.uint8)


def _to_grayscale(rgb: tf.Tensor) -> tf.Tensor:
    """Convert (h, w, 3) uint8 to (h, w, 1) uint8, with the integers of Pillow's `convert("L")`."""
    luma = tf.reduce_sum(tf.cast(rgb, tf.int32) * _LUMA, axis=-1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(luma + 32768, 16), tf.uint8)


def _round_ratio(length: tf.Tensor, numerator: int | tf.Tensor, denominator: int | tf.Tensor) -> tf.Tensor:
    """Compute round(length * numerator / denominator) of int32 scalars, without overflow."""
    length, numerator, denominator = (tf.cast(x, tf.int64) for x in (length, numerator, denominator))
    return tf.cast((2 * length * numerator + denominator) // (2 * denominator), tf.int32)


def _text(number: tf.Tensor) -> tf.Tensor:
    return tf.strings.as_string(number)


def _make_blank(spec: tf.TensorSpec) -> tf.Tensor:
    """Return the placeholder of a row that cannot be read: zeros or empty strings."""
    return tf.zeros(spec.shape, spec.dtype)  # of texts: empty ones
