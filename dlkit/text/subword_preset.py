"""Vocabularies of KerasHub's subword tokenizers, as those of `SubwordTokenizer`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dlkit.text.subword_tokenizer import FIRST_BYTE_ID

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")  # of SentencePiece's byte fallback


def convert_vocabulary(tokenizer: Any, size: int, special_ids: Sequence[int]) -> tuple[list[str], list[int]]:
    """Convert the vocabulary of a byte-pair encoding or SentencePiece tokenizer.

    Args:
        tokenizer: of KerasHub.
        size: number of ids of the model.
        special_ids: the tokenizer's ids that stand for dlkit's padding, start and end token.

    Returns:
        Tuple of the subwords of dlkit's ids from 3 on, their bytes as Latin-1, empty for special tokens; and the
        tokenizer's id for each of dlkit's.
    """
    import keras_hub

    by_id = {tokenizer.token_to_id(token): token for token in tokenizer.get_vocabulary()}
    is_bytes = isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer)
    decode = _decode_bytes if is_bytes else _decode_sentence_piece
    preset_ids = [*special_ids, *(number for number in range(size) if number not in special_ids)]
    return [decode(by_id.get(number, "")).decode("latin-1") for number in preset_ids[FIRST_BYTE_ID:]], preset_ids


def _decode_bytes(token: str) -> bytes:
    if token.startswith("<") and token.endswith(">") and len(token) > 2:
        return b""
    byte_of = make_byte_decoder()
    return bytes(byte_of[letter] for letter in token) if all(letter in byte_of for letter in token) else b""


def _decode_sentence_piece(token: str) -> bytes:
    if byte := _BYTE_TOKEN.fullmatch(token):
        return bytes([int(byte[1], 16)])
    special = token.startswith(("<", "▁<extra_id")) and token.endswith(">") and len(token) > 2
    return b"" if special else token.replace("▁", " ").encode()


def make_byte_decoder() -> dict[str, int]:
    """Make the inverse of GPT-2's mapping of bytes to letters, which byte-level vocabularies use."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}
