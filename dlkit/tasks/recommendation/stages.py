"""The stages of a recommender, and recommendations with a request's own number and exclusions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Column, Count, Id, tensor_specs
from dlkit.errors import DataError, HparamError
from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.options import option
from dlkit.stages import MicroBatched, chain
from dlkit.tasks.recommendation import networks as recommenders
from dlkit.tasks.recommendation.catalogue import read_features
from dlkit.tasks.recommendation.columns import Items

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.recommendation.catalogue import Catalogue
    from dlkit.tasks.recommendation.task import Recommender


LINEAR = 20_000  # the most items of ease: the matrix is of their square, 1.6 GB


def network_of(task: Recommender, known: Catalogue) -> tuple[keras.Model, keras.Model | None]:
    """What is trained, and what answers where that is another."""
    if task.network == "ease":
        return _ease(task, known), None
    builder, count = getattr(recommenders, task.network), len(known.items)
    tables = {"user": (task.user_features, known.users), "item": (task.item_features, known.items)}
    new = {"user": 0, "item": known.new}
    features = {name: _features(source, f"{name}_id", ids, new[name]) for name, (source, ids) in tables.items()}
    size = {"width": task.width, "dropout": task.dropout}
    if task.network in ("sasrec", "gru4rec"):
        size |= {"blocks": task.blocks, "item_features": features["item"].shape[1]}
        heads = {"heads": task.heads} if task.network == "sasrec" else {}
        names = [task.network, *(f"{task.network}_{member}" for member in range(1, task.members))]
        network, decode = builder(count, task.length_, names=names, **size, **heads)
        for name in names:
            _teach(network.get_layer(name).items, features["item"])
        return network, decode
    size |= {f"{name}_features": table.shape[1] for name, table in features.items()}
    kinds: dict[str, dict[str, Any]] = {
        "two_tower": {"hidden": task.hidden},
        "dcn": {"crosses": task.blocks},
    }
    own = {**kinds.get(task.network, {}), "by_takers": task.objective == "ratings", "new_items": known.new}
    scorer = builder(len(known.users), count, known_users=task.known_users, name=task.network, **size, **own)
    made = _around(task, scorer, known)
    for name in ("users", "takers", "items", "taken"):
        if hasattr(scorer, name):
            _teach(getattr(scorer, name), features["item" if name in ("items", "taken") else "user"])
    return made


def _around(task: Recommender, scorer: Any, known: Catalogue) -> tuple[keras.Model, keras.Model | None]:
    """The functional models around the layer that scores items."""
    if task.objective == "ratings":
        return recommenders.of_pairs(scorer, task.length_), None
    if not task.negatives:
        return recommenders.over_all(scorer, task.length_), None
    own = task.batch_size / (task.batch_size + task.negatives)
    network = recommenders.over_samples(scorer, task.length_, task.positives, own)
    network.get_layer("sampled").popularity.assign(known.shares()[: 1 + len(known.items) - known.new])
    return network, recommenders.over_all(scorer, task.length_)


def _ease(task: Recommender, known: Catalogue) -> keras.Model:
    from dlkit.tasks.recommendation.linear_items import item_weights

    count = len(known.items)
    if count > LINEAR:
        raise HparamError(f"{option('network')} ease supports up to {LINEAR} items. Received: {count}. Use two_tower.")
    rows = [*known.taken, *known.nameless]
    weights = item_weights(
        np.repeat(np.arange(len(rows)), [len(taken) for taken in rows]),
        np.concatenate(rows) - 1,
        len(rows),
        count,
        regularization=task.regularization,
        hidden=task.ease_hide,
        user_power=task.user_power,
        values=np.concatenate(known.weights) if task.rating_weights else None,
    )
    network = recommenders.ease(count, task.length_)
    network.get_layer("ease").weights_of_items.assign(weights)
    return network


def _features(source: str, key: str, ids: list[str], new: int) -> np.ndarray:
    return read_features(source, key, ids, new) if source else np.zeros((len(ids) + 1, 0), np.float32)


def _teach(embedding: Any, features: np.ndarray) -> None:
    if embedding.feature_count:
        embedding.features.assign(features)


def postprocess_of(task: Recommender, known: Catalogue) -> keras.Model:
    """From logits to the best items, or from what the network adds to the mean rating to a rating."""
    from dlkit.tasks.recommendation.rank_items import RankItems

    if task.objective == "ratings":
        excess = keras.Input((1,), name="excess")
        rating = keras.ops.clip(excess[:, 0] + task.mean_rating_, *task.rating_range_)
        return keras.Model({"excess": excess}, {"rating": rating}, name="postprocess")
    rank = RankItems(known.items, task.top_k, repeats=task.repeats, name="rank")
    rank.build()
    rank.popularity.assign(known.popularity())
    tensors = {
        "logits": keras.Input((len(known.items) + 1,), name="logits"),
        "seen": keras.Input((None,), dtype="int32", name="seen"),
        "cold": keras.Input((), dtype="bool", name="cold"),
    }
    return keras.Model(tensors, rank(**tensors), name="postprocess")


def recommend_signature(task: Recommender) -> Signature:
    """A user, recent items, items to exclude and to choose from and how many are wanted, to the best items with scores.

    A model that was saved before requests could name `candidates` does not ask for them.
    """
    from dlkit.serving.signature import Signature

    preprocess = task.stages_.preprocess
    reader = preprocess.get_layer("reader")
    rank = _ratings(task) if task.objective == "ratings" else _ranking(task)

    def recommend(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        read = reader(raw["user_id"], raw["recent"])
        excluded, candidates = reader.numbers_of(raw["exclude"]), None
        if reader.candidates:
            candidates = reader.numbers_of(raw["candidates"])
            candidates = tf.where(tf.logical_and(candidates == 0, raw["candidates"] != ""), -1, candidates)
        return {**rank(read, excluded, raw["k"], candidates), "cold": read["cold"]}

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(raw["user_id"])
        recent = raw.get("recent", tf.fill([rows[0], 1], ""))
        popular = tf.fill([rows[0], 1], reader.items[0])
        made = {"user_id": raw["user_id"], "recent": recent, "exclude": popular, "k": tf.fill(rows, 3)}
        if reader.candidates:
            made["candidates"] = tf.tile(tf.constant([reader.items[:6]]), [rows[0], 1])
        return made

    columns: dict[str, Column] = {
        "user_id": Id(optional=True, default=""),
        "recent": Items(optional=True, default=()),
        "exclude": Items(optional=True, default=()),
        "k": Count(optional=True, default=task.top_k, limits=Limits(1)),
    }
    if reader.candidates:
        columns["candidates"] = Items(optional=True, default=())
    return Signature("recommend", recommend, tensor_specs(columns), example=example, columns=columns)


def _ranking(task: Recommender) -> Any:
    _, network, postprocess = task.stages_.serving_models()
    run = chain(MicroBatched(network, task.max_inference_batch) if task.max_inference_batch else network)
    layer = postprocess.get_layer("rank")

    def rank(
        read: dict[str, tf.Tensor], excluded: tf.Tensor, k: tf.Tensor, candidates: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        return layer(run(read)["logits"], read["seen"], read["cold"], excluded, k, candidates)

    return rank


def _ratings(task: Recommender) -> Any:
    from dlkit.tasks.recommendation.rank_items import RankItems

    scorer = task.stages_.network.get_layer(task.network)
    reader = task.stages_.preprocess.get_layer("reader")
    layer = RankItems(reader.items, task.top_k, ratings=True, repeats=task.repeats)

    def rank(
        read: dict[str, tf.Tensor], excluded: tf.Tensor, k: tf.Tensor, candidates: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        takers = reader.takers_of(tf.range(len(reader.items) + 1))
        excess = scorer(read["user"], read["history"], takers=takers)
        ratings = tf.clip_by_value(excess + task.mean_rating_, *task.rating_range_)
        return layer(ratings, read["seen"], read["cold"], excluded, k, candidates)

    return rank


def recommend(task: Recommender, k: int | None, request: dict[str, Any]) -> dict[str, Any]:
    """One answer; see `Recommender.recommend`. What the request does not name is None."""
    given = {name: value for name, value in request.items() if value is not None}
    if "candidates" in given:
        check_candidates(task, given["candidates"])
    return answer_of(task, "recommend", {**given, "k": number_of_items(task, k)})


def check_candidates(task: Recommender, candidates: list[Any]) -> None:
    """Raises DataError for an empty list of items to choose from, and where the model does not ask for one."""
    if not candidates:
        raise DataError("`candidates` is empty. Leave it out to rank all items.")
    if not task.stages_.preprocess.get_layer("reader").candidates:
        raise DataError("this model was saved by a version without `candidates`. Train it again.")


def number_of_items(task: Recommender, k: int | None) -> int:
    """How many items a request wants. Raises DataError."""
    k = task.top_k if k is None else k
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise DataError(f"`k` must be a positive integer. Received: {k!r}.")
    return k


def answer_of(task: Recommender, signature: str, request: dict[str, Any]) -> dict[str, Any]:
    """The items that a signature gives for one request, without padding."""
    (answer,) = task.call_signature(signature, [request])
    items = [item.decode() for item in answer["items"].tolist()]
    return task.listed({"items": items, "scores": answer["scores"].tolist(), "cold": bool(answer["cold"])})
