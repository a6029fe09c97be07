"""The loss of tokens in sequences of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class TokenCrossEntropy(keras.losses.Loss):
    """The cross-entropy of a row's tokens, added up, in units of a usual row: each token of the data counts the same.

    With smoothing, a share of each target is spread over all tokens (Szegedy et al., 2016, arXiv:1512.00567, section
    7). No distribution of the targets is made: its part is the mean of the logits, less their normalizer.

    Args:
        usual_length: tokens of a usual row, by which the sum is divided.
        smoothing: share of each target that is spread.
    """

    def __init__(self, typical_length: float = 1.0, smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.typical_length, self.smoothing = float(typical_length), float(smoothing)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Ids (batch, at least steps), 0 for none, and logits (batch, steps, vocabulary) to (batch,)."""
        return tf.reduce_sum(self.token_losses(y_true, y_pred), 1) / self.typical_length

    def token_losses(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """What `call` adds up: (batch, steps)."""
        steps, size = tf.shape(y_pred)[1], y_pred.shape[-1]
        ids = tf.cast(y_true, tf.int32)[:, :steps]  # batches are trimmed, targets are not
        losses = _cross_entropy(tf.reshape(y_pred, [-1, size]), tf.reshape(ids, [-1]), self.smoothing)
        return tf.reshape(losses, tf.shape(ids))

    def get_config(self) -> dict[str, Any]:
        own = {"typical_length": self.typical_length, "smoothing": self.smoothing}
        return {**super().get_config(), **own}


def _cross_entropy(logits: tf.Tensor, ids: tf.Tensor, smoothing: float) -> tf.Tensor:
    """(tokens, vocabulary) and (tokens,) to (tokens,): 0 where the id is 0.

    The gradient is written out: as derived it would be three arrays of the size of the logits, where one is enough.
    """
    size = logits.shape[-1]

    @tf.custom_gradient
    def losses_of(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        counts = tf.cast(ids > 0, logits.dtype)
        plain, excess = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=ids)
        losses = plain
        if smoothing:
            true = tf.gather(logits, ids, batch_dims=1)
            losses += smoothing * (true - tf.reduce_mean(logits, 1))

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            each = upstream * counts
            slope = excess * each[:, tf.newaxis]  # probabilities less one at the true id
            if smoothing:
                slope -= (smoothing / size) * each[:, tf.newaxis]
                places = tf.stack([tf.range(tf.size(ids)), ids], 1)
                slope = tf.tensor_scatter_nd_add(slope, places, smoothing * each)
            return slope

        return losses * counts, gradient

    return losses_of(logits)
