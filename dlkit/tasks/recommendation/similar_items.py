"""Similar items: the nearest neighbors of an item in the space that the network has learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dlkit.columns import Column, Count, Id, tensor_specs
from dlkit.lazy import tf
from dlkit.limits import Limits
from dlkit.tasks.recommendation.top_k_items import TopKItems

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.recommendation.task import Recommender


def build_similar_items_signature(task: Recommender) -> Signature:
    """Build the signature `similar_items`: from `item_id` and `k` to `items`, `scores` and `cold_start`.

    `scores` are cosine similarities of item vectors, including features, averaged over an ensemble. For `ease` they are
    the weights from the item to the others. `cold_start` tells that the item is unknown.
    """
    from dlkit.serving.signature import Signature

    lookup = task.stages_.preprocess.get_layer("history_lookup")
    compute_similarity = _build_similarity(task)
    rank = TopKItems(lookup.item_ids, task.top_k, ratings=True)

    def similar_items(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        item = lookup.lookup_items(raw["item_id"])
        itself, unknown = item[:, tf.newaxis], item == 0
        ranked = rank(compute_similarity(item), itself, unknown, itself, tf.where(unknown, 0, raw["k"]))
        return {**ranked, "cold_start": unknown}

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(next(iter(raw.values())))[:1]
        return {"item_id": tf.fill(rows, lookup.item_ids[0]), "k": tf.fill(rows, 3)}

    columns: dict[str, Column] = {"item_id": Id(), "k": Count(optional=True, default=task.top_k, limits=Limits(1))}
    return Signature("similar_items", similar_items, tensor_specs(columns), example=example, columns=columns)


def _build_similarity(task: Recommender) -> Callable[[tf.Tensor], tf.Tensor]:
    """Build a function from item numbers, (batch,) int32, to similarities, (batch, 1 + num_items) float32."""
    lookup, network = task.stages_.preprocess.get_layer("history_lookup"), task.stages_.network
    if task.network == "ease":
        weights = network.get_layer("ease").item_weights

        def item_weights(item: tf.Tensor) -> tf.Tensor:
            rows = tf.gather(tf.convert_to_tensor(weights), tf.maximum(item - 1, 0))
            return tf.pad(rows, [[0, 0], [1, 0]])

        return item_weights

    def item_vectors(name: str) -> tf.Tensor:
        layer = network.get_layer(name)
        if task.objective == "ratings":
            all_items = tf.range(len(lookup.item_ids) + 1)
            return layer.compute_item_vectors(None, lookup.lookup_item_users(all_items))
        return layer.item_embedding()

    def cosine_similarity(item: tf.Tensor) -> tf.Tensor:
        names = task.layer_names
        tables = [tf.math.l2_normalize(tf.cast(item_vectors(name), tf.float32), 1) for name in names]
        return tf.add_n([tf.matmul(tf.gather(table, item), table, transpose_b=True) for table in tables]) / len(names)

    return cosine_similarity


def find_similar_items(task: Recommender, item_id: Any, k: int | None) -> dict[str, Any]:
    """Return the items similar to one item; see `Recommender.similar_items`."""
    from dlkit.tasks.recommendation.stages import call_signature, check_k

    return call_signature(task, "similar_items", {"item_id": item_id, "k": check_k(task, k)})
