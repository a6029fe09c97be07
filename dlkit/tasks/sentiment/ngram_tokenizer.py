"""A tokenizer whose tokens are n-grams of words and of characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self, cast

from dlkit.lazy import keras, tf
from dlkit.text.tokenizer import Tokenizer
from dlkit.text.vocabulary import FIRST_ID, count_tokens, lookup_table, vocabulary_ids
from dlkit.text.words import split_words

# Marks character n-grams in the vocabulary. No word starts with it, as punctuation is split off.
CHARACTER_PREFIX = "c:"


def make_word_ngrams(words: tf.RaggedTensor, max_length: int) -> tf.RaggedTensor:
    """Make n-grams of 1 to `max_length` words, joined by spaces, shorter ones first: ragged string to ragged string."""
    return tf.strings.ngrams(words, list(range(1, max_length + 1)), separator=" ")


def make_character_ngrams(
    words: tf.RaggedTensor, min_length: int, max_length: int, across_words: bool = False
) -> tf.RaggedTensor:
    """Make n-grams of characters, shorter ones first: (batch, (words)) to (batch, (n-grams)) ragged string.

    Args:
        words: (batch, (words)) ragged string.
        min_length, max_length: lengths of the n-grams, in characters.
        across_words: whether they are n-grams of the whole text, in which a space stands before, between and after
            the words, rather than of each `<word>`.
    """
    lengths = list(range(min_length, max_length + 1))
    if across_words:
        text = tf.strings.reduce_join(tf.strings.join([words, " "]), axis=1)
        # A text without words has no n-gram, rather than one of spaces.
        text = tf.where(tf.strings.length(text) > 0, tf.strings.join([" ", text]), text)
        return tf.strings.ngrams(tf.strings.unicode_split(text, "UTF-8"), lengths, separator="")
    characters = tf.strings.unicode_split(tf.strings.join(["<", words.flat_values, ">"]), "UTF-8")
    ngrams = tf.strings.ngrams(characters, lengths, separator="")
    return words.with_values(ngrams).merge_dims(1, 2)


@keras.saving.register_keras_serializable("dlkit")
class NgramTokenizer(Tokenizer):
    """Finds the n-grams of words, and of characters, that a text has.

    Words are those of `Words`. N-grams that are not in the vocabulary are dropped. The others come in this order:
    single words, pairs of words, ..., character n-grams; longer sequences are truncated.

    Call with `text`: (batch,) string, UTF-8. Returns a dict of `token_ids`: (batch, max_tokens) int32, 0 for padding, 2
    and up for the vocabulary (1, the unknown token of other tokenizers, does not occur); `padding_mask`: (batch,
    max_tokens) bool, true at tokens.

    Source: Joulin et al., 2016, arXiv:1607.01759 (bags of word n-grams, here with a vocabulary in place of hashing);
    Bojanowski et al., 2016, arXiv:1607.04606 (`<`, `>` at the ends of words); Wang and Manning, 2012 (binary
    counts).

    Args:
        vocabulary: list of distinct n-grams: words joined by spaces, or `c:` and characters; entry i has id i + 2.
        max_tokens: positive integer, maximum number of n-grams of a text.
        word_ngrams: positive integer, maximum length of n-grams of words.
        character_ngrams: None, or a pair of positive integers, minimum and maximum length of n-grams of characters.
        lowercase: whether to lowercase texts.
        distinct: whether to return each n-gram of a text once.
        nfc: whether to normalize texts to NFC.
        across_words: whether n-grams of characters may extend over spaces; otherwise they are parts of words.

    Examples:
        >>> tokenizer = NgramTokenizer(["good", "film", "good film"], max_tokens=4)
        >>> tokenizer(tf.constant(["A good film."]))["token_ids"].numpy().tolist()
        [[2, 3, 4, 0]]
    """

    options = ("word_ngrams", "character_ngrams", "lowercase", "distinct", "nfc", "across_words")

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        word_ngrams: int = 2,
        character_ngrams: Sequence[int] | None = None,
        lowercase: bool = True,
        distinct: bool = True,
        nfc: bool = True,
        across_words: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_tokens, lowercase=lowercase, nfc=nfc, **kwargs)
        check_ngram_lengths(word_ngrams, character_ngrams)
        self.word_ngrams = word_ngrams
        self.character_ngrams = None if character_ngrams is None else tuple(character_ngrams)
        self.distinct = distinct
        self.across_words = across_words
        ids = dict(zip(self.vocabulary, vocabulary_ids(self.vocabulary), strict=True))
        word_ids = {key: id_ for key, id_ in ids.items() if not key.startswith(CHARACTER_PREFIX)}
        character_ids = {key.removeprefix(CHARACTER_PREFIX): id_ for key, id_ in ids.items() if key not in word_ids}
        # A table must not be empty; no n-gram is the empty string.
        self._words_table = lookup_table(list(word_ids) or [""], list(word_ids.values()) or [0], missing=0)
        self._characters_table = lookup_table(
            list(character_ids) or [""], list(character_ids.values()) or [0], missing=0
        )

    @classmethod
    def learn(
        cls,
        texts: Iterable[str],
        vocabulary_size: int,
        max_tokens: int,
        word_ngrams: int = 2,
        character_ngrams: Sequence[int] | None = None,
        lowercase: bool = True,
        distinct: bool = True,
        min_count: int = 1,
        min_character_count: int = 2,
        **options: Any,
    ) -> Self:
        """Learn a tokenizer of the most frequent n-grams of texts; ties are broken by code point.

        Args:
            texts: iterable of str.
            vocabulary_size: positive integer, maximum number of ids, those of padding and unknown tokens included.
            max_tokens: positive integer, maximum number of n-grams of a text.
            word_ngrams: positive integer, maximum length of n-grams of words.
            character_ngrams: None, or a pair of positive integers, minimum and maximum length of n-grams of
                characters, which fill what n-grams of words leave of the vocabulary.
            lowercase: whether to lowercase texts.
            distinct: whether to return each n-gram of a text once.
            min_count: positive integer; rarer n-grams of words are excluded from the vocabulary.
            min_character_count: positive integer; rarer n-grams of characters are excluded.
            options: other arguments of the layer.

        Returns:
            The tokenizer.

        Examples:
            >>> NgramTokenizer.learn(["good film", "good"], vocabulary_size=5, max_tokens=8).vocabulary
            ['good', 'film', 'good film']
        """
        nfc, across_words = options.get("nfc", True), options.get("across_words", False)
        check_ngram_lengths(word_ngrams, character_ngrams)
        texts = list(texts) if not isinstance(texts, (str, bytes)) else texts

        def split_into_word_ngrams(text: tf.Tensor) -> tf.RaggedTensor:
            return make_word_ngrams(split_words(text, lowercase, nfc), word_ngrams)

        def split_into_character_ngrams(text: tf.Tensor) -> tf.RaggedTensor:
            words = split_words(text, lowercase, nfc)
            shortest, longest = cast("Sequence[int]", character_ngrams)
            return make_character_ngrams(words, shortest, longest, across_words)

        vocabulary = count_tokens(texts, split_into_word_ngrams, vocabulary_size - FIRST_ID, min_count)
        room = vocabulary_size - FIRST_ID - len(vocabulary)
        if character_ngrams and room:
            ngrams = count_tokens(texts, split_into_character_ngrams, room, min_character_count)
            vocabulary += [CHARACTER_PREFIX + ngram for ngram in ngrams]
        return cls(vocabulary, max_tokens, word_ngrams, character_ngrams, lowercase, distinct, **options)

    def call(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.Tensor]:
        words = split_words(text, self.lowercase, self.nfc)
        ngrams = make_word_ngrams(words, self.word_ngrams)
        ids = ngrams.with_flat_values(self._words_table.lookup(ngrams.flat_values))
        if self.character_ngrams:
            shortest, longest = self.character_ngrams
            ngrams = make_character_ngrams(words, shortest, longest, self.across_words)
            ids = tf.concat([ids, ngrams.with_flat_values(self._characters_table.lookup(ngrams.flat_values))], 1)
        ids = tf.ragged.boolean_mask(ids, ids > 0)
        ids = drop_duplicates(ids) if self.distinct else ids
        return self.packed(ids, ids.row_lengths() > self.max_tokens)


def drop_duplicates(ids: tf.RaggedTensor) -> tf.RaggedTensor:
    """Drop duplicate ids of each row: (batch, (ids)) ragged int32 to the same."""
    num_ids = tf.cast(tf.reduce_max(tf.concat([ids.flat_values, [0]], 0)), tf.int64) + 1
    keys, _ = tf.unique(ids.value_rowids() * num_ids + tf.cast(ids.flat_values, tf.int64))
    # `unique` keeps the order of first appearance, so rows stay together.
    return tf.RaggedTensor.from_value_rowids(tf.cast(keys % num_ids, tf.int32), keys // num_ids, ids.nrows())


def check_ngram_lengths(word_ngrams: int, character_ngrams: Sequence[int] | None) -> None:
    """Check the lengths of n-grams. Raises ValueError if they are not positive, or in the wrong order."""
    if isinstance(word_ngrams, bool) or not isinstance(word_ngrams, int) or word_ngrams < 1:
        raise ValueError(f"`word_ngrams` must be a positive integer. Received: word_ngrams={word_ngrams!r}.")
    if character_ngrams is None:
        return
    is_pair = len(character_ngrams) == 2 and all(isinstance(length, int) and length > 0 for length in character_ngrams)
    if not is_pair or character_ngrams[0] > character_ngrams[1]:
        raise ValueError(
            "`character_ngrams` must be None or a pair of positive integers, the shorter first. "
            f"Received: character_ngrams={character_ngrams!r}."
        )
