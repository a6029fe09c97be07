"""Quantiles that cannot cross."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("dlkit")
class OrderedQuantiles(keras.layers.Layer):
    """A median and widths to quantiles in ascending order.

    Call with `median`: (...,), and `widths`: (..., quantiles - 1), any numbers: by their softplus each quantile is away
    from its neighbour on the median's side, those below the median first. Returns (..., quantiles) float32.

    Args:
        below: how many quantiles are below the median.
    """

    def __init__(self, below, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.below = below

    def call(self, median, widths):
        widths = ops.softplus(widths)
        median = ops.expand_dims(median, -1)
        lower = ops.flip(ops.cumsum(ops.flip(widths[..., : self.below], -1), -1), -1)
        return ops.concatenate([median - lower, median, median + ops.cumsum(widths[..., self.below :], -1)], -1)

    def compute_output_shape(self, median_shape, widths_shape):
        return (*median_shape, widths_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "below": self.below}
