"""Cross-entropy over the tokens of sequences of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class TokenCrossEntropy(keras.losses.Loss):
    """Cross-entropy summed over the tokens of a row and divided by a typical length, so that all tokens weigh the same.

    With label smoothing, a fraction of each target is spread over all tokens (Szegedy et al., 2016, arXiv:1512.00567,
    section 7). The smoothed target distribution is not materialized: it contributes the mean of the logits, minus their
    normalizer.

    Args:
        typical_length: number of tokens of a typical row, by which the sum is divided.
        label_smoothing: fraction of each target that is spread, in [0, 1).

    Examples:
        >>> loss = TokenCrossEntropy(typical_length=2.0)
        >>> round(float(loss(tf.constant([[1, 2, 0]]), tf.zeros((1, 3, 5)))), 4)
        1.6094
    """

    def __init__(self, typical_length: float = 1.0, label_smoothing: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.typical_length, self.label_smoothing = float(typical_length), float(label_smoothing)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row.

        Args:
            y_true: token ids, (batch, at least steps) int, 0 for padding.
            y_pred: logits, (batch, steps, vocabulary).

        Returns:
            (batch,) float.
        """
        return tf.reduce_sum(self.token_losses(y_true, y_pred), 1) / self.typical_length

    def token_losses(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each token, (batch, steps), which `call` sums."""
        steps, size = tf.shape(y_pred)[1], y_pred.shape[-1]
        ids = tf.cast(y_true, tf.int32)[:, :steps]  # batches are trimmed, targets are not
        losses = _cross_entropy(tf.reshape(y_pred, [-1, size]), tf.reshape(ids, [-1]), self.label_smoothing)
        return tf.reshape(losses, tf.shape(ids))

    def get_config(self) -> dict[str, Any]:
        own = {"typical_length": self.typical_length, "label_smoothing": self.label_smoothing}
        return {**super().get_config(), **own}


def _cross_entropy(logits: tf.Tensor, ids: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    """Compute (tokens,) losses of (tokens, vocabulary) logits and (tokens,) ids; 0 where the id is 0.

    The gradient is written by hand: automatic differentiation needs three arrays of the size of the logits, this one.
    """
    size = logits.shape[-1]

    @tf.custom_gradient
    def losses_of(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        mask = tf.cast(ids > 0, logits.dtype)
        # TensorFlow's operation for this takes longer than oneDNN's softmax, whose maximum gives the normalizer.
        probabilities = tf.nn.softmax(logits)
        normalizer = tf.reduce_max(logits, 1) - tf.math.log(tf.reduce_max(probabilities, 1))
        true_logits = tf.gather(logits, ids, batch_dims=1)
        losses = normalizer - true_logits
        if label_smoothing:
            losses += label_smoothing * (true_logits - tf.reduce_mean(logits, 1))

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            weights = upstream * mask
            gradient_logits = probabilities * weights[:, tf.newaxis]
            if label_smoothing:
                gradient_logits -= (label_smoothing / size) * weights[:, tf.newaxis]
            indices = tf.stack([tf.range(tf.size(ids)), ids], 1)
            return tf.tensor_scatter_nd_sub(gradient_logits, indices, (1.0 - label_smoothing) * weights)

        return losses * mask, gradient

    return losses_of(logits)
