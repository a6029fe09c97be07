"""The encoder and the decoder of a transformer that writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dlkit.layers.relative_position_bias import RelativePositionBias
from dlkit.layers.transformer_blocks import MASKED_SCORE, TransformerBlock
from dlkit.lazy import keras, layers, tf

POSITIONS = ("sines", "relative")


class _Stack(layers.Layer):
    """What encoder and decoder have in common: positions, blocks, a last normalization."""

    use_cross_attention = False

    def __init__(
        self,
        blocks: int,
        heads: int,
        hidden: int,
        dropout: float = 0.0,
        positions: Literal["sines", "relative"] = "sines",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if positions not in POSITIONS:
            raise ValueError(f"`positions` must be one of {', '.join(POSITIONS)}. Received: {positions!r}.")
        self.count, self.heads, self.hidden, self.dropout = blocks, heads, hidden, dropout
        self.positions = positions

    def build(self, shape: Any) -> None:
        if shape[-1] % self.heads:
            raise ValueError(f"the width must be a multiple of `heads`. Received: {shape[-1]}, heads={self.heads}.")
        policy = self.dtype_policy
        self.drop = layers.Dropout(self.dropout, dtype=policy)
        self.norm = layers.LayerNormalization(epsilon=1e-6, dtype=policy, name="norm")
        self.blocks = [
            TransformerBlock(
                self.heads, self.hidden, self.dropout, self.use_cross_attention, dtype=policy, name=f"block_{i}"
            )
            for i in range(self.count)
        ]
        if self.positions == "relative":
            self.place = RelativePositionBias(
                self.heads, bidirectional=not self.use_cross_attention, dtype=policy, name="positions"
            )
            self.place.build()
        for part in (self.norm, *self.blocks):
            part.build(shape)

    def _placed(self, x: tf.Tensor) -> tf.Tensor:
        """Vectors with their positions, where these are sines."""
        if self.positions == "relative":
            return x
        return x + tf.cast(sines(tf.range(tf.shape(x)[1]), x.shape[-1]), x.dtype)

    def _bias(self, queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor | float:
        """The bias of the distances between positions, 0 where positions are sines."""
        return tf.cast(self.place(queries, keys), tf.float32) if self.positions == "relative" else 0.0

    def compute_output_spec(self, x: keras.KerasTensor, *_: Any, **__: Any) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {
            "blocks": self.count,
            "heads": self.heads,
            "hidden": self.hidden,
            "dropout": self.dropout,
            "positions": self.positions,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("dlkit")
class TransformerEncoder(_Stack):
    """Reads vectors of tokens: (batch, steps, width) and (batch, steps) bool, true at tokens, to (batch, steps, width).

    Args:
        blocks: how many.
        heads: of attention.
        hidden: width of the feed-forward parts.
        dropout: float in [0, 1).
        positions: "sines", added to the vectors, or "relative", a bias of attention.
    """

    def call(self, x: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        steps = tf.range(tf.shape(x)[1])
        bias = self._bias(steps, steps) + unseen(padding_mask)
        x = self.drop(self._placed(x))
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)


@keras.saving.register_keras_serializable("dlkit")
class TransformerDecoder(_Stack):
    """Writes after a memory: all tokens at once, `call`, in training; one by one, `begin` and `step`, in answers.

    Both compute the same; `step` keeps keys and values. Arguments as of `TransformerEncoder`.
    """

    use_cross_attention = True

    def call(self, x: tf.Tensor, memory: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        """(batch, steps, width), memory and its mask to (batch, steps, width); a step sees itself and those before."""
        steps = tf.range(tf.shape(x)[1])
        later = tf.where(steps[:, tf.newaxis] >= steps, 0.0, MASKED_SCORE)[tf.newaxis, tf.newaxis]
        bias, memory_bias = later + self._bias(steps, steps), unseen(padding_mask)
        x = self.drop(self._placed(x))
        for block in self.blocks:
            x = block(x, bias, block.cross_attention.project_keys_values(memory), memory_bias)
        return self.norm(x)

    def begin(
        self, memory: tf.Tensor, padding_mask: tf.Tensor, beams: int | tf.Tensor, steps: int
    ) -> tuple[dict[str, Any], list[tuple[tf.Tensor, ...]]]:
        """What stays, by row of the memory, and what grows, by hypothesis, of which each row has `beams`, in
        `steps`."""
        fixed = {
            "memory": [tuple(block.cross_attention.project_keys_values(memory)) for block in self.blocks],
            "bias": unseen(padding_mask),
            "alone": isinstance(beams, int) and beams == 1,
        }
        if self.positions == "sines":
            fixed["places"] = tf.cast(sines(tf.range(steps), memory.shape[-1]), self.compute_dtype)
        depth = memory.shape[-1] // self.heads
        nothing = tf.zeros([tf.shape(memory)[0] * beams, self.heads, 0, depth], self.compute_dtype)
        return fixed, [(nothing, nothing) for _ in self.blocks]

    def shapes(self) -> list[tuple[tf.TensorShape, tf.TensorShape]]:
        """The shapes of what grows, where they stay the same."""
        depth = self.norm.gamma.shape[0] // self.heads
        growing = tf.TensorShape([None, self.heads, None, depth])
        return [(growing, growing) for _ in self.blocks]

    def step(
        self, x: tf.Tensor, position: tf.Tensor, fixed: Mapping[str, Any], past: Sequence[tuple[tf.Tensor, ...]]
    ) -> tuple[tf.Tensor, list[tuple[tf.Tensor, ...]]]:
        """One token of each hypothesis, (rows, width), at a position: (rows, width), and what has grown."""
        bias, grown = None, []
        if self.positions == "sines":
            x += fixed["places"][position]
        else:
            bias = self._bias(position[tf.newaxis], tf.range(position + 1))
        for block, memory, before in zip(self.blocks, fixed["memory"], past, strict=True):
            x, kept = block.step(x, memory, fixed["bias"], before, bias, fixed["alone"])
            grown.append(kept)
        return self.norm(x), grown


def sines(positions: tf.Tensor, width: int) -> tf.Tensor:
    """Vectors of positions, (steps,) int32 to (steps, width) float32: Vaswani et al., 2017, section 3.5.

    Sines first, then cosines. KerasHub's are in the compute dtype, and bfloat16 cannot tell 257 from 256.
    """
    rates = tf.constant(10_000.0) ** (-tf.range(0, width, 2, tf.float32) / width)
    angles = tf.cast(positions, tf.float32)[:, tf.newaxis] * rates
    return tf.concat([tf.sin(angles), tf.cos(angles)], 1)[:, :width]


def unseen(padding_mask: tf.Tensor) -> tf.Tensor:
    """The bias that hides padding: (batch, keys) bool to (batch, 1, 1, keys) float32."""
    return tf.where(padding_mask, 0.0, MASKED_SCORE)[:, tf.newaxis, tf.newaxis]
