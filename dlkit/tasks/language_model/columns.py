"""Columns of language models: what a request asks for, and what is known of a text."""

from __future__ import annotations

from typing import Any

from dlkit.columns import Count, Labels, Number, Text, describe_value
from dlkit.errors import DataError


class StopStrings(Labels):
    """Strings before which generation stops; a text, or a list of them."""

    may_be_empty = True

    def convert_all(self, values: Any, where: Any) -> tuple[Any, list[str]]:
        return values, []

    def raw(self, value: Any) -> list[bytes]:
        if value is None:
            return []
        values = [value] if isinstance(value, (str, bytes)) else value
        if not hasattr(values, "__iter__"):
            raise DataError(f"expected a string, or a list of strings. Received: {describe_value(value)}.")
        return [text for text in map(Text().raw, values) if text]

    def to_request(self, raw: list[bytes]) -> list[str]:
        return [text.decode() for text in raw]


class PromptBits(Number):
    """Information of the prompt in bits: the negative binary logarithm of its probability."""

    atol = 1e-3


class PromptBytes(Count):
    """Size of the prompt in bytes, of which `prompt_bits` are the information."""


class Bits(Number):
    """Information of a text in bits: the negative binary logarithm of its probability."""

    atol = 1e-3


class Bytes(Count):
    """Size of a text in bytes."""


class Tokens(Count):
    """Number of tokens of a text."""


class Ratio(Number):
    """Bits per byte, or perplexity: 2 to the power of the bits per token."""


class Embedding(Number):
    """Mean of the features of the tokens of a text."""

    shape = (None,)
