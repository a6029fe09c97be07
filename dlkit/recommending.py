"""Recommendations with a request's own number and exclusions: the signature `recommend`, in Python and to serve."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dlkit.chain import Parted, chain
from dlkit.columns import Id, Items, batch_of, tensor_specs
from dlkit.errors import DataError
from dlkit.lazy import tf

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.recommendation import Recommender

ASKED = {"user_id": Id(), "recent": Items(), "exclude": Items()}


def recommend_signature(task: Recommender) -> Signature:
    """A user, recent items, items to exclude and how many are wanted, to the best items with their scores."""
    from dlkit.serving.signature import Signature

    preprocess = task.stages_.preprocess
    reader = preprocess.get_layer("reader")
    rank = _ratings(task) if task.objective == "ratings" else _ranking(task)

    def recommend(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        read = reader(raw["user_id"], raw["recent"])
        excluded = reader.numbers_of(raw["exclude"])
        return {**rank(read, excluded, raw["k"]), "cold": read["cold"]}

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(raw["user_id"])
        recent = raw.get("recent", tf.fill([rows[0], 1], ""))
        popular = tf.fill([rows[0], 1], reader.items[0])
        return {"user_id": raw["user_id"], "recent": recent, "exclude": popular, "k": tf.fill(rows, 3)}

    specs = {**tensor_specs(ASKED), "k": tf.TensorSpec([None], tf.int32)}
    return Signature("recommend", recommend, specs, example=example)


def _ranking(task: Recommender) -> Any:
    _, network, postprocess = task.stages_.answering()
    run = chain(Parted(network, task.network_rows) if task.network_rows else network)
    layer = postprocess.get_layer("rank")

    def rank(read: dict[str, tf.Tensor], excluded: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        return layer(run(read)["logits"], read["seen"], read["cold"], excluded, k)

    return rank


def _ratings(task: Recommender) -> Any:
    from dlkit.layers.rank_items import RankItems

    scorer = task.stages_.network.get_layer(task.network)
    reader = task.stages_.preprocess.get_layer("reader")
    layer = RankItems(reader.items, task.top_k, ratings=True)

    def rank(read: dict[str, tf.Tensor], excluded: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        takers = reader.takers_of(tf.range(len(reader.items) + 1))
        excess = scorer(read["user"], read["history"], takers=takers)
        ratings = tf.clip_by_value(excess + task.mean_rating_, *task.rating_range_)
        return layer(ratings, read["seen"], read["cold"], excluded, k)

    return rank


def recommend(
    task: Recommender, user_id: Any, recent: Iterable[Any], k: int | None, exclude: Iterable[Any]
) -> dict[str, Any]:
    """One answer; see `Recommender.recommend`."""
    from dlkit.serving.signature import trace

    task._check_fitted()
    if task._recommending is None or task._recommending[0] is not task.stages_:
        task._recommending = task.stages_, trace(recommend_signature(task))
    k = task.top_k if k is None else k
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise DataError(f"`k` must be a positive integer. Received: {k!r}.")
    given = {"user_id": user_id, "recent": list(recent), "exclude": list(exclude)}
    raw = {name: column.raw(given[name]) for name, column in ASKED.items()}
    made = task._recommending[1](**batch_of([raw], ASKED), k=tf.constant([k], tf.int32))
    answer = {name: made[name].numpy()[0] for name in ("items", "scores", "cold")}
    items = [item.decode() for item in answer["items"].tolist()]
    return task.listed({"items": items, "scores": answer["scores"].tolist(), "cold": bool(answer["cold"])})
