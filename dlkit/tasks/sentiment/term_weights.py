"""Weights of n-grams: how rare they are, and how much they tell of the labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlkit.lazy import keras, tf
from dlkit.tasks.sentiment.ngram_tokenizer import CHARACTER_PREFIX, NgramTokenizer
from dlkit.text.vocabulary import FIRST_ID

COUNTING_BATCH = 1024


def count_texts(tokenizer: keras.layers.Layer, texts: Sequence[str], targets: np.ndarray) -> np.ndarray:
    """Count for each id and label the texts that have both.

    Args:
        tokenizer: a layer of `dlkit.text`.
        texts: list of str.
        targets: (texts, labels) of 0 and 1, the labels of the texts.

    Returns:
        (vocabulary_size, labels) float64, 0 for padding.

    Examples:
        >>> tokenizer = NgramTokenizer(["good", "film"], max_tokens=4)
        >>> count_texts(tokenizer, ["a good film", "a film"], np.eye(2))[2:].tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    # As a graph: concatenating integers eagerly makes oneDNN log an error on many processors.
    tokenize = tf.function(tokenizer, autograph=False).get_concrete_function(tf.TensorSpec([None], tf.string))
    counts = np.zeros((tokenizer.vocabulary_size, targets.shape[1]))
    for start in range(0, len(texts), COUNTING_BATCH):
        rows = tokenize(tf.constant(texts[start : start + COUNTING_BATCH]))["token_ids"].numpy()
        for row, target in zip(rows, targets[start:], strict=False):
            counts[np.unique(row)] += target
    counts[0] = 0
    return counts


def compute_inverse_document_frequency(found: np.ndarray, texts: int) -> np.ndarray:
    """Compute the inverse document frequency of each id: ln((1 + texts) / (1 + texts that have it)) + 1.

    This is the smoothed definition of scikit-learn's `TfidfTransformer`.

    Args:
        found: (vocabulary_size,), the texts that have each id; see `count_texts`.
        texts: the number of all texts.

    Returns:
        (vocabulary_size,) float64, 0 for padding.

    Examples:
        >>> weights = compute_inverse_document_frequency(np.array([0.0, 0.0, 1.0, 2.0]), 2)
        >>> [round(float(weight), 3) for weight in weights]
        [0.0, 2.099, 1.405, 1.0]
    """
    weights: np.ndarray = np.log((1 + texts) / (1 + found)) + 1
    weights[0] = 0
    return weights


def compute_log_odds(counts: np.ndarray, found: np.ndarray, totals: np.ndarray, texts: int) -> np.ndarray:
    """Compute how much each id tells of the label that it tells most of.

    For each label this is the absolute logarithm of the share of its texts that have the id over that of all other
    texts, with one text of each kind added (Wang and Manning, 2012, "Baselines and Bigrams": the log-count ratio of
    naive Bayes).

    Args:
        counts: (vocabulary_size, labels), see `count_texts`.
        found: (vocabulary_size,), the texts that have each id.
        totals: (labels,), the texts of each label.
        texts: the number of all texts.

    Returns:
        (vocabulary_size,) float64.

    Examples:
        >>> counts = np.array([[3.0, 0.0], [2.0, 2.0]])
        >>> compute_log_odds(counts, np.array([3.0, 4.0]), np.array([4.0, 4.0]), 8).round(2).tolist()
        [1.39, 0.0]
    """
    elsewhere = found[:, np.newaxis] - counts
    inside, outside = (counts + 1) / (totals + 2), (elsewhere + 1) / (texts - totals + 2)
    odds: np.ndarray = np.abs(np.log(inside / outside)).max(1)
    return odds


def compute_term_weights(tokenizer: NgramTokenizer, texts: Sequence[str], targets: np.ndarray) -> np.ndarray:
    """Compute the weight of each n-gram: its inverse document frequency times the square root of its log odds.

    With the log odds alone, a text without strong words has hardly any weight left; without them, those that tell
    nothing have the most.

    N-grams of characters are many more than those of words. Their weights are multiplied by a number with which both
    kinds have the same share in the norm of the weights of a text, in the mean over the texts.

    Args:
        tokenizer: the tokenizer.
        texts: the training texts.
        targets: (texts, labels) of 0 and 1, the labels of the texts.

    Returns:
        (vocabulary_size,) float32, 0 for padding.

    Examples:
        >>> tokenizer = NgramTokenizer(["good", "film", "bad"], max_tokens=4, word_ngrams=1)
        >>> weights = compute_term_weights(tokenizer, ["good film", "good", "bad film", "bad"], np.eye(2)[[0, 0, 1, 1]])
        >>> [round(float(weight), 2) for weight in weights[2:]]
        [1.58, 0.0, 1.58]
    """
    both = np.concatenate([targets, np.ones((len(texts), 1))], 1)
    counts = count_texts(tokenizer, texts, both)
    found = counts[:, -1]
    odds = compute_log_odds(counts[:, :-1], found, targets.sum(0), len(texts))
    weights = compute_inverse_document_frequency(found, len(texts)) * np.sqrt(odds)
    is_character = np.array([False] * FIRST_ID + [term.startswith(CHARACTER_PREFIX) for term in tokenizer.vocabulary])
    squares = found * weights**2
    words, characters = squares[~is_character].sum(), squares[is_character].sum()
    if words and characters:
        weights[is_character] *= np.sqrt(words / characters)
    return weights.astype(np.float32)
