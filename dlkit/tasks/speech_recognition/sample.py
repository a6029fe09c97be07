"""Short commands such as "open red door", and their words, from a speech synthesizer.

`sample_words.zip` holds 12 words by 8 synthetic speakers, made with flite by `make_sample.py`, which states the source;
`LICENSE.txt` in it states the license, which allows any use. Commands are made of these words on loading, with pauses
and noise of random length and level, the same ones each time.
"""

from __future__ import annotations

import functools
import itertools
import zipfile
from pathlib import Path

import numpy as np

from dlkit.audio.wav import mu_law_values
from dlkit.audio.wav_file import encode_wav

RATE = 8000
TEST_SPEAKERS = ("kal16", "rms_short")  # of the test part alone
_VERBS, _COLORS = ("open", "close", "paint", "find"), ("red", "green", "blue")
_NOUNS = ("door", "window", "box", "lamp", "garden")
_HEADER_BYTES = 44  # of the files in the archive
_PAUSE_SECONDS, _ENDS_SECONDS = (0.03, 0.12), (0.05, 0.2)
_LOUDNESS, _NOISE = (0.3, 1.0), (0.001, 0.01)  # factor of the words; deviation, where full scale is 1


def load_commands() -> dict[str, dict[str, list]]:
    """Load the parts train (340 clips), validation (60) and test (60): commands of two or three words.

    No command of the validation or test part is in another part; the test part has two speakers of its own.

    Returns:
        Part to `{"audio": [...], "text": [...]}`, the clips as WAV files of 16 bits at 8 kHz, of about 1.3 seconds.
    """
    random = np.random.default_rng(0)
    texts = [" ".join(words) for words in itertools.product(_VERBS, _COLORS, _NOUNS)]
    texts += [" ".join(words) for words in (*itertools.product(_VERBS, _NOUNS), *itertools.product(_COLORS, _NOUNS))]
    texts = [texts[number] for number in random.permutation(len(texts))]
    parts = {"train": (texts[30:], 340), "validation": (texts[:15], 60), "test": (texts[15:30], 60)}
    return {
        part: _clips([*itertools.islice(itertools.cycle(chosen), count)], part, "text", random)
        for part, (chosen, count) in parts.items()
    }


def load_words() -> dict[str, dict[str, list]]:
    """Load the parts train (288 clips), validation (72) and test (48) of single words.

    Speakers and noise are as in `load_commands`.

    Returns:
        Part to `{"audio": [...], "label": [...]}`.
    """
    random = np.random.default_rng(1)
    words = [*_VERBS, *_COLORS, *_NOUNS]
    counts = {"train": 24, "validation": 6, "test": 4}  # clips of each word
    return {part: _clips(words * count, part, "label", random) for part, count in counts.items()}


def _clips(texts: list[str], part: str, target: str, random: np.random.Generator) -> dict[str, list]:
    """Return a clip of each text, by the speakers of a part in turn."""
    speakers = sorted({speaker for speaker, _ in _recorded_words()})
    chosen = [speaker for speaker in speakers if (speaker in TEST_SPEAKERS) == (part == "test")]
    order = [chosen[number] for turn in range(len(texts)) for number in random.permutation(len(chosen))][: len(texts)]
    return {
        "audio": [_speak(text, speaker, random) for text, speaker in zip(texts, order, strict=True)],
        target: texts,
    }


def _speak(text: str, speaker: str, random: np.random.Generator) -> bytes:
    """Join the words of a text, with pauses, noise and a loudness of their own: a WAV file."""
    words = [_recorded_words()[speaker, word] for word in text.split()]
    parts = [_silence(_ENDS_SECONDS, random)]
    for word in words:
        parts += [word, _silence(_PAUSE_SECONDS, random)]
    samples = np.concatenate([*parts, _silence(_ENDS_SECONDS, random)]) * random.uniform(*_LOUDNESS)
    samples = samples + random.normal(0, random.uniform(*_NOISE), len(samples))
    return encode_wav(np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16), RATE)


def _silence(seconds: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    return np.zeros(round(random.uniform(*seconds) * RATE))


@functools.cache
def _recorded_words() -> dict[tuple[str, str], np.ndarray]:
    """Return the samples of each speaker's words, full scale at 1, by speaker and word."""
    values, recorded = mu_law_values(), {}
    with zipfile.ZipFile(Path(__file__).with_name("sample_words.zip")) as archive:
        for name in archive.namelist():
            if name.endswith(".wav"):
                speaker, word = name.removesuffix(".wav").split("/")
                data = np.frombuffer(archive.read(name)[_HEADER_BYTES:], np.uint8)
                recorded[speaker, word] = values[data]
    return recorded
