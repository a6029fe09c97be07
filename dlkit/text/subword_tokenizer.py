"""Subword tokenization of any language, and its inverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dlkit.errors import DlkitError
from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.text import normalize
from dlkit.text.compose import compose_text
from dlkit.text.vocabulary import COUNTING_BATCH, check_tokenizer, lookup_table, token_specs
from dlkit.text.wordpiece import find_longest_subword, split_into_subwords
from dlkit.version import install_hint

PADDING_ID, START_ID, END_ID = 0, 1, 2
FIRST_BYTE_ID = 3  # id of byte 0; the other bytes follow
FIRST_SUBWORD_ID = FIRST_BYTE_ID + 256  # id of the first subword of a vocabulary
WORD_SEPARATOR = b"\xff"  # does not occur in UTF-8
MAX_NFC_SHRINKAGE = 3  # maximum factor by which NFC shortens a text in bytes (Unicode Standard Annex 15)
# Letters with their marks, single digits, other symbols, each with the space before it; further white space alone.
WORD_PATTERN = r" ?[\p{L}\p{M}]+| ?\p{N}| ?[^\t-\r \p{L}\p{M}\p{N}]+|[\t-\r ]"


def pretokenize(text: tf.Tensor | Sequence[str], exact: bool = False) -> tf.RaggedTensor:
    """Split texts into words, each with the space before it: (batch,) string to (batch, (words)) ragged string.

    The words of a row, concatenated, are the row with a space before it, or the row itself with `exact`; invalid UTF-8
    is read as U+FFFD. An empty row has no words.
    """
    text = tf.strings.unicode_transcode(tf.convert_to_tensor(text, tf.string), "UTF-8", "UTF-8")
    if not exact:
        text = tf.strings.join([tf.where(text == "", "", " "), text])
    marked = tf.strings.regex_replace(text, f"({WORD_PATTERN})", WORD_SEPARATOR + rb"\1")
    return tf.strings.split(marked, WORD_SEPARATOR)[:, 1:]


def learn_subwords(texts: Sequence[str], vocabulary_size: int, exact: bool = False) -> list[str]:
    """Learn the subwords of a vocabulary by byte-pair encoding.

    Source: Sennrich et al., 2016, arXiv:1508.07909, by the package `tokenizers`. Rare characters get no subword: they
    are encoded as bytes.

    Args:
        texts: list of str, in all languages.
        vocabulary_size: integer above 259, maximum number of ids, those of bytes and special tokens included.
        exact: as of the `SubwordTokenizer` that uses them.

    Returns:
        List of subwords of two or more bytes.

    Raises:
        DlkitError: `tokenizers` is not installed.
        ValueError: `vocabulary_size` is too small.

    Examples:
        >>> learn_subwords(["abab abab"], 264)[:2]
        ['ab', ' ab']
    """
    try:
        from tokenizers import Tokenizer, models, trainers
    except ImportError as error:
        raise DlkitError(f"learning subwords needs the package tokenizers: {install_hint('translation')}.") from error
    room = vocabulary_size - FIRST_SUBWORD_ID
    if room < 1:
        raise ValueError(
            f"a vocabulary must have more than {FIRST_SUBWORD_ID} ids, which are reserved for bytes. Received: "
            f"{vocabulary_size}."
        )

    def iterate_words() -> Iterator[list[str]]:
        for start in range(0, len(texts), COUNTING_BATCH):
            words = pretokenize(texts[start : start + COUNTING_BATCH], exact).flat_values.numpy()
            yield [word.decode() for word in words.tolist()]

    # ASCII characters are bytes already, and need no subword.
    trainer = trainers.BpeTrainer(
        vocab_size=room + 128, limit_alphabet=max(room // 2, 128), min_frequency=2, show_progress=False
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(iterate_words(), trainer)
    ids: Any = tokenizer.get_vocab()
    return [subword for subword in sorted(ids, key=ids.get) if len(subword.encode()) > 1][:room]


@keras.saving.register_keras_serializable("dlkit")
class SubwordTokenizer(keras.layers.Layer):
    """Splits texts into the longest subwords of its vocabulary, and into bytes where no subword matches.

    A word includes the space before it, and is split greedily from its start into the longest subwords that match. That
    is not how byte-pair encoding applies its merges, at no loss of quality (Uzan et al., 2024, arXiv:2403.01289). Texts
    are normalized to NFC, and trailing blanks are stripped. Case, accents, spaces and line ends are kept, and all 256
    bytes have ids: there is no unknown token, and `SubwordDetokenizer` restores every normalized text. With `exact`,
    nothing is normalized or stripped: every text is restored byte by byte, and a text that begins where a token begins
    in a longer one has the tokens that follow there.

    Call with `text`: (batch,) string, UTF-8. Returns a dict of `token_ids`: (batch, max_tokens) int32, 0 for padding, 1
    for the start token, which texts do not have, 2 for the end token, 3 to 258 for bytes, 259 and up for subwords;
    `padding_mask`: (batch, max_tokens) bool, true at tokens; `truncated`: (batch,) bool, whether the text was
    truncated. The last token of a text is the end token.

    Args:
        subwords: list of distinct strings of two or more bytes, as returned by `learn_subwords`.
        max_tokens: integer, 2 or more, maximum sequence length in tokens, the end token included.
        byte_ids: False for another vocabulary, such as a preset's: `subwords` are then those of the ids from 3 on,
            their bytes read as Latin-1, empty for special tokens. Bytes without a subword get the first empty id.
        exact: whether texts are taken as they are.

    Examples:
        >>> tokenizer = SubwordTokenizer([" good", "film"], max_tokens=8)
        >>> tokens = tokenizer(tf.constant(["good"]))
        >>> tokens["token_ids"].numpy().tolist()
        [[259, 2, 0, 0, 0, 0, 0, 0]]
    """

    def __init__(
        self, subwords: Sequence[str], max_tokens: int, byte_ids: bool = True, exact: bool = False, **kwargs: Any
    ):
        super().__init__(**kwargs)
        check_tokenizer(subwords if byte_ids and subwords else ["any"], max_tokens)
        if max_tokens < 2:
            raise ValueError(f"`max_tokens` must be 2 or more: text, end. Received: max_tokens={max_tokens}.")
        self.subwords = list(subwords)
        self.max_tokens, self.byte_ids, self.exact = max_tokens, byte_ids, exact
        ids = _make_ids(make_spellings(self.subwords, byte_ids))
        self._max_subword_bytes = max(map(len, ids))
        self._table = lookup_table(ids, ids.values())
        self._convert_input_args = False  # Keras does not know string tensors
        self._allow_non_tensor_positional_args = True  # a list of str may be given

    @property
    def vocabulary_size(self) -> int:
        """Number of ids."""
        return (FIRST_SUBWORD_ID if self.byte_ids else FIRST_BYTE_ID) + len(self.subwords)

    @property
    def limits(self) -> dict[str, Limits]:
        """The ranges of its tensors, by which requests that contain them are checked."""
        return {"token_ids": Limits(0, self.vocabulary_size - 1), "padding_mask": Limits(nonzero=True)}

    def call(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.Tensor]:
        room = self.max_tokens - 1
        text = tf.convert_to_tensor(text, tf.string)
        # So many bytes have more tokens than `max_tokens`: the rest would be truncated anyway.
        max_bytes = (room + 2) * self._max_subword_bytes
        if not self.exact:
            text = compose_text(tf.strings.substr(normalize.strip_end(text), 0, MAX_NFC_SHRINKAGE * max_bytes))
        tokens = self._split(pretokenize(tf.strings.substr(text, 0, max_bytes), self.exact)[:, : room + 1])
        ends = tf.fill([tf.shape(text)[0], 1], END_ID)
        packed = normalize.pack(tf.concat([tokens[:, :room], ends], 1), self.max_tokens)
        return {**packed, "truncated": tokens.row_lengths() > room}

    def tokenize(self, text: tf.Tensor | Sequence[str]) -> tf.RaggedTensor:
        """Return all tokens of exact texts, without an end token and whatever their number.

        Args:
            text: (batch,) string, UTF-8.

        Returns:
            (batch, (tokens)) ragged int32.

        Examples:
            >>> SubwordTokenizer([" good"], max_tokens=2, exact=True).tokenize(["a good"]).to_list()
            [[100, 259]]
        """
        text = tf.convert_to_tensor(text, tf.string)
        if not self.exact:
            raise ValueError("`tokenize` needs a tokenizer with exact=True.")
        if self.byte_ids and not self.subwords:
            found = tf.strings.bytes_split(text)
            values = tf.reshape(tf.io.decode_raw(found.flat_values, tf.uint8), [-1])  # of no bytes: (0, 0)
            return found.with_flat_values(tf.cast(values, tf.int32) + FIRST_BYTE_ID)
        return self._split(pretokenize(text, exact=True), limit=None)

    def _split(self, words: tf.RaggedTensor, limit: int | None = -1) -> tf.RaggedTensor:
        """Split the words of each row into subwords: (batch, (words)) string to (batch, (tokens)) int32."""
        limit = self.max_tokens if limit == -1 else limit  # more subwords of a word would be truncated
        ids, counts = split_into_subwords(words.flat_values, self._table, lambda found: self._split_words(found, limit))
        return tf.RaggedTensor.from_nested_row_lengths(
            ids, [words.row_lengths(), tf.cast(counts, tf.int64)], validate=False
        ).merge_dims(1, 2)

    def _split_words(self, words: tf.Tensor, limit: int | None) -> tf.Tensor:
        """Split words greedily into their longest subwords: (words, subwords) int32 ids, padded with -1.

        At most `limit` of them; None for all.
        """
        end = tf.strings.length(words)

        def step(at: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            active = tf.where(at < end)[:, 0]
            subword_ids, after = find_longest_subword(
                tf.gather(words, active), tf.gather(at, active), self._table, self._max_subword_bytes
            )
            column = tf.tensor_scatter_nd_update(-tf.ones_like(end), active[:, tf.newaxis], subword_ids)
            at = tf.tensor_scatter_nd_update(at, active[:, tf.newaxis], after)
            return at, tf.concat([ids, column[:, tf.newaxis]], 1)

        return tf.while_loop(
            lambda at, ids: tf.reduce_any(at < end),
            step,
            (tf.zeros_like(end), tf.zeros([tf.size(end), 0], tf.int32)),
            shape_invariants=(end.shape, tf.TensorShape([None, None])),
            maximum_iterations=limit,
        )[1]

    def compute_output_spec(self, text: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        return token_specs(text, self.max_tokens)

    def get_config(self) -> dict[str, Any]:
        own = {
            "subwords": self.subwords,
            "max_tokens": self.max_tokens,
            "byte_ids": self.byte_ids,
            "exact": self.exact,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("dlkit")
class SubwordDetokenizer(keras.layers.Layer):
    """Joins subwords to texts: the inverse of `SubwordTokenizer`.

    Call with `token_ids`: (batch, tokens) int32. Returns (batch,) string; bytes that are no UTF-8 become U+FFFD. With
    `exact`, a character that is not complete at the end is left out.

    Args:
        subwords, byte_ids, exact: those of the `SubwordTokenizer`.

    Examples:
        >>> SubwordDetokenizer([" good", "film"])(tf.constant([[259, 2, 0]])).numpy().tolist()
        [b'good']
    """

    def __init__(self, subwords: Sequence[str], byte_ids: bool = True, exact: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.subwords, self.byte_ids, self.exact = list(subwords), byte_ids, exact

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        spellings = tf.constant(make_spellings(self.subwords, self.byte_ids))
        joined = tf.strings.reduce_join(tf.gather(spellings, token_ids), axis=1)
        if self.exact:
            return decode_bytes(joined)
        text = tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8")
        return tf.strings.regex_replace(text, "^ ", "")  # the space that `pretokenize` puts before a text

    def compute_output_spec(self, token_ids: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((token_ids.shape[0],), "string")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "subwords": self.subwords, "byte_ids": self.byte_ids, "exact": self.exact}


def decode_bytes(text: tf.Tensor) -> tf.Tensor:
    """Read bytes as UTF-8: a character that is not complete at the end is left out, others that are invalid become
    U+FFFD. (batch,) string to the same.
    """
    return tf.strings.unicode_transcode(drop_incomplete_character(text), "UTF-8", "UTF-8")


def drop_incomplete_character(text: tf.Tensor) -> tf.Tensor:
    """Remove the bytes at the end of texts that begin a UTF-8 character and do not complete it: (batch,) string.

    Examples:
        >>> drop_incomplete_character(tf.constant([b"caf\\xc3", b"caf\\xc3\\xa9"])).numpy().tolist()
        [b'caf', b'caf\\xc3\\xa9']
    """
    # The last three bytes, as bytes: the last character begins at the last one that does not continue another.
    size = tf.strings.length(text)
    kept = tf.minimum(size, 3)
    tail = tf.strings.join(["\0\0\0", tf.strings.substr(text, size - kept, kept)])
    tail = tf.io.decode_raw(tf.strings.substr(tail, kept, 3 * tf.ones_like(kept)), tf.uint8)
    tail = tf.ensure_shape(tf.reverse(tf.cast(tail, tf.int32), [1]), [None, 3])
    needed = tf.where(tail >= 0xF0, 4, tf.where(tail >= 0xE0, 3, tf.where(tail >= 0xC2, 2, 1)))
    is_begin = (tail < 0x80) | (tail >= 0xC0)
    is_first = is_begin & (tf.cumsum(tf.cast(is_begin, tf.int32), 1, exclusive=True) == 0)
    is_incomplete = is_first & (needed > tf.range(1, 4)) & (tail < 0xF5)
    dropped = tf.reduce_sum(tf.where(is_incomplete, tf.range(1, 4), 0), 1)
    return tf.strings.substr(text, tf.zeros_like(size), size - dropped)


def make_spellings(subwords: Sequence[str], byte_ids: bool = True) -> list[bytes]:
    """Make the spelling of each id: list of bytes, empty for special tokens."""
    if not byte_ids:
        return [b""] * FIRST_BYTE_ID + [subword.encode("latin-1") for subword in subwords]
    return [b""] * FIRST_BYTE_ID + [bytes([byte]) for byte in range(256)] + [subword.encode() for subword in subwords]


def _make_ids(spellings: Sequence[bytes]) -> dict[bytes, int]:
    """Map spellings to ids; every single byte is among them."""
    ids = {spelling: id_ for id_, spelling in enumerate(spellings) if spelling}
    missing = [bytes([byte]) for byte in range(256) if bytes([byte]) not in ids]
    unknown = spellings.index(b"", FIRST_BYTE_ID) if missing and b"" in spellings[FIRST_BYTE_ID:] else FIRST_BYTE_ID
    return ids | dict.fromkeys(missing, unknown)
