"""Top-k ranking of all items, without those that must not be recommended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class TopKItems(keras.layers.Layer):
    """The items with the highest logits, without seen and excluded items.

    Call with

    - `logits`: (batch, 1 + num_items) float, padding first;
    - `seen_items`: (batch, any) int32, item numbers from 1, 0 for padding;
    - `cold_start`: (batch,) bool, rows that get the most popular items instead;
    - `excluded`: optional, like `seen_items`;
    - `k`: optional, (batch,) int32, number of items of each row;
    - `candidates`: optional, like `seen_items`, with -1 for an unknown item: a row with candidates ranks only these.

    Returns

    - `items`: (batch, largest k) string, item ids, the best first, padded with "";
    - `scores`: (batch, largest k) float32, padded with 0: the softmax over all items, before any is excluded; for a
      cold-start row the popularity, an item's fraction of the interactions; with `ratings` the logits themselves.

    Ties are broken by the lower item number. The popularity, (1 + num_items,), is not trained; assign it after
    building.

    Args:
        item_ids: list of str.
        top_k: positive int, number of items per row if `k` is not given.
        ratings: whether the logits are ratings.
        allow_repeats: whether seen items may be recommended.

    Examples:
        >>> layer = TopKItems(["a", "b", "c"], top_k=1)
        >>> layer(tf.constant([[0.0, 1.0, 3.0, 2.0]]), tf.constant([[2]]), tf.constant([False]))["items"].numpy()
        array([[b'c']], dtype=object)
    """

    def __init__(
        self, item_ids: Sequence[str], top_k: int, ratings: bool = False, allow_repeats: bool = False, **kwargs: Any
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.item_ids, self.top_k, self.ratings, self.allow_repeats = list(item_ids), top_k, ratings, allow_repeats

    def build(self, *_: Any) -> None:
        self.popularity = self.add_weight(
            shape=(len(self.item_ids) + 1,), initializer="zeros", trainable=False, name="popularity"
        )
        self.built = True

    def call(
        self,
        logits: tf.Tensor,
        seen_items: tf.Tensor,
        cold_start: tf.Tensor,
        excluded: tf.Tensor | None = None,
        k: tf.Tensor | None = None,
        candidates: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        num_items = len(self.item_ids)
        logits = tf.cast(logits, tf.float32)
        scores = self._compute_scores(logits, cold_start)
        ranked = scores if self.ratings else tf.where(cold_start[:, tf.newaxis], scores, logits)
        seen_items = seen_items[:, :0] if self.allow_repeats else seen_items
        excluded = seen_items if excluded is None else tf.concat([seen_items, excluded], 1)
        excluded = tf.pad(excluded, [[0, 0], [0, 1]])  # at least 0: padding is no item
        rows = tf.broadcast_to(tf.range(tf.shape(excluded)[0])[:, tf.newaxis], tf.shape(excluded))
        lowest = tf.fill(tf.shape(excluded), tf.constant(float("-inf")))
        ranked = tf.tensor_scatter_nd_update(ranked, tf.stack([rows, excluded], 2), lowest)
        if candidates is not None:
            ranked = tf.where(self._candidate_mask(candidates), ranked, float("-inf"))
        row_k = tf.fill(tf.shape(cold_start), self.top_k) if k is None else k
        if k is None:
            width = min(self.top_k, num_items)
        else:
            width = tf.clip_by_value(tf.reduce_max(tf.concat([k, [1]], 0)), 1, num_items)
        best, numbers = tf.math.top_k(ranked, width)
        found = tf.logical_and(best > float("-inf"), tf.range(width) < row_k[:, tf.newaxis])
        items = tf.where(found, tf.gather(tf.constant(["", *self.item_ids]), numbers), "")
        return {"items": items, "scores": tf.where(found, tf.gather(scores, numbers, batch_dims=1), 0.0)}

    def _candidate_mask(self, candidates: tf.Tensor) -> tf.Tensor:
        """Return which items are candidates, (batch, 1 + num_items) bool; all items of a row without candidates."""
        shape = tf.shape(candidates)
        rows = tf.broadcast_to(tf.range(shape[0])[:, tf.newaxis], shape)
        indices = tf.stack([rows, tf.maximum(candidates, 0)], 2)
        counts = tf.scatter_nd(indices, tf.ones(shape, tf.int32), tf.stack([shape[0], len(self.item_ids) + 1]))
        return tf.logical_or(counts > 0, tf.reduce_all(candidates == 0, 1, keepdims=True))

    def _compute_scores(self, logits: tf.Tensor, cold_start: tf.Tensor) -> tf.Tensor:
        if self.ratings:
            return logits
        padding = tf.range(len(self.item_ids) + 1) == 0
        probabilities = tf.nn.softmax(tf.where(padding, float("-inf"), logits))
        return tf.where(cold_start[:, tf.newaxis], tf.convert_to_tensor(self.popularity), probabilities)

    def compute_output_spec(
        self,
        logits: keras.KerasTensor,
        seen_items: keras.KerasTensor,
        cold_start: keras.KerasTensor,
        excluded: keras.KerasTensor | None = None,
        k: keras.KerasTensor | None = None,
        candidates: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        shape = (logits.shape[0], min(self.top_k, len(self.item_ids)) if k is None else None)
        return {"items": keras.KerasTensor(shape, "string"), "scores": keras.KerasTensor(shape, "float32")}

    def get_config(self) -> dict[str, Any]:
        own = {"item_ids": self.item_ids, "top_k": self.top_k, "ratings": self.ratings}
        return {**super().get_config(), **own, "allow_repeats": self.allow_repeats}
