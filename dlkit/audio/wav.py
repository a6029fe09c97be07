"""WAV files in the graph: one file to samples, with core operations only.

`tf.audio.decode_wav` reads 16-bit PCM alone, and gives no samples and no error for a header that was streamed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlkit.audio.wav_file import A_LAW, EXTENSIBLE, FLOAT, MAX_CHANNELS, MAX_CHUNKS, MAX_RATE, MIN_RATE, MU_LAW, PCM
from dlkit.lazy import tf

MAX_SAMPLE = 65536.0  # larger floats are no sound: full scale is 1, or 32768 in files that are scaled wrongly
# What is read: code and bits of a sample, in the order of the functions in `_decode`.
_ENCODINGS = ((PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64), (A_LAW, 8), (MU_LAW, 8))
_OTHER_FORMATS = (  # that errors name, by a marker at an offset
    ("FLAC", 0, b"fLaC"), ("Ogg", 0, b"OggS"), ("MP3", 0, b"ID3"), ("MP3", 0, b"\xff\xfb"), ("MP3", 0, b"\xff\xf3"),
    ("MPEG-4", 4, b"ftyp"), ("WebM", 0, b"\x1aE\xdf\xa3"), ("AIFF", 0, b"FORM"), ("CAF", 0, b"caff"),
    ("RF64", 0, b"RF64"), ("big-endian WAV", 0, b"RIFX"), ("Wave64", 0, b"riff"), ("AU", 0, b".snd"),
)  # fmt: skip


class Wav(NamedTuple):
    """The content of one file.

    Attributes:
        samples: (samples,) float32, the mean of the channels, full scale at 1; none if there is an error.
        rate: () int32, samples per second, 1,000 to 384,000; 1,000 if there is an error.
        seconds: () float32, duration; 0 if there is an error.
        error: () string, why the file cannot be read, "" if it can.
    """

    samples: tf.Tensor
    rate: tf.Tensor
    seconds: tf.Tensor
    error: tf.Tensor


class _Header(NamedTuple):
    """What a header says. All numbers are () int64; a start is -1 for a chunk that is missing."""

    is_wav: tf.Tensor  # () bool
    format_start: tf.Tensor
    data_start: tf.Tensor
    data_size: tf.Tensor  # bytes that are there
    code: tf.Tensor
    channels: tf.Tensor
    rate: tf.Tensor
    block: tf.Tensor  # bytes of one sample of all channels
    bits: tf.Tensor


def read_wav(data: tf.Tensor, max_seconds: float) -> Wav:
    """Read one WAV file.

    It may hold PCM of 8, 16, 24 or 32 bits, floats of 32 or 64 bits, A-law or mu-law (ITU-T G.711), in the plain or the
    extensible format, with up to 64 channels and any other chunks in any order. A data chunk that is longer than the
    file (it was cut, or streamed) ends with the file; so does one of size 0 in a file whose total size is wrong.

    Args:
        data: () string, the whole file.
        max_seconds: longer files get an error.
    """
    header = _read_header(data)
    encoding = tf.constant(-1)
    for number, (code, bits) in enumerate(_ENCODINGS):
        encoding = tf.where((header.code == code) & (header.bits == bits), number, encoding)
    frames = header.data_size // tf.maximum(header.block, 1)
    seconds = tf.cast(frames / tf.maximum(header.rate, 1), tf.float32)
    error = _header_error(data, header, encoding, frames, seconds, max_seconds)
    size = tf.where(error == "", frames * header.block, 0)
    sound = _part(data, header.data_start, size)
    channels = tf.clip_by_value(header.channels, 1, MAX_CHANNELS)
    values = tf.reshape(_decode(sound, tf.maximum(encoding, 0)), tf.stack([-1, channels]))
    samples = tf.reduce_mean(values, axis=1)
    # Not by `~(... <= MAX_SAMPLE)`: the optimizer of graphs makes `>` of it, which no NaN fulfills.
    is_wrong = ~tf.math.is_finite(samples) | (tf.abs(samples) > MAX_SAMPLE)
    wrong = tf.reduce_sum(tf.cast(is_wrong, tf.int32))
    message = tf.strings.join([tf.strings.as_string(wrong), " samples are not finite, or far beyond full scale"])
    error = tf.where(wrong > 0, message, error)
    valid = error == ""
    return Wav(
        samples[: tf.where(valid, tf.size(samples), 0)],
        tf.where(valid, tf.cast(header.rate, tf.int32), MIN_RATE),
        tf.where(valid, seconds, 0.0),
        error,
    )


def _read_header(data: tf.Tensor) -> _Header:
    is_wav = (_part(data, 0, 4) == b"RIFF") & (_part(data, 8, 4) == b"WAVE")
    length = tf.cast(tf.strings.length(data), tf.int64)
    is_streamed = _number(data, 4, 4) != length - 8
    absent = tf.constant(-1, tf.int64)

    def is_searching(start: tf.Tensor, format_start: tf.Tensor, data_start: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return ((format_start < 0) | (data_start < 0)) & (start + 8 <= length)

    def next_chunk(
        start: tf.Tensor, format_start: tf.Tensor, data_start: tf.Tensor, data_size: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        name, size, left = _part(data, start, 4), _number(data, start + 4, 4), length - start - 8
        is_data = (name == b"data") & (data_start < 0)
        size = tf.where((size > left) | (is_data & is_streamed & (size == 0)), left, size)
        return (
            start + 8 + size + size % 2,
            tf.where((name == b"fmt ") & (format_start < 0), start + 8, format_start),
            tf.where(is_data, start + 8, data_start),
            tf.where(is_data, size, data_size),
        )

    first = tf.where(is_wav, tf.constant(12, tf.int64), length)
    _, format_start, data_start, data_size = tf.while_loop(
        is_searching,
        next_chunk,
        (first, absent, absent, tf.zeros([], tf.int64)),
        maximum_iterations=MAX_CHUNKS,
        parallel_iterations=1,
    )
    head = _part(data, format_start, 40)
    code, channels, rate, block, bits, extended = (
        _number(head, start, size) for start, size in ((0, 2), (2, 2), (4, 4), (12, 2), (14, 2), (24, 2))
    )
    code = tf.where(code == EXTENSIBLE, extended, code)
    return _Header(is_wav, format_start, data_start, data_size, code, channels, rate, block, bits)


def _header_error(
    data: tf.Tensor,
    header: _Header,
    encoding: tf.Tensor,
    frames: tf.Tensor,
    seconds: tf.Tensor,
    max_seconds: float,
) -> tf.Tensor:
    """Return why a file cannot be read, as far as its header tells: () string."""
    text, join = tf.strings.as_string, tf.strings.join
    expected = header.channels * header.bits // 8
    reasons = [
        (~header.is_wav, join([_format_name(data), "not a WAV file (", text(tf.strings.length(data)), " bytes)"])),
        (header.format_start < 0, "a damaged WAV file: it has no chunk 'fmt '"),
        (header.data_start < 0, "a damaged WAV file: it has no chunk 'data'"),
        (encoding < 0, join(["unsupported WAV encoding ", text(header.code), " with ", text(header.bits), " bits"])),
        (
            (header.channels < 1) | (header.channels > MAX_CHANNELS),
            join([text(header.channels), f" channels, allowed: 1 to {MAX_CHANNELS}"]),
        ),
        (
            (header.rate < MIN_RATE) | (header.rate > MAX_RATE),
            join([text(header.rate), f" samples per second, allowed: {MIN_RATE} to {MAX_RATE}"]),
        ),
        (
            header.block != expected,
            join(["a damaged WAV file: blocks of ", text(header.block), " bytes, expected ", text(expected)]),
        ),
        (frames == 0, "no audio: the WAV file has no samples"),
        (seconds > max_seconds, join([text(seconds, precision=2), f" seconds, allowed: {max_seconds:g}"])),
    ]
    error = tf.constant("")
    for condition, reason in reversed(reasons):
        error = tf.where(condition, reason, error)
    return error


def _format_name(data: tf.Tensor) -> tf.Tensor:
    """Return the name of another format by its first bytes, with a comma: () string; "" if it is not known."""
    name = tf.constant("")
    for known, start, marker in _OTHER_FORMATS:
        name = tf.where(_part(data, start, len(marker)) == marker, f"{known}, ", name)
    return name


def _decode(sound: tf.Tensor, encoding: tf.Tensor) -> tf.Tensor:
    """Decode the samples of all channels: () string of whole samples to (values,) float32, full scale at 1."""

    def integers(dtype: tf.DType, scale: float) -> tf.Tensor:
        return tf.cast(tf.io.decode_raw(sound, dtype), tf.float32) / scale

    def three_bytes() -> tf.Tensor:
        low_to_high = tf.reshape(tf.io.decode_raw(sound, tf.uint8), [-1, 3])
        four = tf.pad(low_to_high, [[0, 0], [1, 0]])  # a lowest byte of 0: the sign is in the highest
        return tf.cast(tf.bitcast(four, tf.int32), tf.float32) / 2.0**31

    def logarithmic(table: np.ndarray) -> tf.Tensor:
        return tf.gather(table, tf.cast(tf.io.decode_raw(sound, tf.uint8), tf.int32))

    return tf.switch_case(
        encoding,
        [
            lambda: integers(tf.uint8, 128.0) - 1.0,
            lambda: integers(tf.int16, 2.0**15),
            three_bytes,
            lambda: integers(tf.int32, 2.0**31),
            lambda: tf.io.decode_raw(sound, tf.float32),
            lambda: tf.cast(tf.io.decode_raw(sound, tf.float64), tf.float32),
            lambda: logarithmic(a_law_values()),
            lambda: logarithmic(mu_law_values()),
        ],
    )


def a_law_values() -> np.ndarray:
    """Return the value of each byte of A-law, (256,) float32. Source: ITU-T G.711, table 1."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 15) << 4
    size = np.where(exponent == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(exponent - 1, 0))
    return (np.where(code & 128, size, -size) / 2.0**15).astype(np.float32)


def mu_law_values() -> np.ndarray:
    """Return the value of each byte of mu-law, (256,) float32. Source: ITU-T G.711, table 2."""
    code = ~np.arange(256) & 255
    size = ((((code & 15) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return (np.where(code & 128, -size, size) / 2.0**15).astype(np.float32)


def _part(data: tf.Tensor, start: tf.Tensor | int, size: tf.Tensor | int) -> tf.Tensor:
    """Return the bytes from `start`, as many as there are: () string. A start before the first byte counts as 0."""
    start = tf.clip_by_value(tf.cast(start, tf.int32), 0, tf.strings.length(data))
    return tf.strings.substr(data, start, tf.cast(size, tf.int32))


def _number(data: tf.Tensor, start: tf.Tensor | int, size: int) -> tf.Tensor:
    """Read an unsigned little-endian number of up to 7 bytes: () int64. Bytes behind the end count as zeros."""
    return tf.io.decode_raw(_part(data, start, size), tf.int64, fixed_length=8)[0]
