"""Defaults of options that depend on the network, or on what is recognized."""

from __future__ import annotations

from dlkit.run_length import DefaultEpochs

DEFAULT_SIZES = {  # width and blocks
    "conv_gru": (256, 3), "conformer": (144, 4), "attention": (256, 3), "tdnn": (96, 2), "cnn": (32, 4),
}  # fmt: skip
# Of single words: few speakers say few words, which must do for all others.
WORD_DEFAULTS = {
    "batch_size": 32, "mels": 24, "speed": 0.2, "vocal_tract": 0.2, "level": 1.0, "background": 3.3, "noise": 0.5,
}  # fmt: skip
WORD_EPOCHS = DefaultEpochs(120, fewest=1500, most=50_000)  # as words are short, and change much in training


def words_default(name: str) -> str:
    """Return the sentence of an option's description that states its default for words."""
    return f"Default for words: `{WORD_DEFAULTS[name]}`."
