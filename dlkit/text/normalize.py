"""Per-code-point normalization and splitting of texts into tokens, in core TensorFlow ops.

TensorFlow's core has neither Unicode normalization nor case folding. Both are worked out here in Python, once for
every code point, and applied in the graph as one table look-up per character. What depends on more than one
character at a time (composing `e` + U+0301 into `é`) is done before that, where it is asked for: see `compose`.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable

from dlkit.lazy import tf
from dlkit.text.code_points import CodePointTable, neighbor
from dlkit.text.compose import compose
from dlkit.text.scripts import HAN
from dlkit.tracing import trace_function

# Kinds of code points.
SPACE = 1  # ends a token and is dropped
SINGLE = 2  # a token by itself: punctuation, symbols, Han characters
WORD = 3  # joins its neighbours of the same kind
CONTINUED = 4  # the rest of what an ALONE character became: `…` folded to `...` stays one token
APOSTROPHE = 5  # WORD between two WORD characters, else ALONE

# Unicode's Default_Ignorable_Code_Point, which `unicodedata` does not have.
IGNORABLE = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)


def in_ranges(code: int, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether a code point lies in one of the (first, last) ranges."""
    for first, last in ranges:  # noqa: SIM110 -- much faster than any(), and called for every code point
        if first <= code <= last:
            return True
    return False


def fold_case(text: str) -> str:
    """Unicode's NFKC_Casefold of a Python string."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in text if not in_ranges(ord(character), IGNORABLE))


def strip_accents(text: str) -> str:
    """Decomposes a Python string (NFD) and drops its nonspacing marks."""
    text = unicodedata.normalize("NFD", text)
    return "".join(character for character in text if unicodedata.category(character) != "Mn")


# White space, control characters, and what is as invisible: zero width spaces and joiners, byte order marks.
BLANK = r"[\p{Z}\p{Cc}\x{200b}-\x{200f}\x{2060}\x{feff}]"


def strip_end(text: tf.Tensor) -> tf.Tensor:
    """Texts without the blanks at their ends: (batch,) string to the same."""
    return tf.strings.regex_replace(text, BLANK + r"+\z", "")


def split(text: tf.Tensor, table: CodePointTable, nfc: bool = False) -> tf.RaggedTensor:
    """Splits texts into tokens as a table's kinds say.

    Args:
        text: (batch,) string, UTF-8; invalid bytes read as U+FFFD.
        table: CodePointTable.
        nfc: whether to compose characters first.

    Returns:
        (batch, (tokens)) ragged string.
    """
    return _trace_split(table, nfc)(text)


@functools.cache
def _trace_split(table: CodePointTable, nfc: bool) -> Callable[[tf.Tensor], tf.RaggedTensor]:
    return trace_function(lambda text: _split(text, table, nfc)[0], tf.TensorSpec([None], tf.string))


def split_with_origins(
    text: tf.Tensor, table: CodePointTable, nfc: bool = False
) -> tuple[tf.RaggedTensor, tf.Tensor, tf.Tensor]:
    """Splits texts as `split` does, and tells where each byte of a token came from.

    Args:
        text: (batch,) string, UTF-8; an invalid byte counts as one character.
        table: CodePointTable.
        nfc: whether to compose characters first.

    Returns:
        Tuple of (batch, (tokens)) ragged string; `first` and `after`: (bytes,) int32 for the bytes of all tokens in a
        row, the character of the original text that a byte is made of, and the one after it, counted from each text's
        begin. Characters that became nothing, such as combining accents, belong to the one before them.
    """
    return _trace_split_with_origins(table, nfc)(text)


@functools.cache
def _trace_split_with_origins(table: CodePointTable, nfc: bool) -> Callable[[tf.Tensor], tuple]:
    return trace_function(lambda text: _split_with_origins(text, table, nfc), tf.TensorSpec([None], tf.string))


def _split_with_origins(
    text: tf.Tensor, table: CodePointTable, nfc: bool
) -> tuple[tf.RaggedTensor, tf.Tensor, tf.Tensor]:
    tokens, characters, origin, row, parts, kept = _split(text, table, nfc)
    begins = tf.cast(characters.row_starts(), tf.int32)
    ends = begins + tf.cast(characters.row_lengths(), tf.int32)
    following = tf.where(neighbor(row, -1) == row, neighbor(origin, -1), tf.gather(ends, row))
    after = tf.maximum(following, origin + 1)  # of what became several parts, the next one is the character itself
    code, begin = tf.gather(parts, kept), tf.gather(begins, tf.gather(row, kept))
    sizes = 1 + sum(tf.cast(code >= least, tf.int32) for least in (0x80, 0x800, 0x10000))  # bytes in UTF-8
    return tokens, *(tf.repeat(tf.gather(place, kept) - begin, sizes) for place in (origin, after))


def locate_subwords(sizes: tf.Tensor, first: tf.Tensor, after: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where pieces stand in the original texts.

    Args:
        sizes: (pieces,) int32, their bytes; they follow each other and cover all tokens.
        first, after: of `split_with_origins`.

    Returns:
        Tuple of (pieces,) int32: each piece's first character, and the one after its last.
    """
    ends = tf.cumsum(sizes)
    return tf.gather(first, ends - sizes), tf.gather(after, ends - 1)


