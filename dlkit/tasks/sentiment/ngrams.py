"""Bags of word and character n-grams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self, cast

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.text.tokenizer import Tokenizer
from dlkit.text.vocabulary import FIRST_ID, count_tokens, lookup_table, vocabulary_ids
from dlkit.text.words import split_words

# Marks n-grams of characters in the vocabulary. No word begins so: punctuation is split off.
CHARACTERS = "c:"
COUNTING_BATCH = 1024


def word_ngrams(words: tf.RaggedTensor, longest: int) -> tf.RaggedTensor:
    """Runs of 1 to `longest` words, joined by spaces, shorter runs first: ragged string -> ragged string."""
    return tf.strings.ngrams(words, list(range(1, longest + 1)), separator=" ")


def character_ngrams(words: tf.RaggedTensor, shortest: int, longest: int) -> tf.RaggedTensor:
    """Runs of characters inside each word, written `<word>`: (batch, (words)) -> (batch, (runs)) ragged string."""
    letters = tf.strings.unicode_split(tf.strings.join(["<", words.flat_values, ">"]), "UTF-8")
    runs = tf.strings.ngrams(letters, list(range(shortest, longest + 1)), separator="")
    return words.with_values(runs).merge_dims(1, 2)


@keras.saving.register_keras_serializable("dlkit")
class Ngrams(Tokenizer):
    """Finds which n-grams of words, and of the characters inside words, a text has.

    Words are those of `Words`. N-grams that are not in the vocabulary are dropped. What is left stands in this order:
    single words, pairs of words, ..., n-grams of characters; texts with more are cut at the end.

    Call with `text`: (batch,) string, UTF-8. Returns a dict of `token_ids`: (batch, max_tokens) int32, 0 padding, 2
    and up the vocabulary (1, elsewhere the unknown token, is never given); `padding_mask`: (batch, max_tokens) bool.

    Source: Joulin et al., 2016, arXiv:1607.01759 (bags of word n-grams, here with a vocabulary in place of hashing);
    Bojanowski et al., 2016, arXiv:1607.04606 (`<`, `>` at the ends of words); Wang and Manning, 2012 (each once).

    Args:
        vocabulary: list of distinct n-grams: words joined by spaces, or `c:` and characters; entry i has id i + 2.
        max_tokens: positive integer, the width of the answer.
        words: positive integer, the longest n-gram of words.
        characters: None, or a pair of positive integers, the shortest and longest n-gram of characters.
        lowercase: whether to lower the case first.
        distinct: whether to give each n-gram of a text once.
        nfc: whether to compose characters first (Unicode's NFC).
        tell_truncated: whether to give `truncated`, (batch,) bool, too: which texts have more n-grams.
    """

    options = ("words", "characters", "lowercase", "distinct", "nfc", "tell_truncated")

    def __init__(
        self,
        vocabulary: Sequence[str],
        max_tokens: int,
        words: int = 2,
        characters: Sequence[int] | None = None,
        lowercase: bool = True,
        distinct: bool = True,
        nfc: bool = False,
        tell_truncated: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(vocabulary, max_tokens, lowercase=lowercase, nfc=nfc, tell_truncated=tell_truncated, **kwargs)
        check_lengths(words, characters)
        self.words = words
        self.characters = None if characters is None else tuple(characters)
        self.distinct = distinct
        ids = dict(zip(self.vocabulary, vocabulary_ids(self.vocabulary), strict=True))
        of_words = {key: number for key, number in ids.items() if not key.startswith(CHARACTERS)}
        inside = {key[len(CHARACTERS) :]: number for key, number in ids.items() if key.startswith(CHARACTERS)}
        # A table must not be empty; no n-gram is the empty string.
        self._words_table = lookup_table(list(of_words) or [""], list(of_words.values()) or [0], missing=0)
        self._characters_table = lookup_table(list(inside) or [""], list(inside.values()) or [0], missing=0)

    @classmethod
    def learn(
        cls,
        texts: Iterable[str],
        size: int,
        max_tokens: int,
        words: int = 2,
        characters: Sequence[int] | None = None,
        lowercase: bool = True,
        distinct: bool = True,
        min_count: int = 1,
        min_character_count: int = 2,
        **options: Any,
    ) -> Self:
        """Makes a tokenizer from the most frequent n-grams of `texts`; ties in the order of the code points.

        Args:
            texts: iterable of str; read twice if `characters` is given.
            size: positive integer, the most ids to use, padding and unknown included.
            max_tokens: positive integer.
            words: positive integer, the longest n-gram of words.
            characters: None, or a pair of positive integers, the shortest and longest n-gram of characters, which
                take the room that the n-grams of words leave.
            lowercase: whether to lower the case first.
            distinct: whether to give each n-gram of a text once.
            min_count: positive integer; rarer n-grams of words are left out.
            min_character_count: positive integer; rarer n-grams of characters are left out.
            options: the layer's other ones.
        """
        nfc = options.get("nfc", False)
        check_lengths(words, characters)
        texts = list(texts) if not isinstance(texts, (str, bytes)) else texts

        def of_words(text: tf.Tensor) -> tf.RaggedTensor:
            return word_ngrams(split_words(text, lowercase, nfc), words)

        def inside(text: tf.Tensor) -> tf.RaggedTensor:
            return character_ngrams(split_words(text, lowercase, nfc), *cast("Sequence[int]", characters))

        vocabulary = count_tokens(texts, of_words, size - FIRST_ID, min_count)
        room = size - FIRST_ID - len(vocabulary)
        if characters and room:
            vocabulary += [CHARACTERS + run for run in count_tokens(texts, inside, room, min_character_count)]
        return cls(vocabulary, max_tokens, words, characters, lowercase, distinct, **options)

    def call(self, text: tf.Tensor | Sequence[str]) -> dict[str, tf.Tensor]:
        words = split_words(text, self.lowercase, self.nfc)
        grams = word_ngrams(words, self.words)
        ids = grams.with_flat_values(self._words_table.lookup(grams.flat_values))
        if self.characters:
            inside = character_ngrams(words, *self.characters)
            inside = inside.with_flat_values(self._characters_table.lookup(inside.flat_values))
            ids = tf.concat([ids, inside], 1)
        ids = tf.ragged.boolean_mask(ids, ids > 0)
        ids = each_once(ids) if self.distinct else ids
        return self.packed(ids, ids.row_lengths() > self.max_tokens)


def each_once(ids: tf.RaggedTensor) -> tf.RaggedTensor:
    """Drops what a row has already had: (batch, (ids)) ragged int32 -> the same."""
    above = tf.cast(tf.reduce_max(tf.concat([ids.flat_values, [0]], 0)), tf.int64) + 1
    keys, _ = tf.unique(ids.value_rowids() * above + tf.cast(ids.flat_values, tf.int64))
    # `unique` keeps the order of first appearance, so rows stay together.
    return tf.RaggedTensor.from_value_rowids(tf.cast(keys % above, tf.int32), keys // above, ids.nrows())


def inverse_document_frequency(tokenizer: keras.layers.Layer, texts: Sequence[str]) -> np.ndarray:
    """How telling each id is: ln((1 + texts) / (1 + texts that have it)) + 1, as scikit-learn has it.

    Args:
        tokenizer: a layer of `dlkit.text`.
        texts: list of str.

    Returns:
        (vocabulary_size,) float32, 0 for padding.
    """
    # As a graph: joining integers eagerly makes oneDNN write an error line on many processors.
    tokenize = tf.function(tokenizer, autograph=False).get_concrete_function(tf.TensorSpec([None], tf.string))
    frequency = np.zeros(tokenizer.vocabulary_size, np.int64)
    for begin in range(0, len(texts), COUNTING_BATCH):
        rows = tokenize(tf.constant(texts[begin : begin + COUNTING_BATCH]))["token_ids"].numpy()
        for row in rows:
            frequency[np.unique(row)] += 1
    weights = np.log((1 + len(texts)) / (1 + frequency)) + 1
    weights[0] = 0
    return weights.astype(np.float32)


def check_lengths(words: int, characters: Sequence[int] | None) -> None:
    """Refuses lengths of n-grams that are not positive, or in the wrong order."""
    if isinstance(words, bool) or not isinstance(words, int) or words < 1:
        raise ValueError(f"`words` must be a positive integer. Received: words={words!r}.")
    if characters is None:
        return
    good = len(characters) == 2 and all(isinstance(length, int) and length > 0 for length in characters)
    if not good or characters[0] > characters[1]:
        raise ValueError(
            "`characters` must be None or a pair of positive integers, the shorter first. "
            f"Received: characters={characters!r}."
        )
