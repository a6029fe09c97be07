"""The stages of a recommender, and the signature `recommend`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Column, Count, Id, tensor_specs
from dlkit.errors import DataError, HparamError
from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.options import option
from dlkit.stages import MicroBatched, chain
from dlkit.tasks.recommendation import networks
from dlkit.tasks.recommendation.columns import Items
from dlkit.tasks.recommendation.side_features import read_features

if TYPE_CHECKING:
    from dlkit.serving.signature import Signature
    from dlkit.tasks.recommendation.encoded_interactions import EncodedInteractions
    from dlkit.tasks.recommendation.task import Recommender


MAX_EASE_ITEMS = 20_000  # whose weight matrix takes 1.6 GB


def build_network(task: Recommender, data: EncodedInteractions) -> tuple[keras.Model, keras.Model | None]:
    """Build the model to train, and the model that predicts if it is another one."""
    if task.network == "ease":
        return _build_ease(task, data), None
    builder, num_items = getattr(networks, task.network), len(data.item_ids)
    user_features = _read_features(task.user_features, "user_id", data.user_ids, 0)
    item_features = _read_features(task.item_features, "item_id", data.item_ids, data.num_cold_items)
    options: dict[str, Any] = {"width": task.width, "dropout": task.dropout}
    options["num_item_features"] = item_features.shape[1]
    if task.network in ("sasrec", "gru4rec"):
        options["blocks"] = task.blocks
        if task.network == "sasrec":
            options["heads"] = task.heads
        network, decode = builder(num_items, task.history_length_, names=task.layer_names, **options)
        for name in task.layer_names:
            _set_features(network.get_layer(name).item_embedding, item_features)
        return network, decode
    options["num_user_features"] = user_features.shape[1]
    if task.network == "two_tower":
        options["hidden_width"] = task.hidden_width
    if task.network == "dcn":
        options["num_cross_layers"] = task.blocks
    options |= {"item_users": task.objective == "ratings", "num_cold_items": data.num_cold_items}
    options |= {"user_embeddings": task.user_embeddings, "name": task.network}
    scoring_layer = builder(len(data.user_ids), num_items, **options)
    models = _build_scoring_models(task, scoring_layer, data)
    for name in ("item_embedding", "history_embedding"):
        _set_features(getattr(scoring_layer, name), item_features)
    for name in ("user_embedding", "item_users_embedding"):
        if hasattr(scoring_layer, name):
            _set_features(getattr(scoring_layer, name), user_features)
    return models


def _build_scoring_models(
    task: Recommender, scoring_layer: Any, data: EncodedInteractions
) -> tuple[keras.Model, keras.Model | None]:
    """Build the functional models around a scoring layer."""
    if task.objective == "ratings":
        return networks.build_rating_model(scoring_layer, task.history_length_), None
    if not task.negatives:
        return networks.build_full_softmax_model(scoring_layer, task.history_length_), None
    in_batch_fraction = task.batch_size / (task.batch_size + task.negatives)
    network = networks.build_sampled_softmax_model(
        scoring_layer, task.history_length_, task.num_positives, in_batch_fraction
    )
    num_warm_items = len(data.item_ids) - data.num_cold_items
    network.get_layer("sampled_logits").popularity.assign(data.frequencies()[: 1 + num_warm_items])
    return network, networks.build_full_softmax_model(scoring_layer, task.history_length_)


def _build_ease(task: Recommender, data: EncodedInteractions) -> keras.Model:
    from dlkit.tasks.recommendation.ease import solve_item_weights

    num_items = len(data.item_ids)
    if num_items > MAX_EASE_ITEMS:
        raise HparamError(
            f"{option('network')} ease supports up to {MAX_EASE_ITEMS} items. Received: {num_items}. Use two_tower."
        )
    histories = [*data.histories, *data.anonymous_histories]
    weights = solve_item_weights(
        np.repeat(np.arange(len(histories)), [len(items) for items in histories]),
        np.concatenate(histories) - 1,
        len(histories),
        num_items,
        l2=task.ease_l2,
        mask_rate=task.ease_mask_rate,
        user_power=task.ease_user_power,
        values=np.concatenate(data.weights) if task.rating_weights else None,
    )
    network = networks.ease(num_items, task.history_length_)
    network.get_layer("ease").item_weights.assign(weights)
    return network


def _read_features(source: str, key: str, ids: list[str], num_cold: int) -> np.ndarray:
    return read_features(source, key, ids, num_cold) if source else np.zeros((len(ids) + 1, 0), np.float32)


def _set_features(embedding: Any, features: np.ndarray) -> None:
    if embedding.num_features:
        embedding.features.assign(features)


def build_postprocess(task: Recommender, data: EncodedInteractions) -> keras.Model:
    """Build the model from logits to the best items, or from the rating residual to a rating."""
    from dlkit.tasks.recommendation.top_k_items import TopKItems

    if task.objective == "ratings":
        residual = keras.Input((1,), name="rating_residual")
        rating = keras.ops.clip(residual[:, 0] + task.mean_rating_, *task.rating_range_)
        return keras.Model({"rating_residual": residual}, {"rating": rating}, name="postprocess")
    rank = TopKItems(data.item_ids, task.top_k, allow_repeats=task.allow_repeats, name="top_k_items")
    rank.build()
    rank.popularity.assign(data.popularity())
    tensors = {
        "logits": keras.Input((len(data.item_ids) + 1,), name="logits"),
        "seen_items": keras.Input((None,), dtype="int32", name="seen_items"),
        "cold_start": keras.Input((), dtype="bool", name="cold_start"),
    }
    return keras.Model(tensors, rank(**tensors), name="postprocess")


def build_recommend_signature(task: Recommender) -> Signature:
    """Build the signature `recommend`: `user_id`, `history`, `exclude`, `candidates` and `k` to the best items."""
    from dlkit.serving.signature import Signature

    lookup = task.stages_.preprocess.get_layer("history_lookup")
    rank = _build_rating_ranking(task) if task.objective == "ratings" else _build_ranking(task)

    def recommend(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        tensors = lookup(raw["user_id"], raw["history"])
        excluded, candidates = lookup.lookup_items(raw["exclude"]), lookup.lookup_items(raw["candidates"])
        candidates = tf.where(tf.logical_and(candidates == 0, raw["candidates"] != ""), -1, candidates)
        return {**rank(tensors, excluded, raw["k"], candidates), "cold_start": tensors["cold_start"]}

    def example(raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        rows = tf.shape(raw["user_id"])
        history = raw.get("history", tf.fill([rows[0], 1], ""))
        most_popular = tf.fill([rows[0], 1], lookup.item_ids[0])
        request = {"user_id": raw["user_id"], "history": history, "exclude": most_popular, "k": tf.fill(rows, 3)}
        return {**request, "candidates": tf.tile(tf.constant([lookup.item_ids[:6]]), [rows[0], 1])}

    columns: dict[str, Column] = {
        "user_id": Id(optional=True, default=""),
        "history": Items(optional=True, default=()),
        "exclude": Items(optional=True, default=()),
        "k": Count(optional=True, default=task.top_k, limits=Limits(1)),
        "candidates": Items(optional=True, default=()),
    }
    return Signature("recommend", recommend, tensor_specs(columns), example=example, columns=columns)


def _build_ranking(task: Recommender) -> Callable[..., dict[str, tf.Tensor]]:
    _, network, postprocess = task.stages_.serving_models()
    run = chain(MicroBatched(network, task.max_inference_batch) if task.max_inference_batch else network)
    layer = postprocess.get_layer("top_k_items")

    def rank(
        tensors: dict[str, tf.Tensor], excluded: tf.Tensor, k: tf.Tensor, candidates: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        logits = run(tensors)["logits"]
        return layer(logits, tensors["seen_items"], tensors["cold_start"], excluded, k, candidates)

    return rank


def _build_rating_ranking(task: Recommender) -> Callable[..., dict[str, tf.Tensor]]:
    from dlkit.tasks.recommendation.top_k_items import TopKItems

    scoring_layer = task.stages_.network.get_layer(task.network)
    lookup = task.stages_.preprocess.get_layer("history_lookup")
    layer = TopKItems(lookup.item_ids, task.top_k, ratings=True, allow_repeats=task.allow_repeats)

    def rank(
        tensors: dict[str, tf.Tensor], excluded: tf.Tensor, k: tf.Tensor, candidates: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        item_users = lookup.lookup_item_users(tf.range(len(lookup.item_ids) + 1))
        residual = scoring_layer(tensors["user"], tensors["history"], item_users=item_users)
        ratings = tf.clip_by_value(residual + task.mean_rating_, *task.rating_range_)
        return layer(ratings, tensors["seen_items"], tensors["cold_start"], excluded, k, candidates)

    return rank


def recommend(task: Recommender, k: int | None, request: dict[str, Any]) -> dict[str, Any]:
    """Return the recommendations for one request, whose values may be None; see `Recommender.recommend`."""
    request = {name: value for name, value in request.items() if value is not None}
    if "candidates" in request:
        check_candidates(request["candidates"])
    return call_signature(task, "recommend", {**request, "k": check_k(task, k)})


def check_candidates(candidates: list[Any]) -> None:
    """Raise DataError if the list of candidate items is empty."""
    if not candidates:
        raise DataError("`candidates` is empty. Leave it out to rank all items.")


def check_k(task: Recommender, k: int | None) -> int:
    """Return the number of items of a request, `top_k` for None. Raise DataError if it is not a positive integer."""
    k = task.top_k if k is None else k
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise DataError(f"`k` must be a positive integer. Received: {k!r}.")
    return k


def call_signature(task: Recommender, signature: str, request: dict[str, Any]) -> dict[str, Any]:
    """Call a signature with one request and return its items without padding."""
    (answer,) = task.call_signature(signature, [request])
    items = [item.decode() for item in answer["items"].tolist()]
    scores, cold_start = answer["scores"].tolist(), bool(answer["cold_start"])
    return task.remove_padding({"items": items, "scores": scores, "cold_start": cold_start})
