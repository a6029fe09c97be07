"""Causal transformer over packed documents, which also decodes one token at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dlkit.layers.transformer_blocks import MASKED_SCORE, CachedMultiHeadAttention, Rotation, rotary_positions
from dlkit.lazy import keras, layers, tf
from dlkit.tasks.language_model.gelu import gelu

POSITIONS = ("rotary", "learned")
FEEDFORWARDS = ("gelu", "swiglu")


@keras.saving.register_keras_serializable("dlkit")
class GptBlock(layers.Layer):
    """Pre-norm block of a causal transformer: self-attention and a feed-forward network, with RMS normalization.

    Source: Xiong et al., 2020, arXiv:2002.04745, figure 1 b; normalization as in Zhang and Sennrich, 2019,
    arXiv:1910.07467; gated feed-forward networks as in Shazeer, 2020, arXiv:2002.05202.

    Args:
        num_heads: number of attention heads; divides the width.
        feedforward_width: hidden width of the feed-forward network.
        feedforward: "gelu" or "swiglu".
        dropout: dropout rate of the output of each sublayer, in [0, 1).

    Examples:
        >>> GptBlock(num_heads=2, feedforward_width=16)(tf.ones((1, 3, 8)), tf.zeros((1, 1, 3, 3)))[0].shape
        TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        num_heads: int,
        feedforward_width: int,
        feedforward: Literal["gelu", "swiglu"] = "gelu",
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.feedforward_width = num_heads, feedforward_width
        self.feedforward, self.dropout = feedforward, dropout

    def build(self, shape: Any, *_: Any) -> None:
        policy, hidden = self.dtype_policy, self.feedforward_width
        self.attention = CachedMultiHeadAttention(self.num_heads, dtype=policy, name="attention")
        self.norms = [layers.RMSNormalization(epsilon=1e-6, dtype=policy) for _ in range(2)]
        self.drops = [layers.Dropout(self.dropout, dtype=policy) for _ in range(2)]
        units = 2 * hidden if self.feedforward == "swiglu" else hidden
        self.feedforward_in = layers.Dense(units, use_bias=False, dtype=policy, name="feedforward_in")
        self.feedforward_out = layers.Dense(shape[-1], use_bias=False, dtype=policy, name="feedforward_out")
        for sublayer in (self.attention, *self.norms, self.feedforward_in):
            sublayer.build((None, None, shape[-1]))
        self.feedforward_out.build((None, None, hidden))

    def call(
        self, x: tf.Tensor, bias: tf.Tensor, rotation: Rotation | None = None
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Apply the block to whole sequences.

        Args:
            x: (batch, steps, width).
            bias: added to the scores of attention, broadcast to (batch, heads, steps, steps).
            rotation: of queries and keys, as `rotary_positions` gives it; None for no rotation.

        Returns:
            Tuple of (batch, steps, width), and the keys and values, (batch, heads, steps, width / heads) each.
        """
        normalized = self.norms[0](x)
        keys, values = self.attention.project_keys_values(normalized, rotation)
        x += self.drops[0](self.attention(normalized, keys, values, bias, rotation))
        return x + self.drops[1](self._feed_forward(self.norms[1](x))), (keys, values)

    def step(
        self,
        x: tf.Tensor,
        prompt: tuple[tf.Tensor, tf.Tensor],
        bias: tf.Tensor,
        cache: tuple[tf.Tensor, tf.Tensor],
        rotation: Rotation | None = None,
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Apply the block to the last token of each row.

        Args:
            x: (rows, width).
            prompt: keys and values of the prompt.
            bias: of the keys of the prompt, (rows, 1, 1, keys).
            cache: keys and values of the tokens after the prompt.
            rotation: as in `call`.

        Returns:
            (rows, width), and the updated cache.
        """
        normalized = self.norms[0](x)
        new_cache = self.attention.extend_cache(cache, normalized, rotation)
        x += self.attention.step_over(normalized, [(*prompt, bias), (*new_cache, None)], rotation)
        return x + self._feed_forward(self.norms[1](x)), new_cache

    def _feed_forward(self, x: tf.Tensor) -> tf.Tensor:
        hidden = self.feedforward_in(tf.reshape(x, [-1, x.shape[-1]]))  # as a matrix, as in attention
        if self.feedforward == "swiglu":
            gate, hidden = tf.split(hidden, 2, -1)
            hidden = tf.nn.silu(gate) * hidden
        else:
            hidden = gelu(hidden)
        return tf.reshape(self.feedforward_out(hidden), tf.shape(x))

    def compute_output_spec(self, x: keras.KerasTensor, *_: Any, **__: Any) -> Any:
        keys = keras.KerasTensor((x.shape[0], self.num_heads, x.shape[1], x.shape[2] // self.num_heads), x.dtype)
        return keras.KerasTensor(x.shape, self.compute_dtype), (keys, keys)

    def get_config(self) -> dict[str, Any]:
        own = {
            "num_heads": self.num_heads,
            "feedforward_width": self.feedforward_width,
            "feedforward": self.feedforward,
            "dropout": self.dropout,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("dlkit")
class GptDecoder(layers.Layer):
    """Decodes with causal transformer blocks. A token attends to itself and to earlier tokens of its own segment.

    `call` decodes whole windows; `begin` reads prompts, and `step` decodes token by token after them, with cached keys
    and values. Both compute the same.

    Args:
        blocks: positive integer, number of blocks.
        heads: positive integer, number of attention heads, which divides the width.
        feedforward_width: positive integer, hidden width of the feed-forward networks.
        feedforward: "gelu", or "swiglu" for gated ones.
        positions: "rotary" positions, or "learned" position embeddings.
        context_length: positive integer, number of learned positions.
        dropout: float in [0, 1), dropout rate.

    Raises:
        ValueError: there is no such value of `positions` or `feedforward`, or `heads` does not divide the width into
            even parts.

    Examples:
        >>> decoder = GptDecoder(blocks=1, heads=2, feedforward_width=16, context_length=4)
        >>> decoder(tf.ones([1, 3, 8]), tf.ones([1, 3], tf.int32), tf.constant([[0, 1, 2]])).shape
        TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        blocks: int,
        heads: int,
        feedforward_width: int,
        context_length: int,
        feedforward: Literal["gelu", "swiglu"] = "gelu",
        positions: Literal["rotary", "learned"] = "rotary",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value, allowed in (("positions", positions, POSITIONS), ("feedforward", feedforward, FEEDFORWARDS)):
            if value not in allowed:
                raise ValueError(f"`{name}` must be one of {', '.join(allowed)}. Received: {value!r}.")
        self.num_blocks, self.heads, self.feedforward_width = blocks, heads, feedforward_width
        self.context_length, self.feedforward = context_length, feedforward
        self.positions, self.dropout = positions, dropout

    def build(self, shape: Any, *_: Any) -> None:
        width, policy = shape[-1], self.dtype_policy
        if width % (2 * self.heads):
            raise ValueError(
                f"the width must be an even multiple of `heads`. Received: width={width}, heads={self.heads}."
            )
        self.depth = width // self.heads
        self.dropout_layer = layers.Dropout(self.dropout, dtype=policy)
        self.norm = layers.RMSNormalization(epsilon=1e-6, dtype=policy, name="norm")
        self.blocks = [
            GptBlock(
                self.heads, self.feedforward_width, self.feedforward, self.dropout, dtype=policy, name=f"block_{i}"
            )
            for i in range(self.num_blocks)
        ]
        for layer in (self.norm, *self.blocks):
            layer.build((None, None, width))
        if self.positions == "learned":
            self.position_embedding = layers.Embedding(
                self.context_length, width, dtype=policy, name="position_embedding"
            )
            self.position_embedding.build((None, None))

    def call(self, x: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Decode windows.

        Args:
            x: (batch, steps, width), embedded tokens.
            segment_ids: (batch, steps) int32, the segment of each token; 0 for padding.
            positions: (batch, steps) int32, the position of each token in its segment.

        Returns:
            (batch, steps, width).
        """
        return self._read(x, segment_ids, positions)[0]

    def begin(
        self, x: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, Any], list[tuple[tf.Tensor, tf.Tensor]]]:
        """Read prompts, of one segment each, as `call` does.

        Returns:
            Tuple of the features, (rows, steps, width); what stays the same in all steps; and the empty cache.
        """
        features, keys_values = self._read(x, segment_ids, positions)
        count = tf.reduce_sum(tf.cast(segment_ids > 0, tf.int32), 1)
        bias = tf.where(segment_ids > 0, 0.0, MASKED_SCORE)[:, tf.newaxis, tf.newaxis]
        empty = tf.zeros([tf.shape(x)[0], self.heads, 0, self.depth], self.compute_dtype)
        return features, {"prompt": keys_values, "bias": bias, "count": count}, [(empty, empty) for _ in self.blocks]

    def cache_shapes(self) -> list[tuple[tf.TensorShape, tf.TensorShape]]:
        """Return the shapes of the cache that hold for all steps."""
        shape = tf.TensorShape([None, self.heads, None, self.depth])
        return [(shape, shape) for _ in self.blocks]

    def step(
        self, x: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, Any], cache: Sequence[tuple[tf.Tensor, ...]]
    ) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor]]]:
        """Decode one token of each row, (rows, width), the `position`-th after those of `begin`.

        Returns:
            (rows, width), and the new cache.
        """
        x, rotation = self._add_positions(x[:, tf.newaxis], (encoded["count"] + position)[:, tf.newaxis])
        x, new_cache = x[:, 0], []
        for block, prompt, previous in zip(self.blocks, encoded["prompt"], cache, strict=True):
            x, keys_values = block.step(x, prompt, encoded["bias"], previous, rotation)
            new_cache.append(keys_values)
        return self.norm(x), new_cache

    def _read(
        self, x: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor
    ) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor]]]:
        x, rotation = self._add_positions(x, positions)
        x = self.dropout_layer(x)
        steps = tf.range(tf.shape(x)[1])
        is_seen = (segment_ids[:, :, tf.newaxis] == segment_ids[:, tf.newaxis]) & (steps[:, tf.newaxis] >= steps)
        bias = tf.where(is_seen, 0.0, MASKED_SCORE)[:, tf.newaxis]
        every: list[tuple[tf.Tensor, tf.Tensor]] = []
        for block in self.blocks:
            x, keys_values = block(x, bias, rotation)
            every.append(keys_values)
        return self.norm(x), every

    def _add_positions(self, x: tf.Tensor, positions: tf.Tensor) -> tuple[tf.Tensor, Rotation | None]:
        if self.positions == "rotary":
            return x, rotary_positions(positions, self.depth, self.compute_dtype)
        return x + self.position_embedding(tf.minimum(positions, self.context_length - 1)), None

    def compute_output_spec(self, x: keras.KerasTensor, *_: Any, **__: Any) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "blocks": self.num_blocks,
            "heads": self.heads,
            "feedforward_width": self.feedforward_width,
            "context_length": self.context_length,
            "feedforward": self.feedforward,
            "positions": self.positions,
            "dropout": self.dropout,
        }
        return {**super().get_config(), **own}
