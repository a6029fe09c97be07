"""soundfile, which decodes FLAC, MP3, Ogg and other files in Python, and nothing else."""

from __future__ import annotations

import io
from typing import Any

from dlkit.audio.wav_file import PCM, write_wav
from dlkit.errors import UnreadableError
from dlkit.reading_errors import as_data_error
from dlkit.version import install_hint


def decode_to_wav(data: bytes, kind: str) -> bytes:
    """Decode a file of any format that soundfile reads to a WAV file of 16 bits, with its rate and channels.

    Args:
        data: the file.
        kind: its format, for messages: "FLAC".

    Raises:
        UnreadableError: soundfile is not installed, or cannot decode the file.
    """
    soundfile = _import_soundfile(kind)
    with as_data_error("the recording", f"a {kind} file that can be decoded", error=UnreadableError):
        samples, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    return write_wav(samples.astype("<i2").tobytes(), PCM, rate, samples.shape[1], 16)


def _import_soundfile(kind: str) -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: without the library that it wraps
        raise UnreadableError(
            f"decoding {kind} files needs soundfile: {install_hint('audio')}. Or convert them to WAV files, which need "
            "nothing."
        ) from error
    return soundfile
