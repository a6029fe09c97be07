"""Networks of recommenders, from users, histories and items to logits, and the losses that they are trained by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.layers.token_loss import TokenCrossEntropy
from dlkit.lazy import keras, keras_rs, ops, tf
from dlkit.tasks.recommendation.batches import WEIGHT
from dlkit.tasks.recommendation.linear_items import LinearItems
from dlkit.tasks.recommendation.next_items import RecurrentHistory, SelfAttentiveHistory
from dlkit.tasks.recommendation.score_items import CrossedFeatures, MatrixFactors, NeuralFactors, TwoTowers


def _who(length: int) -> dict[str, keras.KerasTensor]:
    return {
        "user": keras.Input((), dtype="int32", name="user"),
        "history": keras.Input((length,), dtype="int32", name="history"),
    }


def mf(users: int, items: int, *, width: int = 64, dropout: float = 0.0, **options: Any) -> MatrixFactors:
    """The scoring layer of matrix factors; see `MatrixFactors` for all of these."""
    return MatrixFactors(users, items, width, dropout, **options)


def two_tower(
    users: int, items: int, *, width: int = 64, hidden: int = 64, dropout: float = 0.0, **options: Any
) -> TwoTowers:
    """The scoring layer of two towers; `hidden` is the width of the user's hidden layer."""
    return TwoTowers(users, items, width, dropout, hidden=hidden, **options)


def neumf(users: int, items: int, *, width: int = 64, dropout: float = 0.0, **options: Any) -> NeuralFactors:
    """The scoring layer of neural matrix factors."""
    return NeuralFactors(users, items, width, dropout, **options)


def dcn(
    users: int, items: int, *, width: int = 64, crosses: int = 2, dropout: float = 0.0, **options: Any
) -> CrossedFeatures:
    """The scoring layer of crossed features; `crosses` is the number of cross layers."""
    return CrossedFeatures(users, items, width, dropout, crosses=crosses, **options)


def over_all(scorer: keras.layers.Layer, length: int) -> keras.Model:
    """Scores of all items: keras.Model from `user` (batch,) int32 and `history` (batch, length) int32 to `logits`.

    Returns:
        keras.Model to `logits`: (batch, 1 + items) float32, of nothing first.
    """
    inputs = _who(length)
    return keras.Model(inputs, {"logits": scorer(inputs["user"], inputs["history"])}, name="network")


def over_samples(scorer: keras.layers.Layer, length: int, positives: int, own: float) -> keras.Model:
    """Scores of sampled items, for training.

    Args:
        scorer: a scoring layer.
        length: width of `history`.
        positives: how many items of a row are positive, at most.
        own: share of the negatives that are the batch's own positives.

    Returns:
        keras.Model from `user`, `history`, `positives` (batch, positives) int32 and `negatives` (batch, any) int32 to
        `logits`: (batch, positives + any) float32, corrected for sampling.
    """
    inputs = _who(length)
    inputs["positives"] = keras.Input((positives,), dtype="int32", name="positives")
    inputs["negatives"] = keras.Input((None,), dtype="int32", name="negatives")
    numbers = keras.ops.concatenate([inputs["positives"], inputs["negatives"]], axis=1)
    logits = scorer(inputs["user"], inputs["history"], numbers)
    sampled = SampledLogits(scorer.sizes["items"] - scorer.sizes["new_items"], own, name="sampled")
    logits = sampled(logits, inputs["positives"], inputs["negatives"])
    return keras.Model(inputs, {"logits": logits}, name="network")


def of_pairs(scorer: keras.layers.Layer, length: int) -> keras.Model:
    """The rating of one item for one user, less the mean rating.

    Returns:
        keras.Model from `user`, `history`, `item` (batch,) int32 and `takers` (batch, length) int32, users who had the
        item, to `excess`: (batch, 1) float32.
    """
    inputs = {
        **_who(length),
        "item": keras.Input((), dtype="int32", name="item"),
        "takers": keras.Input((length,), dtype="int32", name="takers"),
    }
    asked = inputs["user"], inputs["history"], keras.ops.expand_dims(inputs["item"], 1), inputs["takers"]
    return keras.Model(inputs, {"excess": scorer(*asked)}, name="network")


