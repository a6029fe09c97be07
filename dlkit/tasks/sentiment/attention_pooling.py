"""Pooling of a sequence by learned attention."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, ops, tf


@keras.saving.register_keras_serializable("dlkit")
class AttentionPooling(keras.layers.Layer):
    """Pools a sequence into the average of its steps, weighted by learned attention.

    weights = softmax(context . tanh(W x + b)) over the steps that are no padding; the output is their weighted sum. A
    sequence of padding alone gives zeros. Source: Yang et al., 2016, "Hierarchical Attention Networks", equations 5 to
    7.

    Call with `inputs`: (batch, steps, channels) float; `padding_mask`: (batch, steps) bool, false at padding. Returns
    (batch, channels) of the layer's compute dtype.

    Args:
        units: positive integer, width of the hidden layer of the attention.

    Examples:
        >>> pooling = AttentionPooling(4)
        >>> pooling(tf.ones([2, 3, 8]), padding_mask=tf.ones([2, 3], tf.bool)).shape
        TensorShape([2, 8])
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ValueError(f"`units` must be a positive integer. Received: units={units!r}.")
        self.units = units
        self.supports_masking = True  # Keras's own mask is not used; this avoids its warning
        self.hidden = keras.layers.Dense(units, activation="tanh", dtype=self.dtype_policy, name="hidden")
        self.context = keras.layers.Dense(1, use_bias=False, dtype="float32", name="context")

    def build(self, input_shape: Any) -> None:
        self.hidden.build(input_shape)
        self.context.build((*input_shape[:-1], self.units))

    def call(self, inputs: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        scores = ops.squeeze(self.context(self.hidden(inputs)), -1)  # float32, (batch, steps)
        # Finite, so that a row of padding gives no 0 / 0; far enough for exp to be exactly 0 beside a true step.
        scores = ops.where(padding_mask, scores, -1e9)
        weights = ops.softmax(scores, -1) * ops.cast(padding_mask, "float32")
        return ops.sum(inputs * ops.cast(weights, inputs.dtype)[:, :, None], 1)

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
