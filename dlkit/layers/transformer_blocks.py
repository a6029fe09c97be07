"""Blocks of an encoder-decoder transformer, which also decode one token at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

from dlkit.lazy import keras, layers, tf

MASKED_SCORE = -1e9  # added to the score of a key that must not be seen: its weight is exactly 0
Rotation: TypeAlias = "tuple[tf.Tensor, tf.Tensor]"  # as `rotary_positions` gives it


@keras.saving.register_keras_serializable("dlkit")
class CachedMultiHeadAttention(layers.Layer):
    """Multi-head attention whose keys and values can be cached.

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.2. Scores and their softmax are float32.

    Args:
        num_heads: number of heads; divides the width.

    Examples:
        >>> attention = CachedMultiHeadAttention(num_heads=2)
        >>> attention.build((None, None, 8))
        >>> x = tf.ones((1, 3, 8))
        >>> attention(x, *attention.project_keys_values(x)).shape
        TensorShape([1, 3, 8])
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, shape: Any) -> None:
        width = shape[-1]
        for name, units in (("query", width), ("key_value", 2 * width), ("output_dense", width)):
            layer = layers.Dense(units, use_bias=name == "output_dense", dtype=self.dtype_policy, name=name)
            layer.build((None, None, width))
            setattr(self, name, layer)
        self._scale = (width // self.num_heads) ** -0.5

    def project_keys_values(self, x: tf.Tensor, rotation: Rotation | None = None) -> list[tf.Tensor]:
        """Project (batch, steps, width) to keys and values, (batch, heads, steps, width / heads) each.

        Args:
            x: what is attended to.
            rotation: of the keys, as `rotary_positions` gives it; None for no rotation.
        """
        shape, width = tf.shape(x), x.shape[-1]
        # As a matrix: Keras's product of more axes computes shapes by a dozen operations, each time.
        projected = self.key_value(tf.reshape(x, [-1, width]))
        split = tf.reshape(projected, [shape[0], shape[1], 2, self.num_heads, width // self.num_heads])
        keys, values = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))
        return [rotate(keys, rotation), values]

    def call(
        self,
        x: tf.Tensor,
        keys: tf.Tensor,
        values: tf.Tensor,
        bias: tf.Tensor | None = None,
        rotation: Rotation | None = None,
    ) -> tf.Tensor:
        """Attend from each step of x to keys and values.

        Args:
            x: the queries, (batch, steps, width).
            keys: (batch, heads, keys, width / heads).
            values: of the same shape.
            bias: added to the scores, broadcast to (batch, heads, steps, keys); None for no bias.
            rotation: of the queries, as `rotary_positions` gives it; None for no rotation.

        Returns:
            (batch, steps, width).
        """
        width = x.shape[-1]
        shape = tf.shape(x)
        query = self.query(tf.reshape(x, [-1, width])) * self._scale
        query = tf.reshape(query, [shape[0], shape[1], self.num_heads, width // self.num_heads])
        query = rotate(tf.transpose(query, [0, 2, 1, 3]), rotation)
        scores = tf.cast(tf.matmul(query, keys, transpose_b=True), tf.float32)
        if bias is not None:
            scores += tf.cast(bias, tf.float32)
        attended = tf.matmul(tf.cast(tf.nn.softmax(scores), values.dtype), values)
        joined = self.output_dense(tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, width]))
        return tf.reshape(joined, [shape[0], shape[1], width])

    # Of one step at a time nothing is transposed, and one query is no matrix: oneDNN's batched product of it takes
    # longer than products and sums, which made a step of one row a third slower.

    def extend_cache(
        self, cache: tuple[tf.Tensor, tf.Tensor], x: tf.Tensor, rotation: Rotation | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Add the keys and values of one step, (rows, width), to cached ones, (rows, heads, steps, width / heads) each.

        `rotation` is that of the keys, as in `project_keys_values`.
        """
        split = tf.reshape(self.key_value(x), [-1, 2, self.num_heads, 1, x.shape[-1] // self.num_heads])
        keys, values = cache
        return tf.concat([keys, rotate(split[:, 0], rotation)], 2), tf.concat([values, split[:, 1]], 2)

    def step(
        self,
        x: tf.Tensor,
        keys: tf.Tensor,
        values: tf.Tensor,
        bias: tf.Tensor | None = None,
        rotation: Rotation | None = None,
    ) -> tf.Tensor:
        """Attend from a single query per row, (rows, width), to keys and values; `bias` as in `call`."""
        return self.step_over(x, [(keys, values, bias)], rotation)

    def step_over(
        self,
        x: tf.Tensor,
        parts: Sequence[tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]],
        rotation: Rotation | None = None,
    ) -> tf.Tensor:
        """Attend from a single query per row, (rows, width), to several parts of keys and values at once.

        Args:
            x: the queries.
            parts: keys, values and bias of each part, as in `step`; joining them takes longer than their scores.
            rotation: as in `call`.
        """
        query = tf.reshape(self.query(x) * self._scale, [-1, self.num_heads, 1, x.shape[-1] // self.num_heads])
        query = rotate(query, rotation)
        scores = [_add_bias(tf.cast(tf.reduce_sum(query * keys, -1), tf.float32), bias) for keys, _, bias in parts]
        weights = tf.nn.softmax(tf.concat(scores, -1) if len(scores) > 1 else scores[0])
        split = tf.split(weights, [tf.shape(each)[-1] for each in scores], -1) if len(scores) > 1 else [weights]
        attended = [
            tf.reduce_sum(tf.cast(weight, values.dtype)[..., tf.newaxis] * values, 2)
            for weight, (_, values, _) in zip(split, parts, strict=True)
        ]
        return self.output_dense(tf.reshape(sum(attended[1:], attended[0]), [-1, x.shape[-1]]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads}


def _add_bias(scores: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
    """Add the bias of a single query, (rows or 1, heads or 1, 1, keys), to its scores, (rows, heads, keys)."""
    return scores if bias is None else scores + tf.cast(bias, tf.float32)[:, :, 0]


def rotary_positions(positions: tf.Tensor, depth: int, dtype: str = "float32") -> Rotation:
    """Compute the rotations of queries and keys by their positions.

    Source: Su et al., 2021, arXiv:2104.09864, section 3.4.2, with the two halves of the depth as pairs.

    Args:
        positions: (rows, steps) int32.
        depth: even integer, depth of a head.
        dtype: of the result.

    Returns:
        Tuple of cosines and sines, (rows, 1, steps, depth / 2) each.
    """
    rates = tf.constant(10_000.0) ** (-tf.range(0, depth, 2, tf.float32) / depth)
    angles = tf.cast(positions, tf.float32)[:, tf.newaxis, :, tf.newaxis] * rates
    return tf.cast(tf.cos(angles), dtype), tf.cast(tf.sin(angles), dtype)


def rotate(x: tf.Tensor, rotation: Rotation | None) -> tf.Tensor:
    """Rotate vectors, (rows, heads, steps, depth), by `rotary_positions`; None leaves them as they are."""
    if rotation is None:
        return x
    (cosines, sines), (first, second) = rotation, tf.split(x, 2, -1)
    return tf.concat([first * cosines - second * sines, second * cosines + first * sines], -1)


@keras.saving.register_keras_serializable("dlkit")
class TransformerBlock(layers.Layer):
    """Pre-norm transformer block: self-attention, optional cross-attention, and a feed-forward network.

    Source: Xiong et al., 2020, arXiv:2002.04745, figure 1 b.

    Args:
        num_heads: number of attention heads; divides the width.
        feedforward_width: hidden width of the feed-forward network.
        dropout: dropout rate of the output of each sublayer, in [0, 1).
        use_cross_attention: whether the block attends to the outputs of an encoder.

    Examples:
        >>> TransformerBlock(num_heads=2, feedforward_width=16)(tf.ones((1, 3, 8))).shape
        TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        num_heads: int,
        feedforward_width: int,
        dropout: float = 0.0,
        use_cross_attention: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.feedforward_width, self.dropout, self.use_cross_attention = (
            num_heads,
            feedforward_width,
            dropout,
            use_cross_attention,
        )

    def build(self, shape: Any) -> None:
        policy = self.dtype_policy
        self.self_attention = CachedMultiHeadAttention(self.num_heads, dtype=policy, name="self_attention")
        self.norms = [
            layers.LayerNormalization(epsilon=1e-6, dtype=policy) for _ in range(2 + self.use_cross_attention)
        ]
        self.drops = [layers.Dropout(self.dropout, dtype=policy) for _ in self.norms]
        self.feedforward_in = layers.Dense(
            self.feedforward_width, activation="relu", dtype=policy, name="feedforward_in"
        )
        self.feedforward_out = layers.Dense(shape[-1], dtype=policy, name="feedforward_out")
        sublayers = [self.self_attention, *self.norms, self.feedforward_in]
        if self.use_cross_attention:
            self.cross_attention = CachedMultiHeadAttention(self.num_heads, dtype=policy, name="cross_attention")
            sublayers.append(self.cross_attention)
        for sublayer in sublayers:
            sublayer.build((None, None, shape[-1]))
        self.feedforward_out.build((None, None, self.feedforward_width))

    def call(
        self,
        x: tf.Tensor,
        bias: tf.Tensor | None = None,
        memory: Sequence[tf.Tensor] | None = None,
        memory_bias: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Apply the block to whole sequences.

        Args:
            x: (batch, steps, width).
            bias: added to the scores of self-attention, broadcast; None for no bias.
            memory: keys and values of the encoder outputs, as `cross_attention.project_keys_values` gives them.
            memory_bias: added to the scores of cross-attention, broadcast.

        Returns:
            (batch, steps, width).
        """
        normalized = self.norms[0](x)
        x += self.drops[0](self.self_attention(normalized, *self.self_attention.project_keys_values(normalized), bias))
        if self.use_cross_attention:
            x += self.drops[1](
                self.cross_attention(self.norms[1](x), *cast("Sequence[tf.Tensor]", memory), memory_bias)
            )
        return x + self.drops[-1](self.feedforward_out(self.feedforward_in(self.norms[-1](x))))

    def step(
        self,
        x: tf.Tensor,
        memory: tuple[tf.Tensor, tf.Tensor],
        memory_bias: tf.Tensor,
        cache: tuple[tf.Tensor, tf.Tensor],
        bias: tf.Tensor | None = None,
        single_hypothesis: bool = False,
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Apply a decoder block to one step of each hypothesis.

        Args:
            x: (hypotheses, width).
            memory: keys and values of the encoder outputs, one per row; the hypotheses of a row are adjacent.
            memory_bias: as in `call`.
            cache: keys and values of self-attention for the previous steps.
            bias: as in `call`.
            single_hypothesis: whether each row has one hypothesis.

        Returns:
            (hypotheses, width), and the updated cache.
        """
        normalized = self.norms[0](x)
        new_cache = self.self_attention.extend_cache(cache, normalized)
        x += self.self_attention.step(normalized, *new_cache, bias)
        normalized = self.norms[1](x)
        if single_hypothesis:
            x += self.cross_attention.step(normalized, *memory, memory_bias)
        else:  # several hypotheses share the memory of their row: they are queries side by side
            grouped = tf.reshape(normalized, [tf.shape(memory[0])[0], -1, x.shape[-1]])
            x += tf.reshape(self.cross_attention(grouped, *memory, memory_bias), tf.shape(x))
        return x + self.feedforward_out(self.feedforward_in(self.norms[2](x))), new_cache

    def get_config(self) -> dict[str, Any]:
        own = {
            "num_heads": self.num_heads,
            "feedforward_width": self.feedforward_width,
            "dropout": self.dropout,
            "use_cross_attention": self.use_cross_attention,
        }
        return {**super().get_config(), **own}
