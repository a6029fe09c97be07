"""The network of a recommender, made for its users and items, and what ranks its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.data.features import read_features
from dlkit.errors import KnobError
from dlkit.lazy import keras
from dlkit.networks import recommenders

if TYPE_CHECKING:
    from dlkit.data.catalogue import Catalogue
    from dlkit.tasks.recommendation import Recommender

LINEAR = 20_000  # the most items of ease: the matrix is of their square, 1.6 GB


def network_of(task: Recommender, known: Catalogue) -> tuple[keras.Model, keras.Model | None]:
    """What is trained, and what answers where that is another."""
    if task.network == "ease":
        return _ease(task, known), None
    builder, count = getattr(recommenders, task.network), len(known.items)
    tables = {"user": (task.user_features, known.users), "item": (task.item_features, known.items)}
    features = {name: _features(source, f"{name}_id", ids) for name, (source, ids) in tables.items()}
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
    own = {**kinds.get(task.network, {}), "by_takers": task.objective == "ratings"}
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
    network.get_layer("sampled").popularity.assign(known.shares())
    return network, recommenders.over_all(scorer, task.length_)


def _ease(task: Recommender, known: Catalogue) -> keras.Model:
    from dlkit.layers.linear_items import item_weights

    count = len(known.items)
    if count > LINEAR:
        raise KnobError(f"`network` ease takes up to {LINEAR} items. Received: {count}. Take two_tower.")
    rows = [*known.taken, *known.nameless]
    weights = item_weights(
        np.repeat(np.arange(len(rows)), [len(taken) for taken in rows]),
        np.concatenate(rows) - 1,
        len(rows),
        count,
        regularization=task.regularization,
        hidden=task.ease_hide,
        user_power=task.user_power,
    )
    network = recommenders.ease(count, task.length_)
    network.get_layer("ease").weights_of_items.assign(weights)
    return network


def _features(source: str, key: str, ids: list[str]) -> np.ndarray:
    return read_features(source, key, ids) if source else np.zeros((len(ids) + 1, 0), np.float32)


def _teach(embedding: Any, features: np.ndarray) -> None:
    if embedding.feature_count:
        embedding.features.assign(features)


def postprocess_of(task: Recommender, known: Catalogue) -> keras.Model:
    """From logits to the best items, or from what the network adds to the mean rating to a rating."""
    from dlkit.layers.rank_items import RankItems

    if task.objective == "ratings":
        excess = keras.Input((1,), name="excess")
        rating = keras.ops.clip(excess[:, 0] + task.mean_rating_, *task.rating_range_)
        return keras.Model({"excess": excess}, {"rating": rating}, name="postprocess")
    rank = RankItems(known.items, task.top_k, name="rank")
    rank.build()
    rank.popularity.assign(known.shares())
    tensors = {
        "logits": keras.Input((len(known.items) + 1,), name="logits"),
        "seen": keras.Input((None,), dtype="int32", name="seen"),
        "cold": keras.Input((), dtype="bool", name="cold"),
    }
    return keras.Model(tensors, rank(**tensors), name="postprocess")
