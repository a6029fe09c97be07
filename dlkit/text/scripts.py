"""Scripts that set no spaces between words, by code point, in Python."""

from __future__ import annotations

import re
from collections.abc import Iterable

HAN = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
SPACELESS = (
    *HAN,
    (0x30000, 0x323AF),  # Han
    (0x3005, 0x3007),  # marks that stand for Han characters
    (0x3041, 0x3096),  # Hiragana
    (0x309D, 0x309F),
    (0x30A1, 0x30FA),  # Katakana
    (0x30FC, 0x30FF),
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1B16F),
    (0x3105, 0x312F),  # Bopomofo
    (0x31A0, 0x31BF),
    (0xA000, 0xA48C),  # Yi
    (0x0E01, 0x0E3A),  # Thai
    (0x0E40, 0x0E4E),
    (0x0E81, 0x0ECE),  # Lao
    (0x0EDC, 0x0EDF),
    (0x0F40, 0x0FBC),  # Tibetan
    (0x1000, 0x103F),  # Myanmar
    (0x1050, 0x108F),
    (0xA9E0, 0xA9EF),
    (0xAA60, 0xAA7F),
    (0x1780, 0x17D3),  # Khmer
    (0x1950, 0x19C9),  # Tai Le, New Tai Lue
    (0x1A20, 0x1A7F),  # Tai Tham
    (0xAA80, 0xAADD),  # Tai Viet
    (0xA980, 0xA9C0),  # Javanese
    (0x1B00, 0x1B4C),  # Balinese
)
_RANGES = "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in SPACELESS)
_SPACELESS = re.compile(f"[{_RANGES}]")
_LETTER = re.compile(rf"[^\W\d_]|[{_RANGES}]")  # of those scripts the marks too, which are half of some


def has_spaceless_script(text: str) -> bool:
    """Whether a text has characters of such a script."""
    return not text.isascii() and _SPACELESS.search(text) is not None


def separate_characters(text: str) -> str:
    """A text with spaces around each character of such a script."""
    return text if text.isascii() else _SPACELESS.sub(r" \g<0> ", text)


def spaceless_share(texts: Iterable[str]) -> float:
    """The share of the letters of texts that are of such scripts, 0 to 1."""
    letters = spaceless = 0
    for text in texts:
        letters += len(_LETTER.findall(text))
        spaceless += 0 if text.isascii() else len(_SPACELESS.findall(text))
    return spaceless / max(letters, 1)
