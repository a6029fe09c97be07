"""Recurrent encoder and decoder of a sequence-to-sequence network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dlkit.lazy import keras, layers, tf

ATTENTIONS = {"bahdanau": layers.AdditiveAttention, "luong": layers.Attention}


@keras.saving.register_keras_serializable("dlkit")
class GruEncoder(layers.Layer):
    """Encodes embedded tokens by bidirectional GRU layers.

    Call with `x`: (batch, steps, width) and `padding_mask`: (batch, steps) bool, true at tokens. Returns (batch, steps,
    width).

    Args:
        blocks: positive integer, number of stacked recurrent layers.
        dropout: float in [0, 1), dropout rate before each layer and after the last one.

    Examples:
        >>> encoder = GruEncoder(blocks=1)
        >>> encoder(tf.ones([2, 3, 8]), tf.ones([2, 3], tf.bool)).shape
        TensorShape([2, 3, 8])
    """

    def __init__(self, blocks: int, dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_blocks, self.dropout = blocks, dropout

    def build(self, shape: Any) -> None:
        policy, width = self.dtype_policy, shape[-1]
        # cuDNN's kernels refuse rows without a token, and a graph with them does not run elsewhere.
        self.rnn_layers = [
            layers.Bidirectional(
                layers.GRU(width // 2, return_sequences=True, use_cudnn=False, dtype=policy), dtype=policy
            )
            for _ in range(self.num_blocks)
        ]
        self.dropout_layer = layers.Dropout(self.dropout, dtype=policy)
        for rnn in self.rnn_layers:
            rnn.build((None, None, width))

    def call(self, x: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        for rnn in self.rnn_layers:
            x = rnn(self.dropout_layer(x), mask=padding_mask)
        return self.dropout_layer(x)

    def compute_output_spec(self, x: keras.KerasTensor, padding_mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "blocks": self.num_blocks, "dropout": self.dropout}


@keras.saving.register_keras_serializable("dlkit")
class GruDecoder(layers.Layer):
    """Decodes with GRU layers and attention to the encoded source, the memory.

    `call` decodes all tokens at once in training; `begin` and `step` decode token by token in inference. The recurrent
    state attends to the memory, and a dense layer combines both: Luong et al., 2015, arXiv:1508.04025, equation 5,
    without input feeding, so that training needs no loop around attention. The attention score is Luong's dot product,
    or the additive one of Bahdanau et al., 2015, arXiv:1409.0473.

    Args:
        blocks: positive integer, number of stacked recurrent layers.
        attention: "bahdanau" or "luong".
        dropout: float in [0, 1), dropout rate.

    Raises:
        ValueError: there is no such attention.

    Examples:
        >>> decoder = GruDecoder(blocks=1)
        >>> decoder(tf.ones([2, 3, 8]), tf.ones([2, 5, 8]), tf.ones([2, 5], tf.bool)).shape
        TensorShape([2, 3, 8])
    """

    def __init__(
        self, blocks: int, attention: Literal["bahdanau", "luong"] = "luong", dropout: float = 0.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        if attention not in ATTENTIONS:
            raise ValueError(f"`attention` must be one of {', '.join(ATTENTIONS)}. Received: {attention!r}.")
        self.num_blocks, self.attention, self.dropout = blocks, attention, dropout

    def build(self, shape: Any) -> None:
        policy, self.width = self.dtype_policy, shape[-1]
        self.rnn_layers = [
            layers.GRU(self.width, return_sequences=True, use_cudnn=False, dtype=policy) for _ in range(self.num_blocks)
        ]
        self.state_layers = [layers.Dense(self.width, activation="tanh", dtype=policy) for _ in self.rnn_layers]
        self.attention_layer = ATTENTIONS[self.attention](use_scale=True, dtype=policy, name="attention")
        self.combine = layers.Dense(self.width, activation="tanh", use_bias=False, dtype=policy, name="combine")
        self.dropout_layer = layers.Dropout(self.dropout, dtype=policy)
        for rnn in self.rnn_layers:
            rnn.build((None, None, self.width))
        for state_layer in self.state_layers:
            state_layer.build((None, self.width))
        self.attention_layer.build([(None, None, self.width)] * 2)
        self.combine.build((None, None, 2 * self.width))

    def call(self, x: tf.Tensor, memory: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        """Decode (batch, steps, width), with memory and its mask, to (batch, steps, width). Steps are causal."""
        for rnn, state in zip(self.rnn_layers, self._initial_states(memory, padding_mask), strict=True):
            x = rnn(self.dropout_layer(x), initial_state=state)
        return self._attend(x, memory, padding_mask)

    def begin(
        self, memory: tf.Tensor, padding_mask: tf.Tensor, num_beams: int | tf.Tensor, max_tokens: int
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Return what stays the same, by row of the memory, and the initial states, by hypothesis.

        Args:
            memory: (rows, source_length, width), the encoded source.
            padding_mask: (rows, source_length) bool, true at tokens.
            num_beams: number of hypotheses of each row.
            max_tokens: not used by recurrent layers.
        """
        states = [tf.repeat(state, num_beams, axis=0) for state in self._initial_states(memory, padding_mask)]
        return {"memory": memory, "mask": padding_mask}, states

    def cache_shapes(self) -> list[tf.TensorShape]:
        """Return the shapes of the states."""
        return [tf.TensorShape([None, self.width]) for _ in self.rnn_layers]

    def step(
        self, x: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, tf.Tensor], states: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Decode one token of each hypothesis, (hypotheses, width): (hypotheses, width), and the states after it."""
        new_states = []
        for rnn, state in zip(self.rnn_layers, states, strict=True):
            x, (state, *_) = rnn.cell(x, [state])
            new_states.append(state)
        grouped = tf.reshape(x, [tf.shape(encoded["memory"])[0], -1, self.width])
        output = self._attend(grouped, encoded["memory"], encoded["mask"])
        return tf.reshape(output, [-1, self.width]), new_states

    def _initial_states(self, memory: tf.Tensor, padding_mask: tf.Tensor) -> list[tf.Tensor]:
        """Compute the initial states, (batch, width) each, from the mean of the memory."""
        mask = tf.cast(padding_mask, memory.dtype)[:, :, tf.newaxis]
        mean = tf.reduce_sum(memory * mask, 1) / tf.maximum(tf.reduce_sum(mask, 1), 1)
        return [layer(mean) for layer in self.state_layers]

    def _attend(self, x: tf.Tensor, memory: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        """Combine states, (batch, steps, width), with what they find in the memory."""
        context = self.attention_layer([x, memory], mask=[None, padding_mask])
        return self.dropout_layer(self.combine(tf.concat([x, context], -1)))

    def compute_output_spec(
        self, x: keras.KerasTensor, memory: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"blocks": self.num_blocks, "attention": self.attention, "dropout": self.dropout}
        return {**super().get_config(), **own}
