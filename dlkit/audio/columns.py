"""Columns of sound."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.audio.segment import Segment, convert_unsupported, find_clip
from dlkit.audio.wav_file import encode_wav
from dlkit.columns import EncodedFile, describe_value, read_file_bytes
from dlkit.errors import DataError

AUDIO_NAMES = ("audio_filepath", "audio_path", "audio_file", "path", "file_name", "filename", "file", "wav")
TRANSCRIPT_NAMES = ("transcript", "transcription", "sentence", "normalized_text", "transcripts")
"""Other names of a column of recordings, and of a column `text` with what is said in them, in data sets."""


@dataclass(frozen=True)
class Audio(EncodedFile):
    """A recording as an encoded WAV file.

    Accepts a path, encoded bytes, a tuple `(samples, rate)` with an array of (samples,) or (samples, channels), floats
    in [-1, 1] or integers of full range, a dict with the keys `array` and `sampling_rate`, or a `Segment` of a file.
    Arrays become WAV files without loss. Files of other formats (FLAC, MP3, Ogg, ...), and WAV files in other encodings
    than PCM, floats, A-law and mu-law, become WAV files of 16 bits; that takes soundfile.
    """

    aliases: tuple[str, ...] = AUDIO_NAMES

    kind = "recording"
    reader = "dlkit.audio.readers"
    suffixes = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".au", ".caf", ".w64")
    table_suffixes = (".txt",)  # lists of files
    feature = "Audio"

    def from_cell(self, cell: str, folder: Path) -> Path | bytes:
        return cell if isinstance(cell, bytes) else find_clip(folder, cell, self.suffixes)

    def raw(self, value: Any) -> bytes:
        if isinstance(value, Segment):
            return value.read()
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
