"""soundfile, which decodes FLAC, MP3, Ogg and other files in Python, and nothing else."""

from __future__ import annotations

import io
from typing import Any

from dlkit.audio.wav_file import PCM, write_wav
from dlkit.errors import UnreadableError
from dlkit.reading_errors import as_data_error, check_unpacked
from dlkit.version import install_hint

_BLOCK = 1 << 18  # samples that are decoded together


def decode_to_wav(data: bytes, kind: str) -> bytes:
    """Decode a file of any format that soundfile reads to a WAV file of 16 bits, with its rate and channels.

    Args:
        data: the file.
        kind: its format, for messages: "FLAC".

    Raises:
        UnreadableError: soundfile is not installed, cannot decode the file, or makes more of it than files may
            decompress to.
    """
    soundfile = _import_soundfile(kind)
    decoded = bytearray()
    with (
        as_data_error("the recording", f"a {kind} file that can be decoded", error=UnreadableError),
        soundfile.SoundFile(io.BytesIO(data)) as file,
    ):
        for block in file.blocks(_BLOCK, dtype="int16", always_2d=True):
            decoded += block.astype("<i2").tobytes()
            check_unpacked(len(decoded), "the recording", error=UnreadableError)  # headers state other durations
        return write_wav(bytes(decoded), PCM, file.samplerate, file.channels, 16)


def _import_soundfile(kind: str) -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: without the library that it wraps
        raise UnreadableError(
            f"decoding {kind} files needs soundfile: {install_hint('audio')}. Or convert them to WAV files, which need "
            "nothing."
        ) from error
    return soundfile
