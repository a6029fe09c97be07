"""Texts as a recognizer writes them: their normalization, and their characters as class ids."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dlkit.audio.columns import TRANSCRIPT_NAMES
from dlkit.columns import Text
from dlkit.lazy import tf

APOSTROPHES = "'\u2019\u02bc"  # typewriter, typographic, and the letter
NO_CHARACTER = -1  # the id of padding


def normalize(text: str, lowercase: bool = True, punctuation: bool = False) -> str:
    """Normalize a text: Unicode form NFC, single spaces, and by default lower case without punctuation.

    Without punctuation, letters, marks and digits remain, and apostrophes between two of them (`don't`). All other
    characters are replaced by spaces.

    Args:
        text: the text.
        lowercase: whether to convert it to lower case.
        punctuation: whether punctuation and symbols remain.

    Examples:
        >>> normalize("Call-Forward on\\nNo Answer. Don\u2019t hang up!")
        "call forward on no answer don't hang up"
    """
    text = unicodedata.normalize("NFC", text)
    if lowercase:
        text = unicodedata.normalize("NFC", text.lower())
    if not punctuation:
        text = "".join(_spoken(text, place) for place in range(len(text)))
    return " ".join(text.split())


def _spoken(text: str, place: int) -> str:
    """Return a character of a text as it remains without punctuation."""
    if text[place] in APOSTROPHES:
        inside = 0 < place < len(text) - 1 and text[place - 1].isalnum() and text[place + 1].isalnum()
        return "'" if inside else " "
    return text[place] if unicodedata.category(text[place])[0] in "LMN" else " "


@dataclass(frozen=True)
class Transcript(Text):
    """What is said in a recording, normalized as `normalize` does."""

    aliases: tuple[str, ...] = TRANSCRIPT_NAMES
    lowercase: bool = True
    punctuation: bool = False

    suffixes = ()
    feature = "Text"

    def raw(self, value: Any) -> bytes:
        return normalize(super().raw(value).decode(), self.lowercase, self.punctuation).encode()


def learn_characters(texts: Iterable[str]) -> list[str]:
    """Return the characters of normalized texts, in the order of their code points."""
    return sorted({character for text in texts for character in text})


def encode_characters(texts: tf.Tensor, characters: Sequence[str], length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Encode normalized texts as ids of characters; unknown characters are left out.

    Args:
        texts: (batch,) string.
        characters: in the order of their code points; the id of a character is its index.
        length: number of ids of a row; longer texts are cut.

    Returns:
        Tuple of the ids, (batch, length) int32, padded with -1, and the number of frames that CTC needs for each whole
        text, (batch,) int32: one for each character, and one for the blank between two equal ones.

    Examples:
        >>> ids, frames = encode_characters(tf.constant(["hello"]), ["e", "h", "l", "o"], 6)
        >>> ids.numpy().tolist(), frames.numpy().tolist()
        ([[1, 0, 2, 2, 3, -1]], [6])
    """
    known = tf.constant([ord(character) for character in characters], tf.int32)
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    index = tf.searchsorted(known, codes.flat_values)
    is_known = tf.gather(known, tf.minimum(index, len(characters) - 1)) == codes.flat_values
    ids = tf.ragged.boolean_mask(codes.with_flat_values(index), codes.with_flat_values(is_known))
    all_ids = ids.to_tensor(NO_CHARACTER)
    repeated = (all_ids[:, 1:] == all_ids[:, :-1]) & (all_ids[:, 1:] != NO_CHARACTER)
    frames = tf.cast(ids.row_lengths(), tf.int32) + tf.reduce_sum(tf.cast(repeated, tf.int32), 1)
    padded = ids.to_tensor(NO_CHARACTER, shape=[None, length])
    return tf.cast(padded, tf.int32), frames
