"""Words and punctuation marks as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.text import normalize
from dlkit.text.tokenizer import Tokenizer
from dlkit.text.vocabulary import FIRST_ID, count_tokens, lookup_table, vocabulary_ids


def split_words(text: tf.Tensor | Sequence[str], lowercase: bool, nfc: bool = True) -> tf.RaggedTensor:
    """Split texts into words and punctuation marks: (batch,) string to (batch, (tokens)) ragged string."""
    return normalize.split(tf.convert_to_tensor(text, tf.string), normalize.word_table(lowercase), nfc)


@keras.saving.register_keras_serializable("dlkit")
class Words(Tokenizer):
    """Splits texts into words and punctuation marks and gives their ids.

    A word is a run of letters, marks and digits, with apostrophes inside it (`don't` is one token, `’` counts as `'`).
    Every other visible character is a token by itself, emoji and Han characters included. Characters are put in their
    compatibility form (`ﬁ` is `fi`, full-width `Ａ` is `A`) one by one, a base letter with a separate combining accent
    is composed before that with `nfc`. Invalid UTF-8 is read as U+FFFD.

    Call with `text`: (batch,) string, UTF-8. Returns a dict of `token_ids`: (batch, max_tokens) int32, 0 padding, 1
    unknown, 2 and up the vocabulary; `padding_mask`: (batch, max_tokens) bool, true at tokens; `truncated`: (batch,)
    bool, whether a text was longer.

    Args:
        vocabulary: list of distinct tokens, as `split` returns them; entry i has id i + 2.
        max_tokens: positive integer, maximum sequence length; longer texts are truncated.
        lowercase: whether to lowercase texts first.
        nfc: whether to compose characters first (Unicode's NFC).

    Examples:
        >>> from dlkit.text.words import Words
        >>> tokenizer = Words.learn(["a good film", "a bad film"], size=20, max_tokens=4)
        >>> tokenizer.vocabulary
        ['a', 'film', 'bad', 'good']
        >>> tokenizer(["a good book"])["token_ids"].numpy().tolist()
        [[2, 5, 1, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        lowercase: bool = True,
        nfc: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_tokens, lowercase=lowercase, nfc=nfc, **kwargs)
        self._table = lookup_table(self.vocabulary, vocabulary_ids(self.vocabulary), missing=1)

    @classmethod
    def learn(
        cls,
        texts: Iterable[str],
        size: int,
        max_tokens: int,
        lowercase: bool = True,
        min_count: int = 1,
        **options: Any,
    ) -> Self:
        """Make a tokenizer from the most frequent words of `texts`; ties in the order of the code points.

        Args:
            texts: iterable of str.
            size: positive integer, maximum vocabulary size, padding and unknown included.
            max_tokens: positive integer.
            lowercase: whether to lowercase texts first.
            min_count: positive integer; rarer words are left out.
            options: further arguments of the layer.
        """
        nfc = options.get("nfc", True)
        vocabulary = count_tokens(texts, lambda text: split_words(text, lowercase, nfc), size - FIRST_ID, min_count)
        return cls(vocabulary, max_tokens, lowercase, **options)

    def split(self, text: tf.Tensor | Sequence[str]) -> tf.RaggedTensor:
        """Split texts into tokens: (batch,) string to (batch, (tokens)) ragged string."""
        return split_words(text, self.lowercase, self.nfc)

    def call(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.Tensor]:
        words = self.split(text)
        tokens = words[:, : self.max_tokens]
        ids = tokens.with_flat_values(self._table.lookup(tokens.flat_values))
        return self.packed(ids, words.row_lengths() > self.max_tokens)

    def locate(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.RaggedTensor]:
        """Return all tokens of texts, untruncated, and where they stand: `ids`, `starts`, `ends` as in
        `WordPiece.locate`.

        Beside them `surface`: (batch, (tokens)) ragged string, the tokens in the text's own capitals.
        """
        table = normalize.word_table(False)
        tokens, first, after = normalize.split_with_origins(tf.convert_to_tensor(text, tf.string), table, self.nfc)
        surface = tokens.flat_values
        known = tf.strings.lower(surface, encoding="utf-8") if self.lowercase else surface
        starts, ends = normalize.locate_subwords(tf.strings.length(surface), first, after)
        made = {"ids": self._table.lookup(known), "starts": starts, "ends": ends, "surface": surface}
        return {name: tokens.with_flat_values(flat) for name, flat in made.items()}
