"""WAV files in Python: written from samples, and what their header says."""

from __future__ import annotations

import mmap
import struct
from typing import Any, NamedTuple

import numpy as np

from dlkit.errors import DataError

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # WAVE_FORMAT_..., mmreg.h of Windows
MAX_CHANNELS = 64
MAX_CHUNKS = 400  # that are looked at: a file of a million empty ones must not take a minute
SILENCE_PEAK = 1e-3  # of full scale, -60 dB: a recording without a louder sample is silent
MIN_RATE, MAX_RATE = 1000, 384_000  # Hz
_SAMPLE_TYPES = {"uint8": PCM, "int16": PCM, "int32": PCM, "float32": FLOAT}


def encode_wav(samples: Any, rate: Any) -> bytes:
    """Encode samples as a WAV file, without loss of 8, 16 and 32 bits.

    Args:
        samples: (samples,) or (samples, channels): floats, full scale at 1; or int16, int32 or uint8 of full range, the
            last with silence at 128. Of other types, int64 and int8 are refused, because their full scale is unknown.
        rate: samples per second, 1,000 to 384,000.

    Raises:
        DataError: the shape, the type or the rate is another.
    """
    array = np.asarray(samples)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    if array.dtype.name not in _SAMPLE_TYPES:
        raise DataError(
            "samples must be floats in [-1, 1], or int16, int32 or uint8 of full range. Received: "
            f"{array.dtype}. For 16-bit samples of another type, convert them: samples.astype('int16')."
        )
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= MAX_CHANNELS):
        raise DataError(
            f"samples must be (samples,), or (samples, channels) with 1 to {MAX_CHANNELS} channels. Received: shape "
            f"{array.shape}.{' Transpose them: samples.T.' if array.ndim == 2 else ''}"
        )
    if isinstance(rate, bool) or not float(rate).is_integer() or not MIN_RATE <= rate <= MAX_RATE:
        raise DataError(f"the sample rate must be an integer from {MIN_RATE} to {MAX_RATE}, in Hz. Received: {rate!r}.")
    channels, width = array.shape[1] if array.ndim == 2 else 1, array.dtype.itemsize
    data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    code = _SAMPLE_TYPES[array.dtype.name]
    return write_wav(data, code, int(rate), channels, 8 * width)


def write_wav(data: bytes, code: int, rate: int, channels: int, bits: int) -> bytes:
    """Return a WAV file of encoded samples, channels interleaved.

    Args:
        data: the samples.
        code: their encoding, such as `PCM` or `MU_LAW`.
        rate: samples per second.
        channels: number of channels.
        bits: bits of one sample of one channel.
    """
    block = channels * bits // 8
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, code, channels, rate, rate * block, block, bits)
    size = len(header) + 8 + len(data) + len(data) % 2 + 4
    return b"".join(
        [b"RIFF", struct.pack("<I", size), b"WAVE", header, b"data", struct.pack("<I", len(data)), data]
        + [b"\0"] * (len(data) % 2)
    )


class WavHeader(NamedTuple):
    """What the header of a WAV file says.

    Attributes:
        code: encoding of the samples, such as `PCM`.
        channels: number of channels.
        rate: samples per second.
        block: bytes of one sample of all channels.
        bits: bits of one sample of one channel.
        start: position of the first sample.
        size: bytes of all samples that are there.
        announced: bytes of all samples by the header.
    """

    code: int
    channels: int
    rate: int
    block: int
    bits: int
    start: int
    size: int
    announced: int

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.size / self.block / self.rate if self.block and self.rate else 0.0


def read_wav_header(data: bytes | mmap.mmap) -> WavHeader | None:
    """Read the header of a WAV file as the graph does; None for another file, or one without its two chunks.

    Args:
        data: the file, or at least its beginning; chunks behind the end are not found.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    place, total = 12, len(data)
    found: tuple[int, ...] = ()
    sound = (-1, 0, 0)  # start, size, announced
    is_streamed = int.from_bytes(data[4:8], "little") != total - 8
    for _ in range(MAX_CHUNKS):
        if place + 8 > total or (found and sound[0] >= 0):
            break
        name, announced = struct.unpack_from("<4sI", data, place)
        size = min(announced, total - place - 8)
        if name == b"data" and sound[0] < 0:
            size = total - place - 8 if is_streamed and not size else size
            sound = (place + 8, size, announced)
        if name == b"fmt " and not found and size >= 16:
            code, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", data, place + 8)
            if code == EXTENSIBLE and size >= 26:
                code = int.from_bytes(data[place + 32 : place + 34], "little")  # begins the id of the sub-format
            found = (code, channels, rate, block, bits)
        place += 8 + size + size % 2
    return WavHeader._make((*found, *sound)) if found and sound[0] >= 0 else None