def sasrec(
    items: int,
    length: int,
    *,
    width: int = 64,
    blocks: int = 2,
    heads: int = 2,
    dropout: float = 0.0,
    item_features: int = 0,
    names: Sequence[str] = ("sasrec",),
) -> tuple[keras.Model, keras.Model]:
    """What follows each item of a history, by self-attention; see `SelfAttentiveHistory`.

    Args:
        names: of the layers side by side, whose mean answers.

    Returns:
        Two keras.Models of the same weights from `history` (batch, length) int32 to `logits`, float32: (batch, layers *
        length, 1 + items) of what follows each item, layer by layer, and (batch, 1 + items) of what follows the last.
    """
    size = (items, width, blocks, dropout, item_features)
    return _both([SelfAttentiveHistory(*size, heads=heads, name=name) for name in names], length)


def gru4rec(
    items: int,
    length: int,
    *,
    width: int = 64,
    blocks: int = 1,
    dropout: float = 0.0,
    item_features: int = 0,
    names: Sequence[str] = ("gru4rec",),
) -> tuple[keras.Model, keras.Model]:
    """What follows each item of a history, by gated recurrent units; takes and returns what `sasrec` does."""
    size = (items, width, blocks, dropout, item_features)
    return _both([RecurrentHistory(*size, name=name) for name in names], length)


def _both(members: Sequence[keras.layers.Layer], length: int) -> tuple[keras.Model, keras.Model]:
    history = _who(length)["history"]
    steps = keras.ops.concatenate([member(history) for member in members], axis=1)
    last = sum(member(history, last=True) for member in members) / len(members)
    every = keras.Model({"history": history}, {"logits": steps}, name="network")
    return every, keras.Model({"history": history}, {"logits": last}, name="decode")


def ease(items: int, length: int) -> keras.Model:
    """The linear recommender whose weights are worked out in one step; see `LinearItems`, which is its one layer.

    Returns:
        keras.Model from `history`: (batch, length) int32 to `logits`: (batch, 1 + items) float32.
    """
    history = _who(length)["history"]
    return keras.Model({"history": history}, {"logits": LinearItems(items, name="ease")(history)}, name="network")


FAR = -1e9  # of an item that must not count: its share is exactly 0


@keras.saving.register_keras_serializable("dlkit")
class SampledLogits(keras.layers.Layer):
    """Corrects logits for how often items are sampled, and takes out negatives that are positive.

    An item is sampled from the batch's own positives, by its popularity, or from all items alike. Its logit is lowered
    by the logarithm of that probability, so that the softmax over the sample aims at the one over all items. Sources:
    Bengio and Senecal, 2008; Yi et al., 2019, doi:10.1145/3298689.3346996; mixed negatives of Yang et al., 2020,
    doi:10.1145/3366424.3386195.

    Call with `logits`: (batch, positives + negatives), `positives`: (batch, positives) int32, 0 for none, and
    `negatives`: (batch, negatives) int32. Returns (batch, positives + negatives) float32. Popularity is not trained;
    assign it after building, (1 + items,) shares.

    Args:
        items: positive integer, without nothing.
        own: float in [0, 1], the share of the negatives that are from the batch.
    """

    def __init__(self, items: int, own: float, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.items, self.own = items, own

    def build(self, *_: Any) -> None:
        shape = (self.items + 1,)
        self.popularity = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="popularity")
        self.correct = keras_rs.layers.SamplingProbabilityCorrection(epsilon=1e-12, dtype="float32")
        self.built = True

    def call(self, logits: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
        share = ops.convert_to_tensor(self.popularity) * self.own + (1 - self.own) / self.items
        numbers = ops.concatenate([positives, negatives], axis=1)
        logits = self.correct(logits, ops.take(share, numbers, axis=0))
        hits = ops.any(negatives[:, :, None] == positives[:, None, :], axis=2)
        never = ops.concatenate([positives == 0, ops.logical_or(hits, negatives == 0)], axis=1)
        return ops.where(never, FAR, logits)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "items": self.items, "own": self.own}


