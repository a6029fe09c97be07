"""Vocabularies: counting them, holding them in a graph, and checking them."""

from __future__ import annotations

import collections
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence, Sized

from dlkit.lazy import keras, tf

FIRST_ID = 2  # id of a vocabulary's first entry: 0 is padding, 1 the unknown token
COUNTING_BATCH = 2048  # texts split at a time while learning a vocabulary


def count_tokens(
    texts: Iterable[str], split: Callable[[tf.Tensor], tf.RaggedTensor], size: int, min_count: int = 1
) -> list[str]:
    """The most frequent tokens of texts, most frequent first, ties in the order of the code points.

    Args:
        texts: iterable of str.
        split: function of (batch,) string giving a ragged string tensor of tokens.
        size: the most tokens to give.
        min_count: positive integer; rarer tokens are left out.

    Returns:
        List of str.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(
            "`size` must leave room for at least one token besides padding and unknown. Received: a size that "
            f"leaves room for {size}."
        )
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"`texts` must be an iterable of strings, not one string. Received: texts={texts!r}.")
    counts: collections.Counter[bytes] = collections.Counter()
    texts = iter(texts)
    while batch := list(itertools.islice(texts, COUNTING_BATCH)):
        counts.update(split(tf.constant(batch, tf.string)).flat_values.numpy().tolist())
    frequent = [(-number, token) for token, number in counts.items() if number >= min_count]
    # UTF-8 sorts like its code points.
    return [token.decode() for _, token in sorted(frequent)[:size]]


def read_vocabulary(path: str | os.PathLike[str]) -> list[str]:
    """The vocabulary in a text file (UTF-8), one token a line as in BERT's `vocab.txt`: list of str."""
    # Not `splitlines`, not `strip`: a token may be a line separator or a space of another kind.
    with pathlib.Path(path).open(encoding="utf-8", newline="\n") as file:
        tokens = [line.rstrip("\r\n") for line in file]
    empty = [number for number, token in enumerate(tokens, 1) if not token]
    if empty:
        raise ValueError(f"A vocabulary must have a token on each line. Received: line {empty[0]} of {path} is empty.")
    return tokens


def lookup_table(
    keys: Iterable[str | bytes] | Iterable[int],
    values: Iterable[int],
    missing: int = -1,
    key_dtype: tf.DType = tf.string,
) -> tf.lookup.StaticHashTable:
    """A hash table that is saved with the graph that uses it.

    Args:
        keys: list of distinct str, or of int with `key_dtype=tf.int32`.
        values: list of as many int.
        missing: integer, the value of all that is not a key.
        key_dtype: dtype of the keys.

    Returns:
        tf.lookup.StaticHashTable with int32 values.
    """
    # A table made inside a function being traced would belong to that function.
    with tf.init_scope():
        initializer = tf.lookup.KeyValueTensorInitializer(list(keys), list(values), key_dtype, tf.int32)
        return tf.lookup.StaticHashTable(initializer, missing)


def check_tokenizer(vocabulary: Sequence[str], max_tokens: int) -> None:
    """Refuses a vocabulary that is not a list of distinct strings, and a `max_tokens` that is not positive."""
    if isinstance(vocabulary, (str, bytes)) or not all(isinstance(token, str) for token in vocabulary):
        raise ValueError(f"`vocabulary` must be a list of strings. Received: vocabulary={vocabulary!r:.80}.")
    if not len(vocabulary):
        raise ValueError("`vocabulary` must have at least one token. Received: an empty vocabulary.")
    if len(set(vocabulary)) != len(vocabulary):
        twice = next(token for token, number in collections.Counter(vocabulary).items() if number > 1)
        raise ValueError(f"`vocabulary` must not have duplicate tokens. Received: {twice!r} more than once.")
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
        raise ValueError(f"`max_tokens` must be a positive integer. Received: max_tokens={max_tokens!r}.")


def vocabulary_ids(vocabulary: Sized) -> range:
    """Ids of a vocabulary that begins after padding and the unknown token."""
    return range(FIRST_ID, FIRST_ID + len(vocabulary))


def token_specs(text: keras.KerasTensor, max_tokens: int, truncated: bool = False) -> dict[str, keras.KerasTensor]:
    """The symbolic outputs of a tokenizer for symbolic (batch,) texts, and `truncated`, if it tells that."""
    shape = (text.shape[0], max_tokens)
    specs = {"token_ids": keras.KerasTensor(shape, "int32"), "padding_mask": keras.KerasTensor(shape, "bool")}
    return {**specs, "truncated": keras.KerasTensor(shape[:1], "bool")} if truncated else specs
