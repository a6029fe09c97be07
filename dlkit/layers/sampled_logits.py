"""Logits of sampled items, as those of all items would be."""

import keras
from keras import ops

from dlkit.lazy import keras_rs

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

    def __init__(self, items, own, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.items, self.own = items, own

    def build(self, *_):
        shape = (self.items + 1,)
        self.popularity = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="popularity")
        self.correct = keras_rs.layers.SamplingProbabilityCorrection(epsilon=1e-12, dtype="float32")
        self.built = True

    def call(self, logits, positives, negatives):
        share = ops.convert_to_tensor(self.popularity) * self.own + (1 - self.own) / self.items
        numbers = ops.concatenate([positives, negatives], axis=1)
        logits = self.correct(logits, ops.take(share, numbers, axis=0))
        hits = ops.any(negatives[:, :, None] == positives[:, None, :], axis=2)
        never = ops.concatenate([positives == 0, ops.logical_or(hits, negatives == 0)], axis=1)
        return ops.where(never, FAR, logits)

    def get_config(self):
        return {**super().get_config(), "items": self.items, "own": self.own}