@keras.saving.register_keras_serializable("dlkit")
class ItemCrossEntropy(keras.losses.Loss):
    """The cross entropy of a row's items, out of all items, over the root of their number.

    Source: the multinomial likelihood of Liang et al., 2018, arXiv:1802.05814, equation 2. There a row counts by its
    number of items; by the root of it, those with few are answered better and those with many hardly worse.

    Args:
        weighted: whether items have weights, of which the number of items is then the sum.
    """

    def __init__(self, weighted: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.weighted = weighted

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """(batch, any, items) int, [:, 0] the items, 0 for none, [:, 2] their weights in thousandths, if any, and
        logits (batch, 1 + all items) to (batch,).
        """
        taken = tf.cast(y_true, tf.int32)[:, 0]
        nothing = tf.range(y_pred.shape[-1]) == 0
        shares = tf.nn.log_softmax(tf.where(nothing, -1e9, y_pred))
        real = tf.cast(taken > 0, shares.dtype)
        real *= _weights(y_true, real) if self.weighted else 1.0
        losses = tf.gather(shares, taken, batch_dims=1) * real
        return -tf.reduce_sum(losses, 1) / tf.sqrt(tf.maximum(tf.reduce_sum(real, 1), 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weighted": self.weighted}


def _weights(y_true: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Those of the first items of each row, as many as there are in the other tensor, whose type they get."""
    return tf.cast(y_true[:, 2, : tf.shape(like)[1]], like.dtype) / WEIGHT


@keras.saving.register_keras_serializable("dlkit")
class SampledItemCrossEntropy(keras.losses.Loss):
    """The cross entropy of a row's positive items, each beside all negatives, over the root of their number.

    Args:
        positives: how many of the logits are of positives: the first ones.
        weighted: as of `ItemCrossEntropy`.
    """

    def __init__(self, positives: int, weighted: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.positives, self.weighted = positives, weighted

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """(batch, any, items) int, [:, 0] the positives, 0 for none, [:, 2] their weights in thousandths, if any, and
        logits (batch, sampled) to (batch,).
        """
        taken = tf.cast(y_true, tf.int32)[:, 0, : self.positives]
        own, negatives = y_pred[:, : self.positives], y_pred[:, self.positives :]
        others = tf.reduce_logsumexp(negatives, 1, keepdims=True)
        losses = tf.where(taken > 0, tf.math.softplus(others - own), 0.0)
        real = tf.cast(taken > 0, losses.dtype)
        real *= _weights(y_true, real) if self.weighted else 1.0
        return tf.reduce_sum(losses * real, 1) / tf.sqrt(tf.maximum(tf.reduce_sum(real, 1), 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "positives": self.positives, "weighted": self.weighted}


@keras.saving.register_keras_serializable("dlkit")
class NextItemCrossEntropy(TokenCrossEntropy):
    """The cross entropy of what follows each item of a history, as `TokenCrossEntropy` adds it up.

    Args:
        members: how many networks' logits follow one another.
        weighted: as of `ItemCrossEntropy`.
    """

    def __init__(self, members: int = 1, weighted: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.members, self.weighted = members, weighted

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """(batch, any, at least steps) int, [:, 0] what follows, [:, 2] its weights in thousandths, if any, and logits
        (batch, members * steps, 1 + items) to (batch,).
        """
        newest = y_true[:, :, -(tf.shape(y_pred)[1] // self.members) :]
        losses = self.token_losses(tf.tile(newest[:, 0], [1, self.members]), y_pred)
        if self.weighted:
            losses *= tf.tile(tf.cast(newest[:, 2], losses.dtype) / WEIGHT, [1, self.members])
        return tf.reduce_sum(losses, 1) / self.typical_length

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "members": self.members, "weighted": self.weighted}
