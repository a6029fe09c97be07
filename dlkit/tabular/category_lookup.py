"""Lookup of the ids of categories in the graph."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from dlkit.columns import FALSE_SPELLINGS, MISSING_SPELLINGS, TRUE_SPELLINGS
from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.text.vocabulary import lookup_table

UNKNOWN, MISSING, FIRST_CATEGORY = 0, 1, 2  # ids
_BOOLEANS = {"true": TRUE_SPELLINGS, "false": FALSE_SPELLINGS, "": MISSING_SPELLINGS}


@keras.saving.register_keras_serializable("dlkit")
class CategoryLookup(keras.layers.Layer):
    """Gives the ids of the categories of several columns.

    Call with a list of (batch,) string tensors, one for each column, empty where a category is missing; blanks around a
    category are ignored. Returns (batch, columns) int32: 0 for an unknown category, 1 for a missing one, 2 and up for
    those of the vocabulary of the column.

    Args:
        vocabularies: the categories of each column.
        booleans: numbers of the columns whose categories are `true` and `false`: they also know all other spellings
            of `dlkit.columns.parse_bool` and of missing cells, in upper and lower case.

    Examples:
        >>> import tensorflow as tf
        >>> lookup = CategoryLookup([["red", "blue"], ["1"]])
        >>> lookup([tf.constant(["blue", "pink"]), tf.constant(["1", ""])]).numpy().tolist()
        [[3, 2], [0, 1]]
        >>> CategoryLookup([["true", "false"]], booleans=[0])([tf.constant(["Yes", "0", "NA", "?!"])]).numpy().tolist()
        [[2], [3], [1], [0]]
    """

    def __init__(self, vocabularies: Sequence[Sequence[str]], booleans: Sequence[int] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.vocabularies = [list(vocabulary) for vocabulary in vocabularies]
        self.booleans = list(booleans)
        self._convert_input_args = False  # Keras has no string tensors
        ids = {
            _key(column, spelling): MISSING + index
            for column, names in enumerate(self.vocabularies)
            for index, name in enumerate(("", *names))
            for spelling in (_BOOLEANS[name] if column in self.booleans else (name,))
        }
        self._table = lookup_table(ids.keys(), ids.values(), missing=UNKNOWN)

    @property
    def sizes(self) -> list[int]:
        """Number of ids of each column, the unknown and the missing one included."""
        return [FIRST_CATEGORY + len(vocabulary) for vocabulary in self.vocabularies]

    @property
    def limits(self) -> dict[str, Limits]:
        """Bounds of its output, for requests that bring preprocessed tensors."""
        return {"categories": Limits(0, max(self.sizes) - 1)}

    def call(self, columns: list[tf.Tensor]) -> tf.Tensor:
        keys = []
        for number, column in enumerate(columns):
            category = tf.strings.strip(column)
            if number in self.booleans:
                category = tf.strings.lower(category)
            keys.append(tf.strings.join([_key(number, ""), category]))
        return self._table.lookup(tf.stack(keys, axis=1))

    def compute_output_spec(self, columns: list[keras.KerasTensor]) -> keras.KerasTensor:
        return keras.KerasTensor((columns[0].shape[0], len(columns)), "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabularies": self.vocabularies, "booleans": self.booleans}


def _key(column: int, category: str) -> str:
    return f"{column}:{category}"


def learn_vocabulary(values: Sequence[bytes], size: int) -> list[str]:
    """Return the most frequent categories of a column, at most `size`, most frequent first; ties in their order.

    Examples:
        >>> learn_vocabulary([b"b", b"a", b"b", b"", b"c"], 2)
        ['b', 'a']
    """
    counts = collections.Counter(value for value in values if value)
    return [name.decode() for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]]
