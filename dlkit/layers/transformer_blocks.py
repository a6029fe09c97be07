"""The blocks of an encoder-decoder transformer, which write token by token as they were taught in whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from dlkit.lazy import keras, layers, tf

MASKED_SCORE = -1e9  # added to the score of a key that must not be seen: its weight is exactly 0


@keras.saving.register_keras_serializable("dlkit")
class CachedMultiHeadAttention(layers.Layer):
    """Multi-head attention in parts, so that keys and values can be kept.

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.2. Scores and their softmax are float32.

    Args:
        num_heads: number of heads; the width is a multiple of it.
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def build(self, shape: Any) -> None:
        width = shape[-1]
        for name, units in (("query", width), ("key_value", 2 * width), ("merge", width)):
            layer = layers.Dense(units, use_bias=name == "merge", dtype=self.dtype_policy, name=name)
            layer.build((None, None, width))
            setattr(self, name, layer)
        self._scale = (width // self.num_heads) ** -0.5

    def project_keys_values(self, x: tf.Tensor) -> list[tf.Tensor]:
        """(batch, steps, width) to keys and values, (batch, heads, steps, width / heads) each."""
        x = self.key_value(x)
        width = x.shape[-1] // 2
        split = tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], 2, self.num_heads, width // self.num_heads])
        return tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))

    def call(self, x: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """What the queries of x, (batch, steps, width), find; `bias` is added to their scores and broadcast."""
        width = x.shape[-1]
        shape = tf.shape(x)
        query = tf.reshape(self.query(x) * self._scale, [shape[0], shape[1], self.num_heads, width // self.num_heads])
        scores = tf.cast(tf.matmul(tf.transpose(query, [0, 2, 1, 3]), keys, transpose_b=True), tf.float32)
        if bias is not None:
            scores += tf.cast(bias, tf.float32)
        attended = tf.matmul(tf.cast(tf.nn.softmax(scores), values.dtype), values)
        return self.output_dense(tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [shape[0], shape[1], width]))

    # Of one step at a time nothing is transposed, and one query is no matrix: oneDNN's batched product of it takes
    # longer than products and sums, which made a step of one row a third slower.

    def project_step_keys_values(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(rows, width) to keys and values, (rows, heads, 1, width / heads) each."""
        split = tf.reshape(self.key_value(x), [-1, 2, self.num_heads, 1, x.shape[-1] // self.num_heads])
        return split[:, 0], split[:, 1]

    def step(self, x: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """What a query of each row, (rows, width), finds; `bias` as of `call`."""
        query = tf.reshape(self.query(x) * self._scale, [-1, self.num_heads, 1, x.shape[-1] // self.num_heads])
        scores = tf.cast(tf.reduce_sum(query * keys, -1), tf.float32)
        if bias is not None:
            scores += tf.cast(bias, tf.float32)[:, :, 0]
        weights = tf.cast(tf.nn.softmax(scores), values.dtype)[..., tf.newaxis]
        return self.output_dense(tf.reshape(tf.reduce_sum(weights * values, 2), [-1, x.shape[-1]]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.num_heads}


@keras.saving.register_keras_serializable("dlkit")
class TransformerBlock(layers.Layer):
    """Self-attention, for decoders attention to the memory, and a feed-forward part, each normalized before.

    Source: Xiong et al., 2020, arXiv:2002.04745, figure 1 b.

    Args:
        num_heads: number of heads.
        feedforward_width: width of the feed-forward part.
        dropout: float in [0, 1), of what each part adds.
        reads_memory: whether there is attention to a memory.
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
        self.self_attention = CachedMultiHeadAttention(self.num_heads, dtype=policy, name="attention")
        self.norms = [
            layers.LayerNormalization(epsilon=1e-6, dtype=policy) for _ in range(2 + self.use_cross_attention)
        ]
        self.drops = [layers.Dropout(self.dropout, dtype=policy) for _ in self.norms]
        self.feedforward_in = layers.Dense(self.feedforward_width, activation="relu", dtype=policy, name="inner")
        self.feedforward_out = layers.Dense(shape[-1], dtype=policy, name="outer")
        sublayers = [self.self_attention, *self.norms, self.feedforward_in]
        if self.use_cross_attention:
            self.cross_attention = CachedMultiHeadAttention(self.num_heads, dtype=policy, name="reading")
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
        """One block: (batch, steps, width) to the same.

        Args:
            x: (batch, steps, width).
            bias: added to the scores of self-attention.
            memory: keys and values of the memory; of a decoder only.
            memory_bias: added to the scores of the memory, broadcast.
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
        """One step of a decoder's block, in answers.

        Args:
            x: (hypotheses, width).
            memory, memory_bias, bias: as of `call`, the memory by row, of which each hypotheses are side by side.
            cache: keys and values of the steps before.
            single_hypothesis: whether each row has one hypothesis.

        Returns:
            (hypotheses, width), and the keys and values of all steps so far.
        """
        normalized = self.norms[0](x)
        new_cache: tuple[tf.Tensor, tf.Tensor] = tuple(
            tf.concat([cached, current], 2)
            for cached, current in zip(cache, self.self_attention.project_step_keys_values(normalized), strict=True)
        )
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
            "heads": self.num_heads,
            "hidden": self.feedforward_width,
            "dropout": self.dropout,
            "use_cross_attention": self.use_cross_attention,
        }
        return {**super().get_config(), **own}
