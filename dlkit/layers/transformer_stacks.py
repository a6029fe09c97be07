"""Transformer encoder and decoder of a sequence-to-sequence network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dlkit.layers.relative_position_bias import RelativePositionBias
from dlkit.layers.transformer_blocks import MASKED_SCORE, TransformerBlock
from dlkit.lazy import keras, layers, tf

POSITIONS = ("sinusoidal", "relative")


class _Stack(layers.Layer):
    """Base of encoder and decoder: positions, blocks, and a final normalization."""

    use_cross_attention = False

    def __init__(
        self,
        blocks: int,
        heads: int,
        feedforward_width: int,
        dropout: float = 0.0,
        positions: Literal["sinusoidal", "relative"] = "sinusoidal",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if positions not in POSITIONS:
            raise ValueError(f"`positions` must be one of {', '.join(POSITIONS)}. Received: {positions!r}.")
        self.num_blocks, self.heads, self.dropout = blocks, heads, dropout
        self.feedforward_width = feedforward_width
        self.positions = positions

    def build(self, shape: Any) -> None:
        if shape[-1] % self.heads:
            raise ValueError(f"the width must be a multiple of `heads`. Received: {shape[-1]}, heads={self.heads}.")
        policy = self.dtype_policy
        self.dropout_layer = layers.Dropout(self.dropout, dtype=policy)
        self.norm = layers.LayerNormalization(epsilon=1e-6, dtype=policy, name="norm")
        self.blocks = [
            TransformerBlock(
                self.heads,
                self.feedforward_width,
                self.dropout,
                self.use_cross_attention,
                dtype=policy,
                name=f"block_{i}",
            )
            for i in range(self.num_blocks)
        ]
        if self.positions == "relative":
            self.relative_positions = RelativePositionBias(
                self.heads, bidirectional=not self.use_cross_attention, dtype=policy, name="positions"
            )
            self.relative_positions.build()
        for layer in (self.norm, *self.blocks):
            layer.build(shape)

    def _add_positions(self, x: tf.Tensor) -> tf.Tensor:
        """Add the position encoding to vectors, if it is sinusoidal."""
        if self.positions == "relative":
            return x
        return x + tf.cast(encode_positions(tf.range(tf.shape(x)[1]), x.shape[-1]), x.dtype)

    def _bias(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor | float:
        """Compute the attention bias of relative positions; 0 if positions are sinusoidal."""
        return tf.cast(self.relative_positions(queries, keys), tf.float32) if self.positions == "relative" else 0.0

    def compute_output_spec(self, x: keras.KerasTensor, *_: Any, **__: Any) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "blocks": self.num_blocks,
            "heads": self.heads,
            "feedforward_width": self.feedforward_width,
            "dropout": self.dropout,
            "positions": self.positions,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("dlkit")
class TransformerEncoder(_Stack):
    """Encodes embedded tokens by transformer blocks.

    Call with `x`: (batch, steps, width) and `padding_mask`: (batch, steps) bool, true at tokens. Returns (batch, steps,
    width).

    Args:
        blocks: positive integer, number of blocks.
        heads: positive integer, number of attention heads, which divides the width.
        feedforward_width: positive integer, width of the feed-forward layers.
        dropout: float in [0, 1), dropout rate.
        positions: "sinusoidal" position encoding, added to the vectors, or "relative" position biases of attention.

    Raises:
        ValueError: there are no such positions, or `heads` does not divide the width.

    Examples:
        >>> encoder = TransformerEncoder(blocks=1, heads=2, feedforward_width=16)
        >>> encoder(tf.ones([2, 3, 8]), tf.ones([2, 3], tf.bool)).shape
        TensorShape([2, 3, 8])
    """

    def call(self, x: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        steps = tf.range(tf.shape(x)[1])
        bias = self._bias(steps, steps) + mask_padding(padding_mask)
        x = self.dropout_layer(self._add_positions(x))
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)


@keras.saving.register_keras_serializable("dlkit")
class TransformerDecoder(_Stack):
    """Decodes with transformer blocks that attend to the encoded source, the memory.

    `call` decodes all tokens at once in training; `begin` and `step` decode token by token in inference, with cached
    keys and values. Both compute the same.

    Args:
        blocks, heads, feedforward_width, dropout, positions: as of `TransformerEncoder`.

    Examples:
        >>> decoder = TransformerDecoder(blocks=1, heads=2, feedforward_width=16)
        >>> decoder(tf.ones([2, 3, 8]), tf.ones([2, 5, 8]), tf.ones([2, 5], tf.bool)).shape
        TensorShape([2, 3, 8])
    """

    use_cross_attention = True

    def call(self, x: tf.Tensor, memory: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        """Decode (batch, steps, width), with memory and its mask, to (batch, steps, width). Steps are causal."""
        steps = tf.range(tf.shape(x)[1])
        causal_mask = tf.where(steps[:, tf.newaxis] >= steps, 0.0, MASKED_SCORE)[tf.newaxis, tf.newaxis]
        bias, memory_bias = causal_mask + self._bias(steps, steps), mask_padding(padding_mask)
        x = self.dropout_layer(self._add_positions(x))
        for block in self.blocks:
            x = block(x, bias, block.cross_attention.project_keys_values(memory), memory_bias)
        return self.norm(x)

    def begin(
        self, memory: tf.Tensor, padding_mask: tf.Tensor, num_beams: int | tf.Tensor, max_tokens: int
    ) -> tuple[dict[str, Any], list[tuple[tf.Tensor, ...]]]:
        """Return what stays the same, by row of the memory, and the empty cache of keys and values, by hypothesis.

        Args:
            memory: (rows, source_length, width), the encoded source.
            padding_mask: (rows, source_length) bool, true at tokens.
            num_beams: number of hypotheses of each row.
            max_tokens: positive integer, maximum number of steps.
        """
        encoded = {
            "memory": [tuple(block.cross_attention.project_keys_values(memory)) for block in self.blocks],
            "bias": mask_padding(padding_mask),
            "is_greedy": isinstance(num_beams, int) and num_beams == 1,
        }
        if self.positions == "sinusoidal":
            encoded["positions"] = tf.cast(encode_positions(tf.range(max_tokens), memory.shape[-1]), self.compute_dtype)
        depth = memory.shape[-1] // self.heads
        empty = tf.zeros([tf.shape(memory)[0] * num_beams, self.heads, 0, depth], self.compute_dtype)
        return encoded, [(empty, empty) for _ in self.blocks]

    def cache_shapes(self) -> list[tuple[tf.TensorShape, tf.TensorShape]]:
        """Return the shapes of the cache that hold for all steps."""
        depth = self.norm.gamma.shape[0] // self.heads
        shape = tf.TensorShape([None, self.heads, None, depth])
        return [(shape, shape) for _ in self.blocks]

    def step(
        self, x: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, Any], cache: Sequence[tuple[tf.Tensor, ...]]
    ) -> tuple[tf.Tensor, list[tuple[tf.Tensor, ...]]]:
        """Decode one token of each hypothesis, (hypotheses, width): (hypotheses, width), and the new cache."""
        bias, new_cache = None, []
        if self.positions == "sinusoidal":
            x += encoded["positions"][position]
        else:
            bias = self._bias(position[tf.newaxis], tf.range(position + 1))
        for block, memory, previous in zip(self.blocks, encoded["memory"], cache, strict=True):
            x, project_keys_values = block.step(x, memory, encoded["bias"], previous, bias, encoded["is_greedy"])
            new_cache.append(project_keys_values)
        return self.norm(x), new_cache


def encode_positions(positions: tf.Tensor, width: int) -> tf.Tensor:
    """Compute the sinusoidal position encoding: (steps,) int32 to (steps, width) float32.

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.5, with the sines before the cosines. KerasHub's is in the
    compute dtype, and bfloat16 does not distinguish 257 from 256.
    """
    rates = tf.constant(10_000.0) ** (-tf.range(0, width, 2, tf.float32) / width)
    angles = tf.cast(positions, tf.float32)[:, tf.newaxis] * rates
    return tf.concat([tf.sin(angles), tf.cos(angles)], 1)[:, :width]


def mask_padding(padding_mask: tf.Tensor) -> tf.Tensor:
    """Compute the attention bias that masks padding: (batch, keys) bool to (batch, 1, 1, keys) float32."""
    return tf.where(padding_mask, 0.0, MASKED_SCORE)[:, tf.newaxis, tf.newaxis]
