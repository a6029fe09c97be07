"""Compression of a text by xz as a baseline of language models."""

from __future__ import annotations

import lzma

MAX_PRIMING_BYTES = 1 << 23  # of training text, the last of it: more takes long and helps little


def lzma_bits(train: bytes, text: bytes) -> int:
    """Return the number of bits that LZMA (xz) needs for a text after the training text.

    It is the difference of the compressed sizes of both together and of the training text alone.

    Args:
        train: training text; its last 8 MiB are used.
        text: the text that is compressed.

    Examples:
        >>> lzma_bits(b"", b"abcdefgh" * 100) > lzma_bits(b"abcdefgh" * 100, b"abcdefgh" * 100)
        True
    """
    train = train[-MAX_PRIMING_BYTES:]
    return 8 * (_compressed_bytes(train + text) - _compressed_bytes(train))


def _compressed_bytes(data: bytes) -> int:
    # Without the container, whose header and checksum are no part of the text.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": max(2 * MAX_PRIMING_BYTES, 4096)}]
    return len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))