def _split(
    text: tf.Tensor, table: CodePointTable, nfc: bool
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    characters = tf.strings.unicode_decode(text, "UTF-8", errors="replace")
    codes, row = characters.flat_values, tf.cast(characters.value_rowids(), tf.int32)
    if nfc:
        codes, composed, row = compose(codes, row)
    origin, parts, kinds = table(codes)
    row = tf.gather(row, origin)
    origin = tf.gather(composed, origin) if nfc else origin
    kinds = resolve_apostrophes(kinds, row)
    opens = (kinds == SINGLE) | ((kinds == WORD) & ~((neighbor(kinds, 1) == WORD) & (neighbor(row, 1) == row)))
    kept = tf.where(kinds != SPACE)[:, 0]
    token_of = tf.gather(tf.cumsum(tf.cast(opens, tf.int32)) - 1, kept)
    tokens = tf.strings.unicode_encode(
        tf.RaggedTensor.from_value_rowids(
            tf.gather(parts, kept), tf.cast(token_of, tf.int64), tf.math.count_nonzero(opens), validate=False
        ),
        "UTF-8",
    )
    ragged = tf.RaggedTensor.from_value_rowids(
        tokens, tf.cast(tf.boolean_mask(row, opens), tf.int64), tf.size(text, tf.int64), validate=False
    )
    return ragged, characters, origin, row, parts, kept


def resolve_apostrophes(kinds: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Makes apostrophes between two WORD characters of a row WORD, and all others ALONE."""
    inside = (neighbor(kinds, 1) == WORD) & (neighbor(kinds, -1) == WORD)
    inside &= (neighbor(row, 1) == row) & (neighbor(row, -1) == row)
    return tf.where(kinds == APOSTROPHE, tf.where(inside, WORD, SINGLE), kinds)


def pack(ids: tf.RaggedTensor, max_tokens: int) -> dict[str, tf.Tensor]:
    """Cuts and pads rows of ids.

    Args:
        ids: (batch, (tokens)) ragged int32.
        max_tokens: positive integer.

    Returns:
        Dict of `token_ids`: (batch, max_tokens) int32, 0 where padded; `padding_mask`: (batch, max_tokens) bool, true
        at tokens.
    """
    lengths = tf.minimum(tf.cast(ids.row_lengths(), tf.int32), max_tokens)
    token_ids = ids[:, :max_tokens].to_tensor(0, shape=(None, max_tokens))
    return {"token_ids": token_ids, "padding_mask": tf.sequence_mask(lengths, max_tokens)}


@functools.cache
def word_table(lowercase: bool) -> CodePointTable:
    """The table of `Words`: compatibility forms (NFKC, one character at a time), lower case if asked, and kinds."""

    def parts(character: str) -> list[tuple[int, int]]:
        category = unicodedata.category(character)
        if category in ("Zs", "Zl", "Zp", "Cc") or character == "\u200b":
            return [(ord(" "), SPACE)]
        # Joiners and variation selectors shape the glyph and not the word: dropped, and the word goes on.
        if category == "Cf" or in_ranges(ord(character), IGNORABLE):
            return []
        if character in "'’ʼ＇":
            return [(ord("'"), APOSTROPHE)]
        if in_ranges(ord(character), HAN):
            return [(ord(character), SINGLE)]
        normal = unicodedata.normalize("NFKC", character)
        # `´` would become a space and a bare mark: such forms stay as they are.
        normal = character if " " in normal else normal
        normal = normal.lower() if lowercase else normal
        if category[0] in "LMN" or category in ("Cn", "Co", "Cs"):
            return [(ord(part), WORD) for part in normal]
        return [(ord(part), CONTINUED if position else SINGLE) for position, part in enumerate(normal)]

    return CodePointTable(parts)
