"""Makes `sample_words.zip`, the words of the built-in sample, with the speech synthesizer flite.

command   python -m dlkit.tasks.speech_recognition.make_sample [FLITE]
needs     flite 2.2 (http://cmuflite.org; the package `flite` of Debian and Ubuntu), FLITE is the path of its program
voices    kal16, awb, rms and slt, from recordings of Carnegie Mellon University, which may be used, changed and
          distributed by anybody, free of charge; the license is in the archive, as `LICENSE.txt`

Each voice is two speakers: itself, and one with a shorter vocal tract, which is slower speech that is played at a
higher rate. The files are 8 kHz, mu-law, without the silence at both ends.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from dlkit.audio.resample import resample
from dlkit.audio.wav import mu_law_values, read_wav
from dlkit.audio.wav_file import MU_LAW, write_wav
from dlkit.lazy import tf

RATE = 8000
WORDS = ["open", "close", "paint", "find", "red", "green", "blue", "door", "window", "box", "lamp", "garden"]
VOICES = ("kal16", "awb", "rms", "slt")
TRACTS = {"": 1.0, "_short": 0.88}  # suffix of the speaker's name to the length of the vocal tract
PEAK, SILENCE, MARGIN_SECONDS = 0.7, 0.02, 0.01  # silence: share of the peak below which the ends are cut

LICENSE = """Synthesized with flite 2.2 (http://cmuflite.org), of which the following holds.

                  Language Technologies Institute
                     Carnegie Mellon University
                      Copyright (c) 1999-2014
                        All Rights Reserved.

Permission is hereby granted, free of charge, to use and distribute this software and its documentation without
restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense,
and/or sell copies of this work, and to permit persons to whom this work is furnished to do so, subject to the
following conditions:
 1. The code must retain the above copyright notice, this list of conditions and the following disclaimer.
 2. Any modifications must be clearly marked as such.
 3. Original authors' names are not deleted.
 4. The authors' names are not used to endorse or promote products derived from this software without specific prior
    written permission.

CARNEGIE MELLON UNIVERSITY AND THE CONTRIBUTORS TO THIS WORK DISCLAIM ALL WARRANTIES WITH REGARD TO THIS SOFTWARE,
INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS, IN NO EVENT SHALL CARNEGIE MELLON UNIVERSITY NOR THE
CONTRIBUTORS BE LIABLE FOR ANY SPECIAL, INDIRECT OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN
CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
"""


def synthesize(flite: str, voice: str, word: str, tract: float) -> bytes:
    """Synthesize a word with a vocal tract of this length, as a share of the voice's own: a WAV file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        stretch = f"duration_stretch={0.8 / tract:.3f}"
        subprocess.run([flite, "-voice", voice, "--setf", stretch, "-t", word, "-o", path], check=True)
        clip = read_wav(tf.constant(path.read_bytes()), 10.0)
    played_at = tf.cast(tf.round(tf.cast(clip.rate, tf.float32) / tract / 100) * 100, tf.int32)
    samples = resample(clip.samples, played_at, RATE).numpy()
    samples *= PEAK / np.abs(samples).max()
    loud = np.flatnonzero(np.abs(samples) > SILENCE * PEAK)
    margin = round(MARGIN_SECONDS * RATE)
    samples = samples[max(loud[0] - margin, 0) : loud[-1] + margin]
    values = mu_law_values()
    order = np.argsort(values)
    between = (values[order][1:] + values[order][:-1]) / 2
    return write_wav(order[np.searchsorted(between, samples)].astype(np.uint8).tobytes(), MU_LAW, RATE, 1, 8)


def main() -> None:
    flite = sys.argv[1] if len(sys.argv) > 1 else "flite"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        date = (2026, 1, 1, 0, 0, 0)  # the same bytes each time
        archive.writestr(zipfile.ZipInfo("LICENSE.txt", date), LICENSE, zipfile.ZIP_DEFLATED)
        for voice in VOICES:
            for suffix, tract in TRACTS.items():
                for word in WORDS:
                    name = zipfile.ZipInfo(f"{voice}{suffix}/{word}.wav", date)
                    archive.writestr(name, synthesize(flite, voice, word, tract), zipfile.ZIP_DEFLATED)
    Path(__file__).with_name("sample_words.zip").write_bytes(packed.getvalue())


if __name__ == "__main__":
    main()
