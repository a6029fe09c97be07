"""Characters as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.text import normalize
from dlkit.text.compose import compose_text
from dlkit.text.tokenizer import Tokenizer
from dlkit.text.vocabulary import FIRST_ID, count_tokens, lookup_table, vocabulary_ids


def clean_characters(text: tf.Tensor | Sequence[str], lowercase: bool, nfc: bool = False) -> tf.Tensor:
    """Valid UTF-8, in lower case if asked, composed and without blanks at its end: (batch,) string -> the same."""
    text = tf.strings.unicode_transcode(tf.convert_to_tensor(text, tf.string), "UTF-8", "UTF-8")
    if nfc:
        text = compose_text(normalize.strip_end(text))
    return tf.strings.lower(text, encoding="utf-8") if lowercase else text


@keras.saving.register_keras_serializable("dlkit")
class Characters(Tokenizer):
    """Splits texts into Unicode code points and gives their ids.

    Spaces and line ends are tokens too. Invalid UTF-8 reads as U+FFFD. Without `nfc` nothing is dropped, and `é` as one
    code point and `e` with a combining accent differ.

    Call with `text`: (batch,) string, UTF-8. Returns a dict of `token_ids`: (batch, max_tokens) int32, 0 padding, 1
    unknown, 2 and up the vocabulary; `padding_mask`: (batch, max_tokens) bool, true at tokens. Longer texts are cut.

    Args:
        vocabulary: list of distinct one-character strings; entry i has id i + 2.
        max_tokens: positive integer, the width of the answer.
        lowercase: whether to lower the case first.
        nfc: whether to compose characters (Unicode's NFC), and drop blanks at the end of a text, first.
        tell_truncated: whether to give `truncated`, (batch,) bool, too: which texts are longer.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        lowercase: bool = False,
        nfc: bool = False,
        tell_truncated: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_tokens, lowercase=lowercase, nfc=nfc, tell_truncated=tell_truncated, **kwargs)
        longer = [token for token in vocabulary if len(token) != 1]
        if longer:
            raise ValueError(f"`vocabulary` must hold single characters. Received: {longer[0]!r}.")
        codes = [ord(token) for token in self.vocabulary]
        self._table = lookup_table(codes, vocabulary_ids(codes), missing=1, key_dtype=tf.int32)

    @classmethod
    def learn(
        cls,
        texts: Iterable[str],
        size: int,
        max_tokens: int,
        lowercase: bool = False,
        min_count: int = 1,
        **options: Any,
    ) -> Self:
        """Makes a tokenizer from the most frequent characters of `texts`; ties in the order of the code points.

        Args:
            texts: iterable of str.
            size: positive integer, the most ids to use, padding and unknown included.
            max_tokens: positive integer.
            lowercase: whether to lower the case first.
            min_count: positive integer; rarer characters are left out.
            options: the layer's other ones.
        """

        def split(text: tf.Tensor) -> tf.RaggedTensor:
            return tf.strings.unicode_split(clean_characters(text, lowercase, options.get("nfc", False)), "UTF-8")

        return cls(count_tokens(texts, split, size - FIRST_ID, min_count), max_tokens, lowercase, **options)

    def call(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.Tensor]:
        characters = tf.strings.unicode_decode(clean_characters(text, self.lowercase, self.nfc), "UTF-8")
        codes = characters[:, : self.max_tokens]
        ids = codes.with_flat_values(self._table.lookup(codes.flat_values))
        return self.packed(ids, characters.row_lengths() > self.max_tokens)
