"""Recurrent language model over packed documents, which also decodes one token at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlkit.lazy import keras, layers, tf


@keras.saving.register_keras_serializable("dlkit")
class ResettingGruCell(layers.GRUCell):
    """GRU cell whose last input is 0 where the state begins anew, and 1 elsewhere.

    Examples:
        >>> cell = ResettingGruCell(4)
        >>> layers.RNN(cell, return_sequences=True)(tf.ones([2, 3, 5])).shape
        TensorShape([2, 3, 4])
    """

    def build(self, input_shape: Any) -> None:
        super().build((*input_shape[:-1], input_shape[-1] - 1))

    def call(self, inputs: tf.Tensor, states: Any, training: bool = False) -> Any:
        state = states[0] if isinstance(states, (list, tuple)) else states
        return super().call(inputs[:, :-1], [state * inputs[:, -1:]], training=training)


@keras.saving.register_keras_serializable("dlkit")
class CausalGru(layers.Layer):
    """Decodes with stacked GRU layers, whose states begin anew with each segment; each adds to its input.

    Args:
        blocks: positive integer, number of stacked recurrent layers.
        dropout: float in [0, 1), dropout rate before each layer and after the last one.

    Examples:
        >>> decoder = CausalGru(blocks=1)
        >>> decoder(tf.ones([1, 3, 8]), tf.ones([1, 3], tf.int32), tf.constant([[0, 1, 2]])).shape
        TensorShape([1, 3, 8])
    """

    def __init__(self, blocks: int, dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_blocks, self.dropout = blocks, dropout

    def build(self, shape: Any, *_: Any) -> None:
        policy, width = self.dtype_policy, shape[-1]
        self.dropout_layer = layers.Dropout(self.dropout, dtype=policy)
        self.rnn_layers, self.norms = [], []
        for number in range(self.num_blocks):
            cell = ResettingGruCell(width, dtype=policy)
            rnn = layers.RNN(cell, return_sequences=True, return_state=True, dtype=policy, name=f"gru_{number}")
            rnn.build((None, None, width + 1))
            norm = layers.RMSNormalization(epsilon=1e-6, dtype=policy, name=f"norm_{number}")
            norm.build((None, None, width))
            self.rnn_layers.append(rnn)
            self.norms.append(norm)
        self.width = width

    def call(self, x: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Decode windows; as `GptDecoder.call`."""
        return self._read(x, segment_ids, positions)[0]

    def begin(
        self, x: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, Any], list[tf.Tensor]]:
        """Read prompts, of one segment each; as `GptDecoder.begin`."""
        features, states = self._read(x, segment_ids, positions)
        return features, {"count": tf.reduce_sum(tf.cast(segment_ids > 0, tf.int32), 1)}, states

    def cache_shapes(self) -> list[tf.TensorShape]:
        """Return the shapes of the cache that hold for all steps."""
        return [tf.TensorShape([None, self.width]) for _ in self.rnn_layers]

    def step(
        self, x: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, Any], cache: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Decode one token of each row; as `GptDecoder.step`."""
        is_inside = tf.cast(encoded["count"] + position > 0, x.dtype)[:, tf.newaxis]
        states = []
        for rnn, norm, previous in zip(self.rnn_layers, self.norms, cache, strict=True):
            output, (state,) = rnn.cell(tf.concat([x, is_inside], -1), [previous])
            x = norm(x + output)
            states.append(state)
        return x, states

    def _read(self, x: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        is_inside = tf.cast((segment_ids > 0) & (positions > 0), x.dtype)[..., tf.newaxis]
        # A step of padding before the others, so that there is one at least: the state begins anew after it.
        states, is_inside = [], tf.pad(is_inside, [[0, 0], [1, 0], [0, 0]])
        for rnn, norm in zip(self.rnn_layers, self.norms, strict=True):
            inputs = tf.pad(self.dropout_layer(x), [[0, 0], [1, 0], [0, 0]])
            output, state = rnn(tf.concat([inputs, is_inside], -1))
            x = norm(x + output[:, 1:])
            states.append(state)
        return self.dropout_layer(x), states

    def compute_output_spec(self, x: keras.KerasTensor, *_: Any, **__: Any) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "blocks": self.num_blocks, "dropout": self.dropout}
