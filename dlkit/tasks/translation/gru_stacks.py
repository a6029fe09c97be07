"""The encoder and the decoder of a recurrent network that writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dlkit.lazy import keras, layers, tf

ATTENTIONS = {"bahdanau": layers.AdditiveAttention, "luong": layers.Attention}


@keras.saving.register_keras_serializable("dlkit")
class GruEncoder(layers.Layer):
    """Reads vectors of tokens both ways: (batch, steps, width) and their mask to (batch, steps, width).

    Args:
        blocks: recurrent layers on top of each other.
        dropout: float in [0, 1), before each and after the last.
    """

    def __init__(self, blocks: int, dropout: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.count, self.dropout = blocks, dropout

    def build(self, shape: Any) -> None:
        policy, width = self.dtype_policy, shape[-1]
        # cuDNN's kernels refuse rows without a token, and a graph with them does not run elsewhere.
        self.readers = [
            layers.Bidirectional(
                layers.GRU(width // 2, return_sequences=True, use_cudnn=False, dtype=policy), dtype=policy
            )
            for _ in range(self.count)
        ]
        self.drop = layers.Dropout(self.dropout, dtype=policy)
        for reader in self.readers:
            reader.build((None, None, width))

    def call(self, x: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        for reader in self.readers:
            x = reader(self.drop(x), mask=padding_mask)
        return self.drop(x)

    def compute_output_spec(self, x: keras.KerasTensor, padding_mask: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "blocks": self.count, "dropout": self.dropout}


@keras.saving.register_keras_serializable("dlkit")
class GruDecoder(layers.Layer):
    """Writes after a memory: all tokens at once, `call`, in training; one by one, `begin` and `step`, in answers.

    Attention looks from the recurrent state at the memory, and a dense layer joins both: Luong et al., 2015,
    arXiv:1508.04025, equation 5, without feeding the result back in, so that training needs no loop around attention.
    The score is Luong's dot product, or the additive one of Bahdanau et al., 2015, arXiv:1409.0473.

    Args:
        blocks: recurrent layers on top of each other.
        attention: "bahdanau" or "luong".
        dropout: float in [0, 1).
    """

    def __init__(
        self, blocks: int, attention: Literal["bahdanau", "luong"] = "luong", dropout: float = 0.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        if attention not in ATTENTIONS:
            raise ValueError(f"`attention` must be one of {', '.join(ATTENTIONS)}. Received: {attention!r}.")
        self.count, self.attention, self.dropout = blocks, attention, dropout

    def build(self, shape: Any) -> None:
        policy, self.width = self.dtype_policy, shape[-1]
        self.writers = [
            layers.GRU(self.width, return_sequences=True, use_cudnn=False, dtype=policy) for _ in range(self.count)
        ]
        self.starts = [layers.Dense(self.width, activation="tanh", dtype=policy) for _ in self.writers]
        self.reader = ATTENTIONS[self.attention](use_scale=True, dtype=policy, name="attention")
        self.join = layers.Dense(self.width, activation="tanh", use_bias=False, dtype=policy, name="join")
        self.drop = layers.Dropout(self.dropout, dtype=policy)
        for writer in self.writers:
            writer.build((None, None, self.width))
        for start in self.starts:
            start.build((None, self.width))
        self.reader.build([(None, None, self.width)] * 2)
        self.join.build((None, None, 2 * self.width))

    def call(self, x: tf.Tensor, memory: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        """(batch, steps, width), memory and its mask to (batch, steps, width); a step sees itself and those before."""
        for writer, start in zip(self.writers, self._starts(memory, padding_mask), strict=True):
            x = writer(self.drop(x), initial_state=start)
        return self._joined(x, memory, padding_mask)

    def begin(
        self, memory: tf.Tensor, padding_mask: tf.Tensor, beams: int | tf.Tensor, steps: int
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """What stays, by row of the memory, and the states, by hypothesis, of which each row has `beams`, in any
        `steps`."""
        states = [tf.repeat(start, beams, axis=0) for start in self._starts(memory, padding_mask)]
        return {"memory": memory, "mask": padding_mask}, states

    def shapes(self) -> list[tf.TensorShape]:
        """The shapes of the states."""
        return [tf.TensorShape([None, self.width]) for _ in self.writers]

    def step(
        self, x: tf.Tensor, position: tf.Tensor, fixed: Mapping[str, tf.Tensor], states: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """One token of each hypothesis, (rows, width), at a position: (rows, width), and the states after it."""
        after = []
        for writer, state in zip(self.writers, states, strict=True):
            x, (state, *_) = writer.cell(x, [state])
            after.append(state)
        grouped = tf.reshape(x, [tf.shape(fixed["memory"])[0], -1, self.width])
        joined = self._joined(grouped, fixed["memory"], fixed["mask"])
        return tf.reshape(joined, [-1, self.width]), after

    def _starts(self, memory: tf.Tensor, padding_mask: tf.Tensor) -> list[tf.Tensor]:
        kept = tf.cast(padding_mask, memory.dtype)[:, :, tf.newaxis]
        mean = tf.reduce_sum(memory * kept, 1) / tf.maximum(tf.reduce_sum(kept, 1), 1)
        return [start(mean) for start in self.starts]

    def _joined(self, x: tf.Tensor, memory: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        found = self.reader([x, memory], mask=[None, padding_mask])
        return self.drop(self.join(tf.concat([x, found], -1)))

    def compute_output_spec(
        self, x: keras.KerasTensor, memory: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        own = {"blocks": self.count, "attention": self.attention, "dropout": self.dropout}
        return {**super().get_config(), **own}
