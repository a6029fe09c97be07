"""Columns of sound."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.audio.soundfile_extra import decode_to_wav
from dlkit.audio.wav_file import A_LAW, FLOAT, MU_LAW, PCM, encode_wav, read_encoding
from dlkit.columns import EncodedFile, describe_value, read_file_bytes
from dlkit.errors import DataError

# Formats that Python converts to WAV, by a marker at an offset; with the suffixes in `Audio.suffixes`.
_CONVERTED = (
    ("FLAC", 0, b"fLaC"), ("Ogg", 0, b"OggS"), ("MP3", 0, b"ID3"), ("AIFF", 0, b"FORM"), ("CAF", 0, b"caff"),
    ("RF64", 0, b"RF64"), ("big-endian WAV", 0, b"RIFX"), ("Wave64", 0, b"riff"), ("AU", 0, b".snd"),
)  # fmt: skip
_IN_GRAPH = (PCM, FLOAT, A_LAW, MU_LAW)  # encodings of WAV files that stay as they are


class Audio(EncodedFile):
    """A recording as an encoded WAV file.

    Accepts a path, encoded bytes, a tuple `(samples, rate)` with an array of (samples,) or (samples, channels), floats
    in [-1, 1] or integers of full range, or a dict with the keys `array` and `sampling_rate`. Arrays become WAV files
    without loss. Files of other formats (FLAC, MP3, Ogg, ...), and WAV files in other encodings than PCM, floats, A-law
    and mu-law, become WAV files of 16 bits; that takes soundfile.
    """

    reader = "dlkit.audio.readers"
    suffixes = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".au", ".caf", ".w64")
    feature = "Audio"

    def raw(self, value: Any) -> bytes:
        if isinstance(value, (str, os.PathLike)):
            return convert_unsupported(read_file_bytes(value, "recording"))
        if isinstance(value, (bytes, bytearray)):
            return convert_unsupported(bytes(value))
        if _is_clip(value):
            return encode_wav(*value)
        if isinstance(value, Mapping) and value.keys() >= {"array", "sampling_rate"}:
            return encode_wav(value["array"], value["sampling_rate"])
        without_rate = " Samples need their rate: (samples, rate)." if hasattr(value, "__array__") else ""
        raise DataError(
            "expected a recording: a path, encoded bytes, or a tuple (samples, rate). Received: "
            f"{describe_value(value)}.{without_rate}"
        )

    def is_list(self, value: Any) -> bool:
        if isinstance(value, np.ndarray):
            return value.dtype.kind in "OSU"
        return isinstance(value, (list, tuple)) and not _is_clip(value)

    def is_batch(self, shape: Sequence[int | None], dtype: str) -> bool:
        return len(shape) > (0 if dtype == "string" else 1)


def _is_clip(value: Any) -> bool:
    """Return whether a value is a tuple of an array of samples and their rate."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and hasattr(value[0], "__array__")
        and isinstance(value[1], (int, float, np.integer, np.floating))
    )


def convert_unsupported(data: bytes) -> bytes:
    """Convert a file that the graph cannot read to a WAV file; return any other file unchanged.

    A file of an unknown format is returned unchanged, too: the graph reports the error.

    Raises:
        UnreadableError: it cannot be converted, or soundfile is not installed.
    """
    encoding = read_encoding(data)
    if encoding is not None:
        return data if encoding in _IN_GRAPH else decode_to_wav(data, f"WAV (encoding {encoding})")
    for kind, start, marker in _CONVERTED:
        if data[start : start + len(marker)] == marker:
            return decode_to_wav(data, kind)
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:  # the first frame of an MP3 without tags
        return decode_to_wav(data, "MP3")
    return data
