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
        heads: number of heads; the width is a multiple of it.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, shape: Any) -> None:
        width = shape[-1]
        for name, units in (("query", width), ("key_value", 2 * width), ("merge", width)):
            layer = layers.Dense(units, use_bias=name == "merge", dtype=self.dtype_policy, name=name)
            layer.build((None, None, width))
            setattr(self, name, layer)
        self._scale = (width // self.heads) ** -0.5

    def project_keys_values(self, x: tf.Tensor) -> list[tf.Tensor]:
        """(batch, steps, width) to keys and values, (batch, heads, steps, width / heads) each."""
        x = self.key_value(x)
        width = x.shape[-1] // 2
        split = tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1], 2, self.heads, width // self.heads])
        return tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]))

    def call(self, x: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """What the queries of x, (batch, steps, width), find; `bias` is added to their scores and broadcast."""
        width = x.shape[-1]
        shape = tf.shape(x)
        query = tf.reshape(self.query(x) * self._scale, [shape[0], shape[1], self.heads, width // self.heads])
        scores = tf.cast(tf.matmul(tf.transpose(query, [0, 2, 1, 3]), keys, transpose_b=True), tf.float32)
        if bias is not None:
            scores += tf.cast(bias, tf.float32)
        found = tf.matmul(tf.cast(tf.nn.softmax(scores), values.dtype), values)
        return self.merge(tf.reshape(tf.transpose(found, [0, 2, 1, 3]), [shape[0], shape[1], width]))

    # Of one step at a time nothing is transposed, and one query is no matrix: oneDNN's batched product of it takes
    # longer than products and sums, which made a step of one row a third slower.

    def project_step_keys_values(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(rows, width) to keys and values, (rows, heads, 1, width / heads) each."""
        split = tf.reshape(self.key_value(x), [-1, 2, self.heads, 1, x.shape[-1] // self.heads])
        return split[:, 0], split[:, 1]

    def step(self, x: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, bias: tf.Tensor | None = None) -> tf.Tensor:
        """What a query of each row, (rows, width), finds; `bias` as of `call`."""
        query = tf.reshape(self.query(x) * self._scale, [-1, self.heads, 1, x.shape[-1] // self.heads])
        scores = tf.cast(tf.reduce_sum(query * keys, -1), tf.float32)
        if bias is not None:
            scores += tf.cast(bias, tf.float32)[:, :, 0]
        weights = tf.cast(tf.nn.softmax(scores), values.dtype)[..., tf.newaxis]
        return self.merge(tf.reshape(tf.reduce_sum(weights * values, 2), [-1, x.shape[-1]]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable("dlkit")
class TransformerBlock(layers.Layer):
    """Self-attention, for decoders attention to the memory, and a feed-forward part, each normalized before.

    Source: Xiong et al., 2020, arXiv:2002.04745, figure 1 b.

    Args:
        heads: number of heads.
        hidden: width of the feed-forward part.
        dropout: float in [0, 1), of what each part adds.
        reads_memory: whether there is attention to a memory.
    """

    def __init__(
        self, heads: int, hidden: int, dropout: float = 0.0, use_cross_attention: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.heads, self.hidden, self.dropout, self.use_cross_attention = heads, hidden, dropout, use_cross_attention

    def build(self, shape: Any) -> None:
        policy = self.dtype_policy
        self.attention = CachedMultiHeadAttention(self.heads, dtype=policy, name="attention")
        self.norms = [
            layers.LayerNormalization(epsilon=1e-6, dtype=policy) for _ in range(2 + self.use_cross_attention)
        ]
        self.drops = [layers.Dropout(self.dropout, dtype=policy) for _ in self.norms]
        self.inner = layers.Dense(self.hidden, activation="relu", dtype=policy, name="inner")
        self.outer = layers.Dense(shape[-1], dtype=policy, name="outer")
        parts = [self.attention, *self.norms, self.inner]
        if self.use_cross_attention:
            self.cross_attention = CachedMultiHeadAttention(self.heads, dtype=policy, name="reading")
            parts.append(self.cross_attention)
        for part in parts:
            part.build((None, None, shape[-1]))
        self.outer.build((None, None, self.hidden))

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
        normal = self.norms[0](x)
        x += self.drops[0](self.attention(normal, *self.attention.project_keys_values(normal), bias))
        if self.use_cross_attention:
            x += self.drops[1](
                self.cross_attention(self.norms[1](x), *cast("Sequence[tf.Tensor]", memory), memory_bias)
            )
        return x + self.drops[-1](self.outer(self.inner(self.norms[-1](x))))

    def step(
        self,
        x: tf.Tensor,
        memory: tuple[tf.Tensor, tf.Tensor],
        memory_bias: tf.Tensor,
        past: tuple[tf.Tensor, tf.Tensor],
        bias: tf.Tensor | None = None,
        alone: bool = False,
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """One step of a decoder's block, in answers.

        Args:
            x: (hypotheses, width).
            memory, memory_bias, bias: as of `call`, the memory by row, of which each hypotheses are side by side.
            past: keys and values of the steps before.
            alone: whether each row has one hypothesis.

        Returns:
            (hypotheses, width), and the keys and values of all steps so far.
        """
        normal = self.norms[0](x)
        kept: tuple[tf.Tensor, tf.Tensor] = tuple(
            tf.concat([before, now], 2)
            for before, now in zip(past, self.attention.project_step_keys_values(normal), strict=True)
        )
        x += self.attention.step(normal, *kept, bias)
        normal = self.norms[1](x)
        if alone:
            x += self.cross_attention.step(normal, *memory, memory_bias)
        else:  # several hypotheses share the memory of their row: they are queries side by side
            together = tf.reshape(normal, [tf.shape(memory[0])[0], -1, x.shape[-1]])
            x += tf.reshape(self.cross_attention(together, *memory, memory_bias), tf.shape(x))
        return x + self.outer(self.inner(self.norms[2](x))), kept

    def get_config(self) -> dict[str, Any]:
        own = {
            "heads": self.heads,
            "hidden": self.hidden,
            "dropout": self.dropout,
            "use_cross_attention": self.use_cross_attention,
        }
        return {**super().get_config(), **own}
