"""Subwords of any language, both ways: from texts to ids, and from ids to the texts."""

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

PADDING, START, END = 0, 1, 2
BYTE = 3  # id of the byte 0; the other bytes follow
PIECE = BYTE + 256  # id of a vocabulary's first piece
BREAK = b"\xff"  # stands in no UTF-8
SHRINKS = 3  # times that a text has fewer bytes once it is composed, at most (Unicode Standard Annex 15)
# Letters with their marks, digits one by one, other signs, each with the space before it; further white space alone.
WORD = r" ?[\p{L}\p{M}]+| ?\p{N}| ?[^\t-\r \p{L}\p{M}\p{N}]+|[\t-\r ]"


def split(text: tf.Tensor | Sequence[str], nothing_of_nothing: bool = False) -> tf.RaggedTensor:
    """Words of texts, each with the space before it: (batch,) string -> (batch, (words)) ragged string.

    The words of a row, joined, are the row with a space before it; invalid UTF-8 reads as U+FFFD. An empty row has no
    words with `nothing_of_nothing`, else it has the space.
    """
    text = tf.strings.unicode_transcode(tf.convert_to_tensor(text, tf.string), "UTF-8", "UTF-8")
    space = tf.where(text == "", "", " ") if nothing_of_nothing else " "
    marked = tf.strings.regex_replace(tf.strings.join([space, text]), f"({WORD})", BREAK + rb"\1")
    return tf.strings.split(marked, BREAK)[:, 1:]


