"""Files of recordings: where they lie, conversion of those that the graph cannot read, and segments of long ones."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlkit.audio.soundfile_extra import decode_to_wav
from dlkit.audio.wav_file import A_LAW, FLOAT, MU_LAW, PCM, read_wav_header, write_wav
from dlkit.errors import UnreadableError
from dlkit.reading_errors import as_data_error

# Formats that Python converts to WAV, by a marker at an offset.
_CONVERTED = (
    ("FLAC", 0, b"fLaC"), ("Ogg", 0, b"OggS"), ("MP3", 0, b"ID3"), ("AIFF", 0, b"FORM"), ("CAF", 0, b"caff"),
    ("RF64", 0, b"RF64"), ("big-endian WAV", 0, b"RIFX"), ("Wave64", 0, b"riff"), ("AU", 0, b".snd"),
)  # fmt: skip
_IN_GRAPH = (PCM, FLOAT, A_LAW, MU_LAW)  # encodings of WAV files that stay as they are
_CLIP_FOLDERS = ("clips", "wavs", "wav", "audio")  # beside a table: clips are those of Common Voice, wavs of LJSpeech


@dataclass(frozen=True)
class Segment:
    """A part of a recording in a file.

    Attributes:
        path: the file.
        start: first second.
        seconds: duration; None to the end.
    """

    path: Path
    start: float
    seconds: float | None = None

    def read(self) -> bytes:
        """Return the part as a WAV file, in the encoding of the file.

        Raises:
            UnreadableError: the file cannot be read, or ends before the part does.
        """
        with (
            as_data_error(f"the recording {str(self.path)!r}", error=UnreadableError),
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,  # of a long file, only the part is read
        ):
            header = read_wav_header(data)
            is_plain = header is not None and header.code in _IN_GRAPH
            return self._cut(data if is_plain else convert_unsupported(data[:]))

    def _cut(self, data: bytes | mmap.mmap) -> bytes:
        header = read_wav_header(data)
        if header is None or not header.block or not header.rate:
            raise UnreadableError(f"the recording {str(self.path)!r} is not a WAV file: no part of it can be cut.")
        first = round(self.start * header.rate)
        total = header.size // header.block
        last = total if self.seconds is None else first + round(self.seconds * header.rate)
        if not 0 <= first < last or last > total + header.rate // 10:  # manifests round durations
            raise UnreadableError(
                f"the part from second {self.start:g} to {last / header.rate:g} is not in the recording "
                f"{str(self.path)!r}, which is {header.seconds:.2f} seconds long."
            )
        sound = data[header.start + first * header.block : header.start + min(last, total) * header.block]
        return write_wav(sound, header.code, header.rate, header.channels, header.bits)


def find_clip(folder: Path, name: str, suffixes: Sequence[str]) -> Path:
    """Return the file that a table in a folder names; it may lie in a folder of clips, and its suffix be left out.

    Args:
        folder: that of the table.
        name: as the table has it.
        suffixes: those that may be left out.
    """
    path = folder / name
    if _is_file(path):
        return path
    endings = ("",) if path.suffix.lower() in suffixes else ("", *suffixes)
    places = (folder / place / f"{name}{ending}" for place in (".", *_CLIP_FOLDERS) for ending in endings)
    return next((place for place in places if _is_file(place)), path)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113, which raises for names that are too long


def convert_unsupported(data: bytes) -> bytes:
    """Convert a file that the graph cannot read to a WAV file; return any other file unchanged.

    A file of an unknown format is returned unchanged, too: the graph reports the error.

    Raises:
        UnreadableError: it cannot be converted, or soundfile is not installed.
    """
    header = read_wav_header(data)
    if header is not None:
        return data if header.code in _IN_GRAPH else decode_to_wav(data, f"WAV (encoding {header.code})")
    for kind, start, marker in _CONVERTED:
        if data[start : start + len(marker)] == marker:
            return decode_to_wav(data, kind)
    if data[:1] == b"\xff" and data[1:2] in b"\xfb\xfa\xf3\xf2\xe3\xe2":  # the first frame of an MP3 without tags
        return decode_to_wav(data, "MP3")
    return data
