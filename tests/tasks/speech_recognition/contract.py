"""The contract of the task for the contract checks; `tests/contract/task_contracts.py` describes each constant."""

import numpy as np

from dlkit.audio.wav_file import MU_LAW, encode_wav, write_wav


def noise(seconds, rate=8000, channels=1, dtype=np.float32):
    values = np.random.default_rng(0).normal(0, 0.1, (int(seconds * rate), channels)).astype(np.float32)
    return encode_wav(values if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype), rate)


SMALL_HPARAMS = {"width": 16, "blocks": 1, "mels": 16, "stride": 4, "beam_width": 4, "lm_order": 3}
# Adam's first steps are the signs of gradients: where those cancel, rounding decides.
STABLE_HPARAMS = {"optimizer": "sgd", "learning_rate": 0.01}
LEARNING_HPARAMS = {
    "width": 64,
    "blocks": 1,
    "mels": 24,
    "stride": 4,
    "beam_width": 8,
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "dropout": 0.1,
}
RECIPE_FLAGS = [
    *("--width", "16", "--blocks", "1", "--mels", "16", "--stride", "4", "--beam-width", "4", "--epochs", "1"),
]
EDGE_INPUTS = {
    "a second of noise": lambda: noise(1),
    "silence": lambda: encode_wav(np.zeros(4000, np.int16), 8000),
    "one sample": lambda: encode_wav(np.full(1, 0.5, np.float32), 8000),
    "another rate": lambda: noise(0.5, rate=44100),
    "stereo": lambda: noise(0.5, channels=2),
    "16 bits": lambda: noise(0.5, dtype=np.int16),
    "mu-law": lambda: write_wav(bytes(range(256)) * 8, MU_LAW, 8000, 1, 8),
    "an array": lambda: (np.ones(3000, np.float32), 16000),
    "clipped": lambda: (np.sign(np.sin(np.arange(4000.0))), 8000),
}
INVALID_INPUTS = {
    "empty": b"",
    "not a recording": b"hello",
    "no samples": lambda: write_wav(b"", 1, 8000, 1, 16),
    "too long": lambda: encode_wav(np.zeros(31 * 8000, np.int16), 8000),
    "a number": 3.5,
}
EMPTY_MASKS = ("padding_mask",)  # of a silent clip
