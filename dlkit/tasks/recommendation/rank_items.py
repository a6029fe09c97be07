"""The best items of all, without those that are not to be recommended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class RankItems(keras.layers.Layer):
    """The items with the highest logits, out of all of them, without those that were seen or are excluded.

    Call with `logits`: (batch, 1 + items) float, of which the first is nothing's; `seen`: (batch, any) int32, numbers
    from 1, 0 for none; `cold`: (batch,) bool, rows that get the most popular items instead; and, if wanted, `excluded`:
    like `seen`, `k`: (batch,) int32, how many each row wants, and `candidates`: like `seen`, -1 for an item that is not
    known: where a row has any, no others come into question. Returns

    - `items`: (batch, the largest k) string, the best first, "" where there is none;
    - `scores`: (batch, the largest k) float32, 0 where there is none: the softmax over all items, before any is left
      out, or the popularity of a cold row, the item's share of the interactions. With `ratings` the logits as they are.

    Ties go to the lower number. Popularity is not trained; assign it after building, (1 + items,) shares.

    Args:
        ids: list of str, the items' ids.
        k: positive integer, how many a row gets unless told.
        ratings: whether the logits are ratings.
        repeats: whether items that were seen may come again.
    """

    def __init__(self, ids: Sequence[str], k: int, ratings: bool = False, repeats: bool = False, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.ids, self.k, self.ratings, self.repeats = list(ids), k, ratings, repeats

    def build(self, *_: Any) -> None:
        self.popularity = self.add_weight(
            shape=(len(self.ids) + 1,), initializer="zeros", trainable=False, name="popularity"
        )
        self.built = True

    def call(
        self,
        logits: tf.Tensor,
        seen: tf.Tensor,
        cold: tf.Tensor,
        excluded: tf.Tensor | None = None,
        k: tf.Tensor | None = None,
        candidates: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        count = len(self.ids)
        logits = tf.cast(logits, tf.float32)
        scores = self._scores(logits, cold)
        ranked = scores if self.ratings else tf.where(cold[:, tf.newaxis], scores, logits)
        seen = seen[:, :0] if self.repeats else seen
        left_out = seen if excluded is None else tf.concat([seen, excluded], 1)
        left_out = tf.pad(left_out, [[0, 0], [0, 1]])  # 0 at least: nothing is no item
        rows = tf.broadcast_to(tf.range(tf.shape(left_out)[0])[:, tf.newaxis], tf.shape(left_out))
        never = tf.fill(tf.shape(left_out), tf.constant(float("-inf")))
        ranked = tf.tensor_scatter_nd_update(ranked, tf.stack([rows, left_out], 2), never)
        if candidates is not None:
            ranked = tf.where(self._may_be(candidates), ranked, float("-inf"))
        wanted = tf.fill(tf.shape(cold), self.k) if k is None else k
        width = min(self.k, count) if k is None else tf.clip_by_value(tf.reduce_max(tf.concat([k, [1]], 0)), 1, count)
        best, places = tf.math.top_k(ranked, width)
        found = tf.logical_and(best > float("-inf"), tf.range(width) < wanted[:, tf.newaxis])
        items = tf.where(found, tf.gather(tf.constant(["", *self.ids]), places), "")
        return {"items": items, "scores": tf.where(found, tf.gather(scores, places, batch_dims=1), 0.0)}

    def _may_be(self, candidates: tf.Tensor) -> tf.Tensor:
        """(batch, 1 + items) bool: which items are candidates; all of a row that names none."""
        shape = tf.shape(candidates)
        rows = tf.broadcast_to(tf.range(shape[0])[:, tf.newaxis], shape)
        cells = tf.stack([rows, tf.maximum(candidates, 0)], 2)
        named = tf.scatter_nd(cells, tf.ones(shape, tf.int32), tf.stack([shape[0], len(self.ids) + 1])) > 0
        return tf.logical_or(named, tf.reduce_all(candidates == 0, 1, keepdims=True))

    def _scores(self, logits: tf.Tensor, cold: tf.Tensor) -> tf.Tensor:
        if self.ratings:
            return logits
        nothing = tf.range(len(self.ids) + 1) == 0
        shares = tf.nn.softmax(tf.where(nothing, float("-inf"), logits))
        return tf.where(cold[:, tf.newaxis], tf.convert_to_tensor(self.popularity), shares)

    def compute_output_spec(
        self,
        logits: keras.KerasTensor,
        seen: keras.KerasTensor,
        cold: keras.KerasTensor,
        excluded: keras.KerasTensor | None = None,
        k: keras.KerasTensor | None = None,
        candidates: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        shape = (logits.shape[0], min(self.k, len(self.ids)) if k is None else None)
        return {"items": keras.KerasTensor(shape, "string"), "scores": keras.KerasTensor(shape, "float32")}

    def get_config(self) -> dict[str, Any]:
        own = {"ids": self.ids, "k": self.k, "ratings": self.ratings, "repeats": self.repeats}
        return {**super().get_config(), **own}
