"""Losses of items: those that a user takes, out of all or out of a sample."""

from dlkit.layers.token_loss import TokenCrossEntropy
from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class ItemCrossEntropy(keras.losses.Loss):
    """The cross entropy of a row's items, out of all items, over the root of their number.

    Source: the multinomial likelihood of Liang et al., 2018, arXiv:1802.05814, equation 2. There a row counts by its
    number of items; by the root of it, those with few are answered better and those with many hardly worse.
    """

    def call(self, y_true, y_pred):
        """(batch, any, items) int, [:, 0] the items, 0 for none, and logits (batch, 1 + all items) to (batch,)."""
        taken = tf.cast(y_true, tf.int32)[:, 0]
        nothing = tf.range(y_pred.shape[-1]) == 0
        shares = tf.nn.log_softmax(tf.where(nothing, -1e9, y_pred))
        real = tf.cast(taken > 0, shares.dtype)
        losses = tf.gather(shares, taken, batch_dims=1) * real
        return -tf.reduce_sum(losses, 1) / tf.sqrt(tf.maximum(tf.reduce_sum(real, 1), 1))


@keras.saving.register_keras_serializable("dlkit")
class SampledItemCrossEntropy(keras.losses.Loss):
    """The cross entropy of a row's positive items, each beside all negatives, over the root of their number.

    Args:
        positives: how many of the logits are of positives: the first ones.
    """

    def __init__(self, positives, **kwargs):
        super().__init__(**kwargs)
        self.positives = positives

    def call(self, y_true, y_pred):
        """(batch, any, items) int, [:, 0] the positives, 0 for none, and logits (batch, sampled) to (batch,)."""
        taken = tf.cast(y_true, tf.int32)[:, 0, : self.positives]
        own, negatives = y_pred[:, : self.positives], y_pred[:, self.positives :]
        others = tf.reduce_logsumexp(negatives, 1, keepdims=True)
        losses = tf.where(taken > 0, tf.math.softplus(others - own), 0.0)
        count = tf.reduce_sum(tf.cast(taken > 0, losses.dtype), 1)
        return tf.reduce_sum(losses, 1) / tf.sqrt(tf.maximum(count, 1))

    def get_config(self):
        return {**super().get_config(), "positives": self.positives}


@keras.saving.register_keras_serializable("dlkit")
class NextItemCrossEntropy(TokenCrossEntropy):
    """The cross entropy of what follows each item of a history, as `TokenCrossEntropy` adds it up.

    Args:
        members: how many networks' logits follow one another.
    """

    def __init__(self, members=1, **kwargs):
        super().__init__(**kwargs)
        self.members = members

    def call(self, y_true, y_pred):
        """(batch, any, at least steps) int, [:, 0] what follows, and logits (batch, members * steps, 1 + items) to
        (batch,).
        """
        following = y_true[:, 0, -(tf.shape(y_pred)[1] // self.members) :]
        return super().call(tf.tile(following, [1, self.members]), y_pred)

    def get_config(self):
        return {**super().get_config(), "members": self.members}
