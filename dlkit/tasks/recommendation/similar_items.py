"""Items like an item: the nearest of what the network has learned of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlkit.columns import Column, Count, Id, tensor_specs
from dlkit.lazy import tf
from dlkit.limits import Limits
from dlkit.tasks.recommendation.rank_items import RankItems

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.recommendation.task import Recommender


def similar_signature(task: Recommender) -> Signature:
    """An item and how many are wanted, to the items most like it, the best first, and whether it is not known (`cold`).

    `scores` are cosines of the items' vectors, with those of their features, the mean over several members; of `ease`
    what the item says of each other, which ranks others than that say the same of it.
    """
    from dlkit.serving.signature import Signature

    reader = task.stages_.preprocess.get_layer("reader")
    likeness = _likeness(task)
    rank = RankItems(reader.items, task.top_k, ratings=True)

    def similar(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        item = reader.numbers_of(raw["item_id"])
        itself, cold = item[:, tf.newaxis], item == 0
        made = rank(likeness(item), itself, cold, itself, tf.where(cold, 0, raw["k"]))
        return {**made, "cold": cold}

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(next(iter(raw.values())))[:1]
        return {"item_id": tf.fill(rows, reader.items[0]), "k": tf.fill(rows, 3)}

    columns: dict[str, Column] = {"item_id": Id(), "k": Count(optional=True, default=task.top_k, limits=Limits(1))}
    return Signature("similar", similar, tensor_specs(columns), example=example, columns=columns)


def _likeness(task: Recommender) -> Any:
    """From numbers of items, (batch,), to how like them all are, (batch, 1 + items) float32."""
    reader, network = task.stages_.preprocess.get_layer("reader"), task.stages_.network
    if task.network == "ease":
        weights = network.get_layer("ease").weights_of_items

        def by_weights(item: tf.Tensor) -> tf.Tensor:
            found = tf.gather(tf.convert_to_tensor(weights), tf.maximum(item - 1, 0))
            return tf.pad(found, [[0, 0], [1, 0]])

        return by_weights
    names = [task.network, *(f"{task.network}_{member}" for member in range(1, task.members))]

    def vectors(name: str) -> tf.Tensor:
        layer = network.get_layer(name)
        if task.objective == "ratings":
            return layer.vectors_of(None, reader.takers_of(tf.range(len(reader.items) + 1)))
        return layer.items()

    def by_cosine(item: tf.Tensor) -> tf.Tensor:
        tables = [tf.math.l2_normalize(tf.cast(vectors(name), tf.float32), 1) for name in names]
        return tf.add_n([tf.matmul(tf.gather(table, item), table, transpose_b=True) for table in tables]) / len(names)

    return by_cosine


def similar(task: Recommender, item: Any, k: int | None) -> dict[str, Any]:
    """One answer; see `Recommender.similar`."""
    from dlkit.tasks.recommendation.stages import answer_of, number_of_items

    return answer_of(task, "similar", {"item_id": item, "k": number_of_items(task, k)})
