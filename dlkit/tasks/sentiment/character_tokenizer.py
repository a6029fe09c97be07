"""A tokenizer whose tokens are characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.text import normalize
from dlkit.text.compose import compose_text
from dlkit.text.tokenizer import Tokenizer
from dlkit.text.vocabulary import FIRST_ID, count_tokens, lookup_table, vocabulary_ids


def normalize_characters(text: tf.Tensor | Sequence[str], lowercase: bool, nfc: bool = True) -> tf.Tensor:
    """Normalize texts to valid UTF-8, optionally in lower case and in NFC without trailing blanks: (batch,) string."""
    text = tf.strings.unicode_transcode(tf.convert_to_tensor(text, tf.string), "UTF-8", "UTF-8")
    if nfc:
        text = compose_text(normalize.strip_end(text))
    return tf.strings.lower(text, encoding="utf-8") if lowercase else text


@keras.saving.register_keras_serializable("dlkit")
class CharacterTokenizer(Tokenizer):
    """Splits texts into Unicode code points and returns their ids.

    Spaces and line ends are tokens too. Invalid UTF-8 is read as U+FFFD.

    Call with `text`: (batch,) string, UTF-8. Returns a dict of `token_ids`: (batch, max_tokens) int32, 0 for padding,
    1 for unknown characters, 2 and up for the vocabulary; `padding_mask`: (batch, max_tokens) bool, true at tokens.
    Longer texts are truncated.

    Args:
        vocabulary: list of distinct one-character strings; entry i has id i + 2.
        max_tokens: positive integer, maximum sequence length in tokens.
        lowercase: whether to lowercase texts.
        nfc: whether to normalize texts to NFC and strip trailing blanks.

    Examples:
        >>> tokenizer = CharacterTokenizer(["a", "b"], max_tokens=4)
        >>> tokenizer(tf.constant(["abc"]))["token_ids"].numpy().tolist()
        [[2, 3, 1, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        lowercase: bool = False,
        nfc: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_tokens, lowercase=lowercase, nfc=nfc, **kwargs)
        invalid = [token for token in vocabulary if len(token) != 1]
        if invalid:
            raise ValueError(f"`vocabulary` must hold single characters. Received: {invalid[0]!r}.")
        codes = [ord(token) for token in self.vocabulary]
        self._table = lookup_table(codes, vocabulary_ids(codes), missing=1, key_dtype=tf.int32)

    @classmethod
    def learn(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        max_tokens: int,
        lowercase: bool = False,
        min_count: int = 1,
        **options: Any,
    ) -> Self:
        """Learn a tokenizer of the most frequent characters of texts; ties are broken by code point.

        Args:
            texts: iterable of str.
            vocabulary_size: positive integer, maximum number of ids, those of padding and unknown characters included.
            max_tokens: positive integer, maximum sequence length in tokens.
            lowercase: whether to lowercase texts.
            min_count: positive integer; rarer characters are excluded from the vocabulary.
            options: other arguments of the layer.

        Returns:
            The tokenizer.

        Examples:
            >>> CharacterTokenizer.learn(["abba", "b"], vocabulary_size=4, max_tokens=8).vocabulary
            ['b', 'a']
        """

        def split(text: tf.Tensor) -> tf.RaggedTensor:
            return tf.strings.unicode_split(normalize_characters(text, lowercase, options.get("nfc", True)), "UTF-8")

        return cls(count_tokens(texts, split, vocabulary_size - FIRST_ID, min_count), max_tokens, lowercase, **options)

    def call(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.Tensor]:
        characters = tf.strings.unicode_decode(normalize_characters(text, self.lowercase, self.nfc), "UTF-8")
        codes = characters[:, : self.max_tokens]
        ids = codes.with_flat_values(self._table.lookup(codes.flat_values))
        return self.packed(ids, characters.row_lengths() > self.max_tokens)
