"""Networks of recommenders: scoring layers, and the functional models around them.

The functions with the name of a network, such as `svdpp` and `sasrec`, are the values of the option `network`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras
from dlkit.tasks.recommendation.ease import EASE
from dlkit.tasks.recommendation.losses import SampledLogits
from dlkit.tasks.recommendation.scoring_layers import DCNv2, NeuMF, SVDpp, TwoTower
from dlkit.tasks.recommendation.sequential_layers import GRU4Rec, SASRec


def _user_inputs(history_length: int) -> dict[str, keras.KerasTensor]:
    return {
        "user": keras.Input((), dtype="int32", name="user"),
        "history": keras.Input((history_length,), dtype="int32", name="history"),
    }


def svdpp(num_users: int, num_items: int, *, width: int = 64, dropout: float = 0.0, **options: Any) -> SVDpp:
    """Create the scoring layer of SVD++.

    Args:
        num_users: number of users.
        num_items: number of items.
        width: embedding width.
        dropout: dropout rate, in [0, 1).
        **options: other arguments of `SVDpp`.

    Examples:
        >>> build_full_softmax_model(svdpp(3, 6, width=4), history_length=5).output["logits"].shape
        (None, 7)
    """
    return SVDpp(num_users, num_items, width, dropout, **options)


def two_tower(
    num_users: int, num_items: int, *, width: int = 64, hidden_width: int = 64, dropout: float = 0.0, **options: Any
) -> TwoTower:
    """Create the scoring layer of the two-tower model.

    Args:
        num_users: number of users.
        num_items: number of items.
        width: embedding width.
        hidden_width: width of the hidden layer of the user tower.
        dropout: dropout rate, in [0, 1).
        **options: other arguments of `TwoTower`.

    Examples:
        >>> build_full_softmax_model(two_tower(3, 6, width=4), history_length=5).output["logits"].shape
        (None, 7)
    """
    return TwoTower(num_users, num_items, width, dropout, hidden_width=hidden_width, **options)


def neumf(num_users: int, num_items: int, *, width: int = 64, dropout: float = 0.0, **options: Any) -> NeuMF:
    """Create the scoring layer of neural matrix factorization.

    Args:
        num_users: number of users.
        num_items: number of items.
        width: embedding width.
        dropout: dropout rate, in [0, 1).
        **options: other arguments of `NeuMF`.

    Examples:
        >>> build_full_softmax_model(neumf(3, 6, width=4), history_length=5).output["logits"].shape
        (None, 7)
    """
    return NeuMF(num_users, num_items, width, dropout, **options)


def dcn(
    num_users: int, num_items: int, *, width: int = 64, num_cross_layers: int = 2, dropout: float = 0.0, **options: Any
) -> DCNv2:
    """Create the scoring layer of the Deep & Cross Network V2.

    Args:
        num_users: number of users.
        num_items: number of items.
        width: embedding width.
        num_cross_layers: number of cross layers.
        dropout: dropout rate, in [0, 1).
        **options: other arguments of `DCNv2`.

    Examples:
        >>> build_full_softmax_model(dcn(3, 6, width=4), history_length=5).output["logits"].shape
        (None, 7)
    """
    return DCNv2(num_users, num_items, width, dropout, num_cross_layers=num_cross_layers, **options)


def build_full_softmax_model(scoring_layer: keras.layers.Layer, history_length: int) -> keras.Model:
    """Build a model that scores all items.

    Args:
        scoring_layer: a layer of `dlkit.tasks.recommendation.scoring_layers`.
        history_length: length of `history`.

    Returns:
        keras.Model from `user`: (batch,) int32 and `history`: (batch, history_length) int32 to `logits`: (batch, 1 +
        num_items) float32, padding first.

    Examples:
        >>> sorted(build_full_softmax_model(svdpp(3, 6), history_length=5).input)
        ['history', 'user']
    """
    inputs = _user_inputs(history_length)
    return keras.Model(inputs, {"logits": scoring_layer(inputs["user"], inputs["history"])}, name="network")


def build_sampled_softmax_model(
    scoring_layer: keras.layers.Layer, history_length: int, num_positives: int, in_batch_fraction: float
) -> keras.Model:
    """Build a model that scores sampled items, for training.

    Args:
        scoring_layer: a layer of `dlkit.tasks.recommendation.scoring_layers`.
        history_length: length of `history`.
        num_positives: maximum number of positive items per row.
        in_batch_fraction: fraction of the negatives that are positives of the batch.

    Returns:
        keras.Model from `user`: (batch,) int32, `history`: (batch, history_length) int32, `positives`: (batch,
        num_positives) int32 and `negatives`: (batch, any) int32 to `logits`: (batch, num_positives + any) float32,
        corrected for sampling.

    Examples:
        >>> build_sampled_softmax_model(svdpp(3, 6), 5, num_positives=2, in_batch_fraction=0.5).name
        'network'
    """
    inputs = _user_inputs(history_length)
    inputs["positives"] = keras.Input((num_positives,), dtype="int32", name="positives")
    inputs["negatives"] = keras.Input((None,), dtype="int32", name="negatives")
    items = keras.ops.concatenate([inputs["positives"], inputs["negatives"]], axis=1)
    logits = scoring_layer(inputs["user"], inputs["history"], items)
    num_items = scoring_layer.sizes["num_items"] - scoring_layer.sizes["num_cold_items"]
    sampled = SampledLogits(num_items, in_batch_fraction, name="sampled_logits")
    logits = sampled(logits, inputs["positives"], inputs["negatives"])
    return keras.Model(inputs, {"logits": logits}, name="network")


def build_rating_model(scoring_layer: keras.layers.Layer, history_length: int) -> keras.Model:
    """Build a model of the rating of one item by one user, as the residual from the mean rating.

    Args:
        scoring_layer: a layer of `dlkit.tasks.recommendation.scoring_layers` with `item_users=True`.
        history_length: length of `history` and `item_users`.

    Returns:
        keras.Model from `user`: (batch,) int32, `history`: (batch, history_length) int32, `item`: (batch,) int32 and
        `item_users`: (batch, history_length) int32, users of the item, to `rating_residual`: (batch, 1) float32.

    Examples:
        >>> build_rating_model(svdpp(3, 6, item_users=True), history_length=5).output["rating_residual"].shape
        (None, 1)
    """
    inputs = {
        **_user_inputs(history_length),
        "item": keras.Input((), dtype="int32", name="item"),
        "item_users": keras.Input((history_length,), dtype="int32", name="item_users"),
    }
    items = keras.ops.expand_dims(inputs["item"], 1)
    residual = scoring_layer(inputs["user"], inputs["history"], items, inputs["item_users"])
    return keras.Model(inputs, {"rating_residual": residual}, name="network")


def sasrec(
    num_items: int,
    history_length: int,
    *,
    width: int = 64,
    blocks: int = 2,
    heads: int = 2,
    dropout: float = 0.0,
    num_item_features: int = 0,
    names: Sequence[str] = ("sasrec",),
) -> tuple[keras.Model, keras.Model]:
    """Build a training and a prediction model of SASRec, with shared weights.

    Args:
        num_items: number of items, without padding.
        history_length: length of `history`.
        width: embedding width, a multiple of `heads`.
        blocks: number of transformer blocks.
        heads: number of attention heads.
        dropout: dropout rate, in [0, 1).
        num_item_features: number of features per item.
        names: names of the layers of the ensemble, whose logits are averaged in the prediction model.

    Returns:
        Two keras.Models from `history`: (batch, history_length) int32 to `logits`: float32. Training: (batch,
        len(names) * history_length, 1 + num_items), for the item that follows each step, one layer after another.
        Prediction: (batch, 1 + num_items), for the item that follows the last step.

    Examples:
        >>> training, prediction = sasrec(num_items=6, history_length=5, width=4)
        >>> training.output["logits"].shape, prediction.output["logits"].shape
        ((None, 5, 7), (None, 7))
    """
    size = (num_items, width, blocks, dropout, num_item_features)
    return _build_next_item_models([SASRec(*size, heads=heads, name=name) for name in names], history_length)


def gru4rec(
    num_items: int,
    history_length: int,
    *,
    width: int = 64,
    blocks: int = 1,
    dropout: float = 0.0,
    num_item_features: int = 0,
    names: Sequence[str] = ("gru4rec",),
) -> tuple[keras.Model, keras.Model]:
    """Build a training and a prediction model of GRU4Rec, with shared weights.

    Args:
        num_items: number of items, without padding.
        history_length: length of `history`.
        width: embedding width, and number of units of each layer.
        blocks: number of GRU layers.
        dropout: dropout rate, in [0, 1).
        num_item_features: number of features per item.
        names: names of the layers of the ensemble, whose logits are averaged in the prediction model.

    Returns:
        Two keras.Models, as of `sasrec`.

    Examples:
        >>> training, prediction = gru4rec(num_items=6, history_length=5, width=4)
        >>> training.output["logits"].shape, prediction.output["logits"].shape
        ((None, 5, 7), (None, 7))
    """
    size = (num_items, width, blocks, dropout, num_item_features)
    return _build_next_item_models([GRU4Rec(*size, name=name) for name in names], history_length)


def _build_next_item_models(
    ensemble: Sequence[keras.layers.Layer], history_length: int
) -> tuple[keras.Model, keras.Model]:
    history = _user_inputs(history_length)["history"]
    all_steps = keras.ops.concatenate([layer(history) for layer in ensemble], axis=1)
    last_step = sum(layer(history, last_step=True) for layer in ensemble) / len(ensemble)
    training = keras.Model({"history": history}, {"logits": all_steps}, name="network")
    return training, keras.Model({"history": history}, {"logits": last_step}, name="decode")


def ease(num_items: int, history_length: int) -> keras.Model:
    """Build the model of EASE, whose one layer is `EASE`.

    Args:
        num_items: number of items, without padding.
        history_length: length of `history`.

    Returns:
        keras.Model from `history`: (batch, history_length) int32 to `logits`: (batch, 1 + num_items) float32.

    Examples:
        >>> ease(num_items=6, history_length=5).output["logits"].shape
        (None, 7)
    """
    history = _user_inputs(history_length)["history"]
    return keras.Model({"history": history}, {"logits": EASE(num_items, name="ease")(history)}, name="network")
