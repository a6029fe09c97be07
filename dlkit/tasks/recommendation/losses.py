"""Losses of recommenders, and the correction of sampled logits."""

from __future__ import annotations

from typing import Any

from dlkit.layers.token_loss import TokenCrossEntropy
from dlkit.lazy import keras, keras_rs, ops, tf
from dlkit.tasks.recommendation.scoring_layers import MASKED
from dlkit.tasks.recommendation.training_batches import UNIT_WEIGHT


@keras.saving.register_keras_serializable("dlkit")
class SampledLogits(keras.layers.Layer):
    """Corrects logits for the sampling probability of the items and masks accidental hits, negatives that are positive.

    A negative is sampled from the positives of the batch, that is by popularity, or uniformly from all items. Its logit
    is reduced by the logarithm of its sampling probability, so that the sampled softmax approximates the full softmax.
    References: Bengio and Senecal, 2008; Yi et al., 2019, doi:10.1145/3298689.3346996; mixed negative sampling of Yang
    et al., 2020, doi:10.1145/3366424.3386195.

    Call with `logits`: (batch, num_positives + num_negatives), `positives`: (batch, num_positives) int32, 0 for
    padding, and `negatives`: (batch, num_negatives) int32. Returns (batch, num_positives + num_negatives) float32. The
    popularity, (1 + num_items,), is not trained; assign it after building.

    Args:
        num_items: positive int, number of items that are sampled, without padding.
        in_batch_fraction: float in [0, 1], fraction of the negatives that are positives of the batch.

    Examples:
        >>> layer = SampledLogits(num_items=4, in_batch_fraction=0.5)
        >>> layer(tf.ones([1, 3]), tf.constant([[2]]), tf.constant([[3, 4]])).shape
        TensorShape([1, 3])
    """

    def __init__(self, num_items: int, in_batch_fraction: float, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_items, self.in_batch_fraction = num_items, in_batch_fraction

    def build(self, *_: Any) -> None:
        shape = (self.num_items + 1,)
        self.popularity = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="popularity")
        self.correction = keras_rs.layers.SamplingProbabilityCorrection(epsilon=1e-12, dtype="float32")
        self.built = True

    def call(self, logits: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
        uniform = (1 - self.in_batch_fraction) / self.num_items
        probabilities = ops.convert_to_tensor(self.popularity) * self.in_batch_fraction + uniform
        items = ops.concatenate([positives, negatives], axis=1)
        logits = self.correction(logits, ops.take(probabilities, items, axis=0))
        hits = ops.any(negatives[:, :, None] == positives[:, None, :], axis=2)
        masked = ops.concatenate([positives == 0, ops.logical_or(hits, negatives == 0)], axis=1)
        return ops.where(masked, MASKED, logits)

    def get_config(self) -> dict[str, Any]:
        own = {"num_items": self.num_items, "in_batch_fraction": self.in_batch_fraction}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("dlkit")
class ItemCrossEntropy(keras.losses.Loss):
    """Full softmax: the cross-entropy of the items of a row, divided by the square root of their number.

    Reference: the multinomial likelihood of Liang et al., 2018, arXiv:1802.05814, equation 2. There the weight of a row
    is its number of items; with the square root, short histories are predicted better and long ones hardly worse.

    Args:
        weighted: whether the items have weights, whose sum then replaces their number.

    Examples:
        >>> loss = ItemCrossEntropy()
        >>> float(loss(tf.constant([[[0, 2]]]), tf.zeros([1, 5]))) == float(tf.math.log(4.0))
        True
    """

    def __init__(self, weighted: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.weighted = weighted

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row, (batch,).

        Args:
            y_true: (batch, any, items) int; [:, 0] are the items, 0 for padding, and [:, 2] their weights in
                thousandths, if any.
            y_pred: (batch, 1 + num_items) float, logits, padding first.
        """
        items = tf.cast(y_true, tf.int32)[:, 0]
        padding = tf.range(y_pred.shape[-1]) == 0
        log_probabilities = tf.nn.log_softmax(tf.where(padding, MASKED, y_pred))
        weights = tf.cast(items > 0, log_probabilities.dtype)
        weights *= _item_weights(y_true, weights) if self.weighted else 1.0
        losses = tf.gather(log_probabilities, items, batch_dims=1) * weights
        return -tf.reduce_sum(losses, 1) / tf.sqrt(tf.maximum(tf.reduce_sum(weights, 1), 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weighted": self.weighted}


def _item_weights(y_true: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Return the weights of the first items of each row, in the shape and dtype of another tensor."""
    return tf.cast(y_true[:, 2, : tf.shape(like)[1]], like.dtype) / UNIT_WEIGHT


@keras.saving.register_keras_serializable("dlkit")
class SampledItemCrossEntropy(keras.losses.Loss):
    """Sampled softmax: the cross-entropy of each positive among all negatives, divided by the root of their number.

    Args:
        num_positives: number of logits, the first ones, of positive items.
        weighted: whether the items have weights, as in `ItemCrossEntropy`.

    Examples:
        >>> loss = SampledItemCrossEntropy(num_positives=1)
        >>> float(loss(tf.constant([[[3]]]), tf.zeros([1, 2]))) == float(tf.math.log(2.0))
        True
    """

    def __init__(self, num_positives: int, weighted: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_positives, self.weighted = num_positives, weighted

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row, (batch,).

        Args:
            y_true: (batch, any, items) int; [:, 0] are the positive items, 0 for padding, and [:, 2] their weights in
                thousandths, if any.
            y_pred: (batch, num_positives + num_negatives) float, logits.
        """
        items = tf.cast(y_true, tf.int32)[:, 0, : self.num_positives]
        positives, negatives = y_pred[:, : self.num_positives], y_pred[:, self.num_positives :]
        all_negatives = tf.reduce_logsumexp(negatives, 1, keepdims=True)
        losses = tf.where(items > 0, tf.math.softplus(all_negatives - positives), 0.0)
        weights = tf.cast(items > 0, losses.dtype)
        weights *= _item_weights(y_true, weights) if self.weighted else 1.0
        return tf.reduce_sum(losses * weights, 1) / tf.sqrt(tf.maximum(tf.reduce_sum(weights, 1), 1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_positives": self.num_positives, "weighted": self.weighted}


@keras.saving.register_keras_serializable("dlkit")
class NextItemCrossEntropy(TokenCrossEntropy):
    """The cross-entropy of the item that follows each item of a history, summed as in `TokenCrossEntropy`.

    Args:
        ensemble_size: number of networks, whose logits are concatenated along the steps.
        weighted: whether the items have weights, as in `ItemCrossEntropy`.

    Examples:
        >>> loss = NextItemCrossEntropy(usual_length=2)
        >>> float(loss(tf.constant([[[1, 3]]]), tf.zeros([1, 2, 4]))) == float(tf.math.log(4.0))
        True
    """

    def __init__(self, ensemble_size: int = 1, weighted: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.ensemble_size, self.weighted = ensemble_size, weighted

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row, (batch,).

        Args:
            y_true: (batch, any, at least steps) int; [:, 0] are the target items, 0 for padding, and [:, 2] their
                weights in thousandths, if any.
            y_pred: (batch, ensemble_size * steps, 1 + num_items) float, logits.
        """
        targets = y_true[:, :, -(tf.shape(y_pred)[1] // self.ensemble_size) :]
        losses = self.token_losses(tf.tile(targets[:, 0], [1, self.ensemble_size]), y_pred)
        if self.weighted:
            losses *= tf.tile(tf.cast(targets[:, 2], losses.dtype) / UNIT_WEIGHT, [1, self.ensemble_size])
        return tf.reduce_sum(losses, 1) / self.typical_length

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ensemble_size": self.ensemble_size, "weighted": self.weighted}