def learn_pieces(texts: Sequence[str], size: int) -> list[str]:
    """The pieces of a vocabulary of `size` ids, learned by byte-pair encoding.

    Sennrich et al., 2016, arXiv:1508.07909, by the package `tokenizers`. Characters beyond the most frequent get no
    piece: they are written in bytes.

    Args:
        texts: list of str, of all languages.
        size: positive integer, the most ids to use, those of bytes and special tokens included.

    Raises:
        DlkitError: `tokenizers` is not installed.
    """
    try:
        from tokenizers import Tokenizer, models, trainers
    except ImportError as error:
        raise DlkitError(f"learning subwords needs the package tokenizers: {install_hint('translation')}.") from error
    room = size - PIECE
    if room < 1:
        raise ValueError(
            f"a vocabulary must have more than {PIECE} ids, which are reserved for bytes. Received: {size}."
        )

    def words() -> Iterator[list[str]]:
        for start in range(0, len(texts), COUNTING_BATCH):
            found = split(texts[start : start + COUNTING_BATCH]).flat_values.numpy()
            yield [word.decode() for word in found.tolist()]

    # ASCII characters are bytes already, and take no room.
    trainer = trainers.BpeTrainer(
        vocab_size=room + 128, limit_alphabet=max(room // 2, 128), min_frequency=2, show_progress=False
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.train_from_iterator(words(), trainer)
    found: Any = tokenizer.get_vocab()
    return [piece for piece in sorted(found, key=found.get) if len(piece.encode()) > 1][:room]


@keras.saving.register_keras_serializable("dlkit")
class Subwords(keras.layers.Layer):
    """Splits texts into the longest pieces that its vocabulary has, and bytes where no piece fits.

    A word takes the space before it along; from its begin on, each piece is the longest one that fits. That reads a
    vocabulary of byte-pair encoding otherwise than by its merges, at no loss of quality (Uzan et al., 2024,
    arXiv:2403.01289). Case, accents, spaces and line ends are kept, and all 256 bytes have ids: there is no unknown
    token, and `JoinSubwords` gives back every text, with `nfc` every composed one without blanks at its end.

    Call with `text`: (batch,) string, UTF-8. Returns a dict of `token_ids`: (batch, max_tokens) int32, 0 padding, 1 the
    start token, which no text has, 2 the end, 3 to 258 bytes, 259 and up the pieces; `padding_mask`: (batch,
    max_tokens) bool, true at tokens; `truncated`: (batch,) bool, whether the text was cut. The last token is the end.

    Args:
        pieces: list of distinct strings of two or more bytes, as `learn_pieces` gives them.
        max_tokens: integer, 2 or more, the width of the answer.
        byte_ids: False for a vocabulary from elsewhere: `pieces` are then what the ids from 3 on spell, their bytes
            read as Latin-1, empty for nothing. Bytes that no piece spells get the first id that spells nothing.
        nfc: whether to compose characters (Unicode's NFC), and drop blanks at the end of a text, first. Blanks alone
            are nothing then but the end.
    """

    def __init__(self, pieces: Sequence[str], max_tokens: int, byte_ids: bool = True, nfc: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        check_tokenizer(pieces if byte_ids else ["any"], max_tokens)
        if max_tokens < 2:
            raise ValueError(f"`max_tokens` must be 2 or more: text, end. Received: max_tokens={max_tokens}.")
        self.pieces = list(pieces)
        self.max_tokens = max_tokens
        self.byte_ids, self.nfc = byte_ids, nfc
        ids = _ids_of(spelling(self.pieces, byte_ids))
        self._longest = max(map(len, ids))
        self._table = lookup_table(ids, ids.values())
        self._convert_input_args = False  # Keras knows no string tensors
        self._allow_non_tensor_positional_args = True  # a list of str may be given

    @property
    def vocabulary_size(self) -> int:
        """Number of ids."""
        return (PIECE if self.byte_ids else BYTE) + len(self.pieces)

    @property
    def limits(self) -> dict[str, Limits]:
        """What its tensors can be, where a request brings them."""
        return {"token_ids": Limits(0, self.vocabulary_size - 1), "padding_mask": Limits(nonzero=True)}

    def call(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.Tensor]:
        room = self.max_tokens - 1
        text = tf.convert_to_tensor(text, tf.string)
        # So many bytes hold more tokens than there is room for: the rest is never reached.
        enough = (room + 2) * self._longest
        if self.nfc:
            text = compose_text(tf.strings.substr(normalize.strip_end(text), 0, SHRINKS * enough))
        text = tf.strings.substr(text, 0, enough)
        words = split(text, self.nfc)[:, : room + 1]
        ids, counts = split_into_subwords(words.flat_values, self._table, self._cut)
        tokens = tf.RaggedTensor.from_nested_row_lengths(
            ids, [words.row_lengths(), tf.cast(counts, tf.int64)], validate=False
        ).merge_dims(1, 2)
        ends = tf.fill([tf.shape(text)[0], 1], END)
        packed = normalize.pack(tf.concat([tokens[:, :room], ends], 1), self.max_tokens)
        return {**packed, "truncated": tokens.row_lengths() > room}

    def _cut(self, words: tf.Tensor) -> tf.Tensor:
        """Greedy longest pieces of (words,) strings: (words, pieces) int32 ids, -1 after each word's last."""
        end = tf.strings.length(words)

        def step(at: tf.Tensor, ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            active = tf.where(at < end)[:, 0]
            piece, after = find_longest_subword(
                tf.gather(words, active), tf.gather(at, active), self._table, self._longest
            )
            column = tf.tensor_scatter_nd_update(-tf.ones_like(end), active[:, tf.newaxis], piece)
            at = tf.tensor_scatter_nd_update(at, active[:, tf.newaxis], after)
            return at, tf.concat([ids, column[:, tf.newaxis]], 1)

        return tf.while_loop(
            lambda at, ids: tf.reduce_any(at < end),
            step,
            (tf.zeros_like(end), tf.zeros([tf.size(end), 0], tf.int32)),
            shape_invariants=(end.shape, tf.TensorShape([None, None])),
            maximum_iterations=self.max_tokens,  # of which no more fit
        )[1]

    def compute_output_spec(self, text: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        return token_specs(text, self.max_tokens, truncated=True)

    def get_config(self) -> dict[str, Any]:
        own = {"pieces": self.pieces, "max_tokens": self.max_tokens, "byte_ids": self.byte_ids, "nfc": self.nfc}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("dlkit")
class JoinSubwords(keras.layers.Layer):
    """The texts of subwords: the inverse of `Subwords`.

    Call with `token_ids`: (batch, tokens) int32. Returns (batch,) string; bytes that make no UTF-8 become U+FFFD.

    Args:
        pieces, byte_ids: those of `Subwords`.
    """

    def __init__(self, pieces: Sequence[str], byte_ids: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.pieces, self.byte_ids = list(pieces), byte_ids

    def call(self, token_ids: tf.Tensor) -> tf.Tensor:
        joined = tf.strings.reduce_join(tf.gather(tf.constant(spelling(self.pieces, self.byte_ids)), token_ids), axis=1)
        text = tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8")
        return tf.strings.regex_replace(text, "^ ", "")  # the one that `split` puts before a text

    def compute_output_spec(self, token_ids: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((token_ids.shape[0],), "string")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pieces": self.pieces, "byte_ids": self.byte_ids}


def spelling(pieces: Sequence[str], byte_ids: bool = True) -> list[bytes]:
    """The bytes of each id: list of bytes, empty for special tokens."""
    if not byte_ids:
        return [b""] * BYTE + [piece.encode("latin-1") for piece in pieces]
    return [b""] * BYTE + [bytes([byte]) for byte in range(256)] + [piece.encode() for piece in pieces]


def _ids_of(spelled: Sequence[bytes]) -> dict[bytes, int]:
    """Bytes to ids, every single byte among them."""
    ids = {piece: number for number, piece in enumerate(spelled) if piece}
    missing = [bytes([byte]) for byte in range(256) if bytes([byte]) not in ids]
    unknown = spelled.index(b"", BYTE) if missing and b"" in spelled[BYTE:] else BYTE
    return ids | dict.fromkeys(missing, unknown)
