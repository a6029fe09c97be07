"""WAV files in Python: written from samples, and what their header says."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from dlkit.errors import DataError

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # WAVE_FORMAT_..., mmreg.h of Windows
MAX_CHANNELS = 64
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


def read_encoding(data: bytes) -> int | None:
    """Return the code of a WAV file's encoding, such as `PCM`; None for another file, or one without a format."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    start = 12
    while start + 10 <= len(data):
        name, size = struct.unpack_from("<4sI", data, start)
        if name == b"fmt ":
            code = int.from_bytes(data[start + 8 : start + 10], "little")
            extended = data[start + 32 : start + 34]  # the first bytes of the sub-format
            return int.from_bytes(extended, "little") if code == EXTENSIBLE and len(extended) == 2 else code
        start += 8 + size + size % 2
    return None
