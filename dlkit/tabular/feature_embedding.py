"""Embeddings of the cells of a row: numbers, categories and texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, ops, tf
from dlkit.tabular.number_scaling import spread_values

BINS = 64  # of a piecewise-linear encoding
FREQUENCIES = 16  # of a periodic encoding
SIGMA = 0.5  # standard deviation of initial frequencies, of numbers scaled to a standard deviation of about 1


@keras.saving.register_keras_serializable("dlkit")
class CellEmbedding(keras.layers.Layer):
    """Embeds each cell of a row as a vector.

    A number x becomes `x * w + b + encoding(x) @ W`, with weights of its column. The encoding is none, piecewise linear
    (Gorishniy et al., 2022, arXiv:2203.05556, section 3.1, with the linear term of arXiv:2410.24210), or periodic,
    cos(2 pi (x c + d)) (section 3.2 there, with the phases of Holzmüller et al., 2024, arXiv:2407.04491). The vector
    of a missing number is learned, and so is that of an unknown category. A text is the mean of its words.

    Call with a dict of those of these that the table has: `numbers`: (batch, numbers) float32; `missing`: (batch,
    numbers) float32, 1 where a number is missing; `categories`: (batch, categories) int32; `token_ids`: (batch, texts,
    tokens) int32, 0 padding. Returns (batch, cells, width) or, with `flat`, (batch, features).

    Args:
        numbers: number of numbers of a row.
        category_sizes: number of ids of each category.
        texts: number of texts of a row.
        vocabulary_size: number of ids of words.
        encoding: of numbers: "none", "piecewise" or "periodic".
        width: width of a vector. With `flat`, of numbers; categories have `category_width`, texts 4 times as much.
        category_width: with `flat`, the width of categories.
        flat: whether all vectors of a row are concatenated.

    Examples:
        >>> import tensorflow as tf
        >>> layer = CellEmbedding(numbers=2, category_sizes=[5], width=8)
        >>> row = {"numbers": tf.zeros([1, 2]), "missing": tf.zeros([1, 2]), "categories": tf.constant([[3]])}
        >>> layer(row).shape
        TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        numbers: int = 0,
        category_sizes: Sequence[int] = (),
        texts: int = 0,
        vocabulary_size: int = 0,
        encoding: str = "none",
        width: int = 16,
        category_width: int = 8,
        flat: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.numbers, self.category_sizes, self.texts = numbers, list(category_sizes), texts
        self.vocabulary_size, self.encoding, self.width = vocabulary_size, encoding, width
        self.category_width, self.flat = category_width, flat

    @property
    def widths(self) -> list[int]:
        """Width of the vector of each cell: numbers, then categories, then texts."""
        others = (self.category_width, 4 * self.category_width) if self.flat else (self.width, self.width)
        counts = (self.numbers, len(self.category_sizes), self.texts)
        return [width for width, count in zip((self.width, *others), counts, strict=True) for _ in range(count)]

    def build(self, shapes: Any) -> None:
        shape, normal = (self.numbers, self.width), keras.initializers.RandomNormal(stddev=self.width**-0.5)
        if self.numbers:
            self.slope = self.add_weight(shape, normal, name="slope")
            self.offset = self.add_weight(shape, "zeros", name="offset")
            self.missing_vectors = self.add_weight(shape, normal, name="missing_vectors")
        if self.numbers and self.encoding == "piecewise":
            self.edges = self.add_weight((self.numbers, BINS + 1), "zeros", trainable=False, name="edges")
            self.kernel = self.add_weight((self.numbers, BINS, self.width), "zeros", name="kernel")
        elif self.numbers and self.encoding == "periodic":
            small, turn = keras.initializers.RandomNormal(stddev=SIGMA), keras.initializers.RandomUniform(0.0, 1.0)
            self.frequencies = self.add_weight((self.numbers, FREQUENCIES), small, name="frequencies")
            self.phases = self.add_weight((self.numbers, FREQUENCIES), turn, name="phases")
            scaled = keras.initializers.RandomNormal(stddev=FREQUENCIES**-0.5)
            self.kernel = self.add_weight((self.numbers, FREQUENCIES, self.width), scaled, name="kernel")
        if self.category_sizes:
            size = (sum(self.category_sizes), self.category_width if self.flat else self.width)
            uniform = keras.initializers.RandomNormal(stddev=size[1] ** -0.5)
            self.categories = self.add_weight(size, uniform, name="embeddings")
        if self.texts:
            size = (self.vocabulary_size, 4 * self.category_width if self.flat else self.width)
            self.words = self.add_weight(size, keras.initializers.RandomNormal(stddev=0.1), name="word_embeddings")

    def adapt(self, scaled: np.ndarray) -> None:
        """Set the bins of a piecewise-linear encoding, each with about as many of (rows, numbers) scaled numbers."""
        if self.numbers and self.encoding == "piecewise":
            self.edges.assign([_edges(spread_values(values, BINS + 1)) for values in scaled.T])

    def call(self, row: Mapping[str, tf.Tensor]) -> tf.Tensor:
        vectors = []
        if self.numbers:
            vectors.append(self._embed_numbers(row["numbers"], row["missing"]))
        if self.category_sizes:
            offsets = np.cumsum([0, *self.category_sizes[:-1]])
            known = ops.minimum(row["categories"], np.array(self.category_sizes) - 1)
            vectors.append(ops.take(self.categories, known + offsets, axis=0))
        if self.texts:
            ids = row["token_ids"]
            mask = ops.cast(ops.expand_dims(ids > 0, -1), self.compute_dtype)
            total = ops.sum(ops.take(self.words, ids, axis=0) * mask, axis=2)
            vectors.append(total / ops.maximum(ops.sum(mask, axis=2), 1))
        if not self.flat:
            return ops.concatenate(vectors, axis=1)
        return ops.concatenate([ops.reshape(each, (-1, each.shape[1] * each.shape[2])) for each in vectors], axis=1)

    def _embed_numbers(self, numbers: tf.Tensor, missing: tf.Tensor) -> tf.Tensor:
        x = ops.expand_dims(ops.cast(numbers, self.compute_dtype), -1)
        vectors = x * self.slope + self.offset
        if self.encoding == "piecewise":
            low, width = self.edges[:, :-1], self.edges[:, 1:] - self.edges[:, :-1]
            inside = ops.where(width > 0, (x - low) / ops.where(width > 0, width, 1), 0)
            vectors += ops.einsum("bnk,nkw->bnw", ops.clip(inside, 0, 1), self.kernel)
        elif self.encoding == "periodic":
            waves = ops.cos(2 * math.pi * (x * self.frequencies + self.phases))
            vectors += ops.einsum("bnk,nkw->bnw", waves, self.kernel)
        gone = ops.expand_dims(ops.cast(missing, self.compute_dtype), -1)
        return vectors * (1 - gone) + gone * self.missing_vectors

    def compute_output_spec(self, row: Mapping[str, keras.KerasTensor]) -> keras.KerasTensor:
        batch = next(iter(row.values())).shape[0]
        shape = (batch, sum(self.widths)) if self.flat else (batch, len(self.widths), self.width)
        return keras.KerasTensor(shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        names = ("numbers", "category_sizes", "texts", "vocabulary_size", "encoding", "width", "category_width", "flat")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _edges(distinct: np.ndarray) -> np.ndarray:
    return np.pad(distinct, (0, BINS + 1 - len(distinct)), "edge")
