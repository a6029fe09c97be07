"""What an image file tells before it is decoded, in core operations: its format, size, orientation and end."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from dlkit.lazy import tf
from dlkit.tracing import trace_function

UNKNOWN, JPEG, PNG, GIF, BMP, WEBP = range(-1, 5)
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")  # by the numbers above
_HEADER_BYTES = 32  # bytes; the sizes of all but JPEGs lie within the first 30
_REFUSED_FORMATS = (  # formats that are refused by name: where their mark stands, and what it is
    ("TIFF", 0, b"II*\x00"), ("TIFF", 0, b"MM\x00*"), ("AVIF", 4, b"ftypavif"), ("AVIF", 4, b"ftypavis"),
    ("HEIC", 4, b"ftyphei"), ("HEIC", 4, b"ftypmif1"), ("JPEG XL", 0, b"\xff\x0a"), ("JPEG XL", 4, b"JXL "),
    ("JPEG 2000", 4, b"jP  "), ("ICO", 0, b"\x00\x00\x01\x00"), ("animated WebP", 8, b"WEBP"),
)  # fmt: skip
_JPEG_END, _EXIF = b"\xff\xd9", list(b"Exif\x00\x00")
# Whether a JPEG's marker may stand before that of the frame: tables, restarts, applications, comments and filling.
_BEFORE_FRAME = [marker in (0xC4, 0xCC, 0xDB, 0xDD, 0xFE, 0xFF) or 0xE0 <= marker <= 0xEF for marker in range(256)]
_MAX_SEGMENTS = 400  # segments or chunks that are passed on the way to what is sought
_PNG_TAIL_BYTES = 4096  # bytes before the end of a PNG among which an eXIf chunk behind the pixels is sought
_MAX_TAGS = 200  # of an EXIF directory


class Header(NamedTuple):
    """What a file says of itself.

    Attributes:
        size: (2,) int64, height and width as stored; 0 where it tells none.
        orientation: () int32, 1 to 8.
        alpha: () bool, whether its PNG may be transparent.
        deep: () bool, whether its PNG has 16 bits.
        whole: () bool, whether it ends where it should: a JPEG and a PNG with their marks, a BMP and a WebP with the
            length that they announce.
    """

    size: tf.Tensor
    orientation: tf.Tensor
    alpha: tf.Tensor
    deep: tf.Tensor
    whole: tf.Tensor


def read_headers(image: tf.Tensor, webp: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Formats and sizes of files.

    Args:
        image: (batch,) string.
        webp: whether still WebP files are known.

    Returns:
        The format, (batch,) int32, a number of this module's; height and width, (batch, 2) int64, meaningless for JPEG
        and unknown formats.
    """
    head = tf.io.decode_raw(image, tf.uint8, fixed_length=_HEADER_BYTES)  # pads with zeros
    formats = tf.fill([tf.shape(head)[0]], UNKNOWN)
    for number, magic in enumerate(_MAGIC):
        formats = tf.where(_equal(head, 0, magic), number, formats)
    byte = tf.cast(head, tf.int64)
    png = tf.stack([little_endian(byte[:, 23:19:-1]), little_endian(byte[:, 19:15:-1])], 1)  # big-endian
    gif = tf.stack([little_endian(byte[:, 8:10]), little_endian(byte[:, 6:8])], 1)
    height = little_endian(byte[:, 22:26])
    height = tf.where(height >= 2**31, 2**32 - height, height)  # a negative height: rows run from top to bottom
    bmp = tf.stack([height, little_endian(byte[:, 18:22])], 1)
    if webp:
        extended = _equal(head, 12, b"VP8X")
        # Animations are refused: where they say that they have no alpha, TensorFlow's decoder writes beyond its memory.
        still = _equal(head, 0, b"RIFF") & _equal(head, 8, b"WEBP") & ~(extended & (byte[:, 20] // 2 % 2 == 1))
        formats = tf.where(still, WEBP, formats)
    column = formats[:, tf.newaxis]
    sizes = tf.where(column == PNG, png, tf.where(column == GIF, gif, bmp))
    if webp:
        some = tf.reduce_any(formats == WEBP)
        sizes = tf.cond(some, lambda: tf.where(column == WEBP, _webp_sizes(head, byte), sizes), lambda: sizes)
    return formats, sizes


def _webp_sizes(head: tf.Tensor, byte: tf.Tensor) -> tf.Tensor:
    """(batch, 2) int64 from the first chunk: that of a canvas, of a lossless picture, or of a lossy one."""
    canvas = tf.stack([little_endian(byte[:, 27:30]) + 1, little_endian(byte[:, 24:27]) + 1], 1)
    bits = little_endian(byte[:, 21:25])
    lossless = tf.stack([bits // 2**14 % 2**14 + 1, bits % 2**14 + 1], 1)
    lossy = tf.stack([little_endian(byte[:, 28:30]) % 2**14, little_endian(byte[:, 26:28]) % 2**14], 1)
    is_lossless = _equal(head, 12, b"VP8L")[:, tf.newaxis]
    return tf.where(_equal(head, 12, b"VP8X")[:, tf.newaxis], canvas, tf.where(is_lossless, lossless, lossy))


def read_header(image: tf.Tensor, image_format: tf.Tensor, size: tf.Tensor) -> Header:
    """The header of one file: () string, with the format and the size that `read_headers` gave."""
    return Header(*_reading()(image, image_format, size))


@functools.cache
def _reading() -> Callable[..., tuple[tf.Tensor, ...]]:
    specs = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int64)
    return trace_function(lambda image, image_format, size: tuple(_read_header(image, image_format, size)), *specs)


def _read_header(image: tf.Tensor, image_format: tf.Tensor, size: tf.Tensor) -> Header:
    length, no = tf.strings.length(image), tf.constant(False)

    def jpeg() -> Header:
        whole = tf.cond(_tail(image, length, 2) == _JPEG_END, lambda: ~no, lambda: _jpeg_ends(image, length))
        none = tf.zeros([2], tf.int64)
        known = tf.cond(whole, lambda: tf.cast(tf.io.extract_jpeg_shape(image)[:2], tf.int64), lambda: none)
        return Header(known, _orientation(image, _jpeg_exif(image, length)), no, no, whole)

    def png() -> Header:
        exif, transparent = _png_chunks(image, length)
        end = b"IEND\xaeB`\x82"
        ends = tf.cond(_tail(image, length, 8) == end, lambda: ~no, lambda: _has(image, tf.constant(0), end))
        head = _bytes(image, tf.constant(24), 2)  # depth and colour type
        alpha = transparent | (head[1] >= 4)
        return Header(size, _orientation(image, exif), alpha, head[0] == 16, ends)

    def bmp() -> Header:
        head = tf.cast(_bytes(image, tf.constant(0), 54), tf.int64)
        row = (little_endian(head[28:30]) // 8 * size[1] + 3) // 4 * 4
        whole = (
            tf.cast(length, tf.int64) == little_endian(head[10:14]) + row * size[0]
        )  # what TensorFlow's decoder asks for
        kinds = tf.reduce_any(little_endian(head[28:30]) == tf.constant([8, 24, 32], tf.int64))
        return Header(size, tf.constant(1), no, no, whole & kinds)

    def webp() -> Header:
        announced = little_endian(tf.cast(_bytes(image, tf.constant(4), 4), tf.int64)) + 8
        exif = _webp_exif(image, length)
        return Header(size, _orientation(image, exif), no, no, tf.cast(length, tf.int64) >= announced)

    def other() -> Header:
        return Header(size, tf.constant(1), no, no, ~no)

    return Header(*tf.switch_case(image_format, [jpeg, png, other, bmp, webp], default=other))


def find_format_name(image: tf.Tensor) -> tf.Tensor:
    """() string: what a file of an unknown format is, as far as its first bytes tell; else ""."""
    head = _bytes(image, tf.constant(0), _HEADER_BYTES)
    name = tf.constant("")
    for known, start, magic in _REFUSED_FORMATS:
        name = tf.where(_equal(tf.cast(head, tf.uint8), start, magic), known, name)
    return name


def parse_orientation(data: bytes) -> int:
    """The EXIF orientation of a JPEG, PNG or WebP, 1 to 8; 1 where it tells none: as the graph reads it."""
    # Most files have none of the marks that EXIF follows (JPEG, PNG, WebP), and a graph takes a second to trace.
    return int(_reader()(data)) if any(mark in data for mark in (b"Exif", b"eXIf", b"EXIF")) else 1


@functools.cache
def _reader() -> Callable[..., tf.Tensor]:
    def read(image: tf.Tensor) -> tf.Tensor:
        formats, sizes = read_headers(image[tf.newaxis], webp=True)
        return read_header(image, formats[0], sizes[0]).orientation

    return trace_function(read, tf.TensorSpec([], tf.string))


def _walk(
    start: int | tf.Tensor, length: tf.Tensor, step: Callable[..., tuple[tf.Tensor, ...]], found: tuple[tf.Tensor, ...]
) -> tuple[tf.Tensor, ...]:
    """What a step from part to part finds: (position, *found) to the next position, the length to stop, and so on."""
    walked = tf.while_loop(
        lambda position, *_: position < length,
        step,
        (tf.convert_to_tensor(start), *found),
        maximum_iterations=_MAX_SEGMENTS,
    )
    return tuple(walked[1:])


def _jpeg_exif(image: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Where EXIF's TIFF begins, among what applications put before the picture; -1 for nowhere."""

    def step(position: tf.Tensor, exif: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = _bytes(image, position, 10)
        found = tf.reduce_all(head[4:] == _EXIF) & (head[1] == 0xE1)
        on = ~found & (head[0] == 0xFF) & (head[1] >= 0xE0)  # applications, comments, filling
        return tf.where(on, _next_segment(position, head), length), tf.where(found, position + 10, exif)

    # It is nearly always in the first segment, behind JFIF's in the second, or nowhere: a loop takes longer.
    second, exif = step(tf.constant(2), tf.constant(-1))
    third, exif = step(second, exif)
    return tf.cond(third < length, lambda: _walk(third, length, step, (exif,))[0], lambda: exif)


def _jpeg_ends(image: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Whether the end's mark stands anywhere behind the frame's header: what follows it is passed over."""

    def step(position: tf.Tensor, frame: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = _bytes(image, position, 4)
        on = (head[0] == 0xFF) & tf.gather(_BEFORE_FRAME, head[1])
        return tf.where(on, _next_segment(position, head), length), tf.where(on, frame, position)

    frame = _walk(2, length, step, (tf.constant(-1),))[0]
    return tf.cond(frame >= 0, lambda: _has(image, frame, _JPEG_END), lambda: tf.constant(False))


def _next_segment(position: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    """Where the next one begins. A marker may begin with any number of 0xFF."""
    return tf.where(head[1] == 0xFF, position + 1, position + 2 + head[2] * 256 + head[3])


def _png_chunks(image: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where EXIF's TIFF begins, -1 for nowhere, and whether a chunk makes colours transparent."""

    def step(position: tf.Tensor, exif: tf.Tensor, transparent: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = _bytes(image, position, 8)
        stop = _equal(head, 4, b"IDAT") | _equal(head, 4, b"IEND")
        following = _after(position, little_endian(tf.cast(head[3::-1], tf.int64)) + 12, length)
        return (
            tf.where(stop, length, following),
            tf.where(_equal(head, 4, b"eXIf"), position + 8, exif),
            transparent | _equal(head, 4, b"tRNS"),
        )

    exif, transparent = _walk(8, length, step, (tf.constant(-1), tf.constant(False)))

    def behind() -> tf.Tensor:
        start = tf.maximum(length - _PNG_TAIL_BYTES, 0)
        places = _places(image, start, b"eXIf")
        return tf.cond(tf.size(places) > 0, lambda: start + places[-1] + 4, lambda: tf.constant(-1))

    return tf.cond(exif < 0, behind, lambda: exif), transparent


def _webp_exif(image: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Where EXIF's TIFF begins, -1 for nowhere."""

    def step(position: tf.Tensor, exif: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = _bytes(image, position, 14)
        size = little_endian(tf.cast(head[4:8], tf.int64))
        prefix = tf.where(_equal(head, 8, b"Exif\x00\x00"), 6, 0)  # some writers leave JPEG's mark there
        return (
            _after(position, 8 + (size + 1) // 2 * 2, length),
            tf.where(_equal(head, 0, b"EXIF") & (exif < 0), position + 8 + prefix, exif),
        )

    return _walk(12, length, step, (tf.constant(-1),))[0]


def _orientation(image: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """() int32, 1 to 8, from the TIFF that begins at a place of a file; 1 where there is none, or it tells none."""

    def read() -> tf.Tensor:
        head = _bytes(image, start, 8)
        little = _equal(head, 0, b"II*\x00")

        def number(two: tf.Tensor) -> tf.Tensor:
            return tf.where(little, two[..., 0] + two[..., 1] * 256, two[..., 0] * 256 + two[..., 1])

        offset = tf.cast(head[4:8], tf.int64)
        offset = tf.where(little, little_endian(offset), little_endian(offset[::-1]))
        first = _after(start, offset, tf.strings.length(image))
        tags = tf.reshape(_bytes(image, first + 2, 12 * _MAX_TAGS), [_MAX_TAGS, 12])
        there = tf.range(_MAX_TAGS) < number(_bytes(image, first, 2))
        is_long = number(tags[:, 2:4]) == 4  # of which the low half lies behind where the high one comes first
        values = tf.where(is_long & ~little, number(tags[:, 10:12]), number(tags[:, 8:10]))
        value = tf.reduce_max(tf.where(there & (number(tags[:, :2]) == 274), values, 0))
        return tf.where((little | _equal(head, 0, b"MM\x00*")) & (value >= 1) & (value <= 8), value, 1)

    return tf.cond(start >= 0, read, lambda: tf.constant(1))


def _bytes(image: tf.Tensor, start: tf.Tensor, count: int) -> tf.Tensor:
    """(count,) int32 of a file from a place on; zeros beyond its end."""
    start = tf.clip_by_value(start, 0, tf.strings.length(image))
    return tf.cast(tf.io.decode_raw(tf.strings.substr(image, start, count), tf.uint8, fixed_length=count), tf.int32)


def _tail(image: tf.Tensor, length: tf.Tensor, count: int) -> tf.Tensor:
    return tf.strings.substr(image, tf.maximum(length - count, 0), count)


def _places(image: tf.Tensor, start: tf.Tensor, mark: bytes) -> tf.Tensor:
    """(any,) int32: where a mark stands in a file, counted from a place on."""
    start = tf.clip_by_value(start, 0, tf.strings.length(image))
    data = tf.io.decode_raw(tf.strings.substr(image, start, tf.strings.length(image) - start), tf.uint8)
    last = tf.maximum(tf.size(data) - len(mark) + 1, 0)
    alike = data[:last] == mark[0]
    for offset in range(1, len(mark)):
        alike &= data[offset : last + offset] == mark[offset]
    return tf.cast(tf.where(alike)[:, 0], tf.int32)


def _has(image: tf.Tensor, start: tf.Tensor, mark: bytes) -> tf.Tensor:
    return tf.size(_places(image, start, mark)) > 0


def _after(position: tf.Tensor, size: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """() int32: a place so many bytes on, at most at the end; sizes are int64 and may be anything."""
    return tf.cast(tf.minimum(tf.cast(position, tf.int64) + size, tf.cast(length, tf.int64)), tf.int32)


def _equal(head: tf.Tensor, start: int, magic: bytes) -> tf.Tensor:
    """Whether bytes, (..., count), have a mark at a place: (...) bool."""
    return tf.reduce_all(head[..., start : start + len(magic)] == tf.constant(list(magic), head.dtype), axis=-1)


def little_endian(values: tf.Tensor) -> tf.Tensor:
    """(..., bytes) int64 in 0..255 to (...) int64."""
    return tf.reduce_sum(values * [256**i for i in range(values.shape[-1])], axis=-1)
