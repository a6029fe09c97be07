"""BERT's WordPiece."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.text import normalize
from dlkit.text.normalize import CONTINUED, SINGLE, SPACE, WORD, in_ranges
from dlkit.text.scripts import HAN
from dlkit.text.tokenizer import Tokenizer
from dlkit.text.vocabulary import lookup_table

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
MAX_WORD_BYTES = 100  # longer words are unknown, as in BERT's own code


@functools.cache
def bert_table(lowercase: bool, strip_accents: bool, any_space: bool = False) -> normalize.CodePointTable:
    """Make the table of BERT's basic tokenization by code point.

    Source: Devlin et al., 2018, arXiv:1810.04805, and google-research/bert `tokenization.py`, in the reading of
    KerasHub: case is folded (NFKC_Casefold) after the split, and format characters end a word; of spaces those of ASCII
    alone, or with `any_space` all, as in BERT's own code.
    """

    def kind_of(character: str) -> int:
        category = unicodedata.category(character)
        if character in " \t\n\r\f" or category in ("Cc", "Cf") or (any_space and category[0] == "Z"):
            return SPACE
        ascii_symbol = "!" <= character <= "~" and not character.isalnum()
        return SINGLE if ascii_symbol or category[0] == "P" or in_ranges(ord(character), HAN) else WORD

    def parts(character: str) -> list[tuple[int, int]]:
        word, found = "", []
        for part in normalize.strip_accents(character) if strip_accents else character:
            kind = kind_of(part)
            if kind == WORD:
                word += part  # folded together: Hangul, taken apart with the accents, comes together again
                continue
            folded = normalize.fold_case(part) if lowercase and kind == SINGLE else part
            found += [(ord(code), CONTINUED if position else kind) for position, code in enumerate(folded)]
        word = normalize.fold_case(word) if lowercase else word
        return found + [(ord(code), WORD) for code in word]

    return normalize.CodePointTable(parts)


@keras.saving.register_keras_serializable("dlkit")
class WordPiece(Tokenizer):
    """Splits texts as BERT does, into the longest subwords of its vocabulary.

    The ids are those of KerasHub's `BertTokenizer(vocabulary, lowercase, strip_accents=strip_accents)`, packed as
    `[CLS] text [SEP]`. They differ in rare cases: with `nfc`, characters are composed first and all of Unicode's spaces
    end words, as in BERT's own code; characters newer than Python's Unicode tables are treated as letters.

    Call with `text`: (batch,) string, UTF-8. Returns a dict of `token_ids`: (batch, max_tokens) int32, positions in
    `vocabulary`, 0 where padded; `padding_mask`: (batch, max_tokens) bool, true at tokens; `truncated`: (batch,) bool,
    whether a text was longer. The closing [SEP] is always there.

    Args:
        vocabulary: list of distinct subwords, those that continue a word with the prefix `##`, [PAD] first and [UNK],
            [CLS], [SEP] anywhere.
        max_tokens: integer, 3 or more, maximum sequence length, [CLS] and [SEP] included.
        lowercase: whether to fold case.
        strip_accents: whether to drop accents; None follows `lowercase`, like the original BERT.
        nfc: whether to compose characters first (Unicode's NFC), and end words at all of Unicode's spaces.

    Examples:
        >>> from dlkit.text.wordpiece import WordPiece
        >>> tokenizer = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "film", "##s"], max_tokens=6)
        >>> tokenizer(["Good films"])["token_ids"].numpy().tolist()
        [[2, 4, 5, 6, 3, 0]]
    """

    options = ("lowercase", "strip_accents", "nfc")

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        nfc: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_tokens, lowercase=lowercase, nfc=nfc, **kwargs)
        check_special(vocabulary, max_tokens)
        self.strip_accents = strip_accents
        ids = {token: position for position, token in enumerate(self.vocabulary)}
        self._unknown, self._opening, self._closing = (ids[token] for token in SPECIAL_TOKENS[1:])
        first = {token: position for token, position in ids.items() if not is_continuation(token)}
        rest = {token[2:]: position for token, position in ids.items() if is_continuation(token)}
        self._first = lookup_table(list(first), list(first.values()))
        # A vocabulary may have no continuations, a table must not be empty; no piece is longer than a word may be.
        self._rest = lookup_table(list(rest) or ["#" * (MAX_WORD_BYTES + 1)], list(rest.values()) or [-1])
        sizes = [len(token.encode()) - (2 if is_continuation(token) else 0) for token in self.vocabulary]
        self._piece_bytes = np.array(sizes, np.int32)
        self._longest_first = max(len(token.encode()) for token in first)
        self._longest_rest = max((len(token.encode()) for token in rest), default=1)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids."""
        return len(self.vocabulary)

    def split(self, text: tf.Tensor | Sequence[str]) -> tf.RaggedTensor:
        """Split texts into words, before WordPiece: (batch,) string to (batch, (words)) ragged string."""
        return normalize.split(tf.convert_to_tensor(text, tf.string), self._table(), self.nfc)

    def _table(self) -> normalize.CodePointTable:
        strip_accents = self.lowercase if self.strip_accents is None else self.strip_accents
        return bert_table(self.lowercase, strip_accents, any_space=self.nfc)

    def call(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.Tensor]:
        room = self.max_tokens - 2
        every_word = self.split(text)
        words = every_word[:, :room]
        ids, counts = split_into_subwords(words.flat_values, self._first, self._cut)
        every_piece = tf.RaggedTensor.from_nested_row_lengths(
            ids, [words.row_lengths(), tf.cast(counts, tf.int64)], validate=False
        ).merge_dims(1, 2)
        pieces = every_piece[:, :room]
        ends = tf.ones_like(pieces.row_lengths()[:, tf.newaxis], tf.int32)
        ids = tf.concat([ends * self._opening, pieces, ends * self._closing], 1)
        return self.packed(ids, tf.maximum(every_word.row_lengths(), every_piece.row_lengths()) > room)

    def locate(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.RaggedTensor]:
        """Return all subwords of texts, without [CLS], [SEP] and truncation, and where they stand.

        Args:
            text: (batch,) string, UTF-8.

        Returns:
            Dict of `ids`, `starts`, `ends`: (batch, (pieces)) ragged int32; `starts` and `ends` are characters (code
            points) of the text, the last one not included. An invalid byte counts as one character.
        """
        words, first, after = normalize.split_with_origins(
            tf.convert_to_tensor(text, tf.string), self._table(), self.nfc
        )
        ids, counts = split_into_subwords(words.flat_values, self._first, self._cut)
        word_bytes = tf.repeat(tf.strings.length(words.flat_values), counts)
        sizes = tf.where(ids == self._unknown, word_bytes, tf.gather(self._piece_bytes, ids))
        starts, ends = normalize.locate_subwords(sizes, first, after)
        row = tf.repeat(words.value_rowids(), counts)
        return {
            name: tf.RaggedTensor.from_value_rowids(flat, row, words.nrows(), validate=False)
            for name, flat in (("ids", ids), ("starts", starts), ("ends", ends))
        }

    def _cut(self, words: tf.Tensor) -> tf.Tensor:
        """Greedy longest pieces of (words,) strings: (words, pieces) int32 ids, -1 after each word's last."""
        end = tf.strings.length(words)
        ids, at = find_longest_subword(words, tf.zeros_like(end), self._first, self._longest_first)

        def going(at: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
            return tf.reduce_any((at < end) & (ids[:, -1] >= 0))

        def step(at: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            active = tf.where((at < end) & (ids[:, -1] >= 0))[:, 0]
            piece, after = find_longest_subword(
                tf.gather(words, active), tf.gather(at, active), self._rest, self._longest_rest
            )
            column = tf.tensor_scatter_nd_update(-tf.ones_like(end), active[:, tf.newaxis], piece)
            at = tf.tensor_scatter_nd_update(at, active[:, tf.newaxis], after)
            return at, tf.concat([ids, column[:, tf.newaxis]], 1)

        at, ids = tf.while_loop(
            going,
            step,
            (at, ids[:, tf.newaxis]),
            shape_invariants=(at.shape, tf.TensorShape([None, None])),
        )
        unknown = (at < end) | (end > MAX_WORD_BYTES)
        only_unknown = tf.one_hot(0, tf.shape(ids)[1], self._unknown, -1, dtype=tf.int32)
        return tf.where(unknown[:, tf.newaxis], only_unknown, ids)


def split_into_subwords(
    words: tf.Tensor, table: tf.lookup.StaticHashTable, cut: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Split words into subwords; most words are subwords themselves.

    Args:
        words: (words,) string.
        table: StaticHashTable from pieces to ids, -1 for what is no piece.
        cut: function of (words,) strings giving the ids of their pieces, (words, pieces) int32, -1 after the last.

    Returns:
        Tuple of the ids of all pieces in order, and how many each word has, both flat int32.
    """
    whole = table.lookup(words)
    split_at = tf.where(whole < 0)[:, 0]
    found = cut(tf.gather(words, split_at))
    lengths = tf.reduce_sum(tf.cast(found >= 0, tf.int32), 1)
    counts = tf.tensor_scatter_nd_update(tf.ones_like(whole), split_at[:, tf.newaxis], lengths)
    begins = tf.cumsum(counts, exclusive=True)
    total = tf.reduce_sum(counts)
    place = tf.gather(begins, split_at)[:, tf.newaxis] + tf.range(tf.shape(found)[1])
    pieces = tf.where(found >= 0)
    ids = tf.scatter_nd(tf.gather_nd(place, pieces)[:, tf.newaxis], tf.gather_nd(found, pieces), [total])
    kept = tf.where(whole >= 0)[:, 0]
    ids = tf.tensor_scatter_nd_update(ids, tf.gather(begins, kept)[:, tf.newaxis], tf.gather(whole, kept))
    return ids, counts


def find_longest_subword(
    words: tf.Tensor, at: tf.Tensor, table: tf.lookup.StaticHashTable, longest: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the longest subword in a table that begins at a given byte of each word.

    Args:
        words: (words,) string.
        at: (words,) int32, the byte to begin at, less than the word's length.
        table: StaticHashTable from pieces to ids, -1 for what is no piece.
        longest: integer, the bytes of the longest piece in the table.

    Returns:
        Tuple of (words,) int32 ids, -1 where no piece fits; (words,) int32, the byte after the piece.
    """
    # Cutting at bytes is safe: a piece that is whole UTF-8 matches only where characters begin and end.
    ends = at[:, tf.newaxis] + tf.range(longest, 0, -1)
    fits = tf.where(ends <= tf.strings.length(words)[:, tf.newaxis])
    row = fits[:, 0]
    start, end = tf.gather(at, row), tf.gather_nd(ends, fits)
    ids = table.lookup(tf.strings.substr(tf.gather(words, row), start, end - start))
    hits = tf.where(ids >= 0)[:, 0]
    hit_row = tf.gather(row, hits)
    after = tf.math.unsorted_segment_max(tf.gather(end, hits), hit_row, tf.size(words))
    is_longest = tf.where(tf.gather(end, hits) == tf.gather(after, hit_row))
    chosen = tf.gather_nd(hits, is_longest)
    place = tf.gather(row, chosen)[:, tf.newaxis]
    found = tf.tensor_scatter_nd_update(-tf.ones_like(at), place, tf.gather(ids, chosen))
    return found, tf.where(found >= 0, after, at)


def is_continuation(token: str) -> bool:
    """Return whether a subword continues a word. `##` by itself does not."""
    return token.startswith("##") and len(token) > 2


def check_special(vocabulary: Sequence[str], max_tokens: int) -> None:
    """Raise ValueError if the vocabulary lacks BERT's special tokens or `max_tokens` leaves no room for them."""
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise ValueError(f"`vocabulary` must have {', '.join(SPECIAL_TOKENS)}. Received: none of {', '.join(missing)}.")
    if vocabulary[0] != "[PAD]":
        raise ValueError(f"`vocabulary` must begin with [PAD]. Received: {vocabulary[0]!r} first.")
    if max_tokens < 3:
        raise ValueError(f"`max_tokens` must be 3 or more: [CLS], text, [SEP]. Received: max_tokens={max_tokens}.")
