"""What comes next after a history: transformers and recurrent networks over the items of a session.

Call each with `history`: (batch, steps) int32, the newest item in the last place, 0 before the first one. It returns
float32 logits over the items, nothing's first: (batch, steps, 1 + items) of what follows each item, or, with `last`,
(batch, 1 + items) of what follows the last one.
"""

from __future__ import annotations

from typing import Any

from dlkit.layers.relative_position_bias import RelativePositionBias
from dlkit.layers.transformer_blocks import MASKED_SCORE, TransformerBlock
from dlkit.lazy import keras, layers, ops, tf
from dlkit.tasks.recommendation.score_items import FeaturedEmbedding


class _NextItems(keras.layers.Layer):
    """What both share: one table of embeddings to read items and to score them, and biases.

    Args:
        items: how many there are, without nothing.
        width: of the embeddings.
        blocks: layers on top of each other.
        dropout: float in [0, 1).
        item_features: how many features each item has.
    """

    def __init__(
        self, items: int, width: int, blocks: int = 2, dropout: float = 0.0, item_features: int = 0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.sizes: dict[str, Any] = {"items": items, "width": width, "blocks": blocks, "dropout": dropout}
        self.sizes["item_features"] = item_features

    def build(self, history_shape: Any) -> None:
        sizes, policy = self.sizes, self.dtype_policy
        rows, width = sizes["items"] + 1, sizes["width"]
        self.items = FeaturedEmbedding(rows, width, sizes["item_features"], dtype=policy, name="items")
        self.bias = self.add_weight(shape=(rows,), initializer="zeros", name="bias")
        self.drop = layers.Dropout(sizes["dropout"], dtype=policy)
        self.norm = layers.LayerNormalization(epsilon=1e-6, dtype=policy, name="norm")
        self.norm.build((None, None, width))
        self.build_more(history_shape[1])
        self.built = True

    def call(self, history: tf.Tensor, last: bool = False, training: bool = False) -> tf.Tensor:
        states = self.states(history, training)
        states = self.norm(states[:, -1] if last else states)
        logits = ops.matmul(states, ops.transpose(self.items()))
        return ops.cast(logits, "float32") + ops.cast(self.bias, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.sizes}


@keras.saving.register_keras_serializable("dlkit")
class SelfAttentiveHistory(_NextItems):
    """A transformer that looks back.

    Source: SASRec of Kang and McAuley, 2018, arXiv:1808.09781. Blocks normalize before, not after, and attention sees
    how far apart items are, instead of an embedding for each place: what each step of a history learns holds at the
    last one too, whose place alone is answered from.

    Args:
        heads: attention heads; the width is a multiple.
    """

    def __init__(self, *args: Any, heads: int = 2, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sizes["heads"] = heads

    def build_more(self, steps: int | None) -> None:
        del steps
        sizes, policy = self.sizes, self.dtype_policy
        self.distances = RelativePositionBias(sizes["heads"], bidirectional=False, name="distances")
        self.distances.build()
        self.blocks = [
            TransformerBlock(sizes["heads"], 2 * sizes["width"], sizes["dropout"], dtype=policy, name=f"block_{number}")
            for number in range(sizes["blocks"])
        ]
        for block in self.blocks:
            block.build((None, None, sizes["width"]))

    def states(self, history: tf.Tensor, training: bool) -> tf.Tensor:
        """(batch, steps, width) after each item."""
        steps = tf.shape(history)[1]
        x = self.drop(self.items(history) * self.sizes["width"] ** 0.5, training=training)
        earlier = tf.linalg.band_part(tf.ones([steps, steps], tf.bool), -1, 0)
        seen = tf.logical_and(earlier, (history > 0)[:, tf.newaxis, :])[:, tf.newaxis]  # (batch, 1, steps, steps)
        places = tf.range(steps)
        bias = tf.where(seen, tf.cast(self.distances(places, places), tf.float32), MASKED_SCORE)
        for block in self.blocks:
            x = block(x, bias)
        return x


@keras.saving.register_keras_serializable("dlkit")
class RecurrentHistory(_NextItems):
    """Gated recurrent units over the items. Source: GRU4Rec of Hidasi et al., 2015, arXiv:1511.06939."""

    def build_more(self, steps: int | None) -> None:
        del steps
        sizes = self.sizes
        self.cells = [  # cuDNN's kernels refuse rows without an item, and a graph with them does not run elsewhere
            layers.GRU(sizes["width"], return_sequences=True, use_cudnn=False, dtype=self.dtype_policy, name=f"gru_{n}")
            for n in range(sizes["blocks"])
        ]
        for cell in self.cells:
            cell.build((None, None, sizes["width"]))

    def states(self, history: tf.Tensor, training: bool) -> tf.Tensor:
        """(batch, steps, width) after each item."""
        x = self.drop(self.items(history) * self.sizes["width"] ** 0.5, training=training)
        for cell in self.cells:
            x = self.drop(cell(x, mask=history > 0, training=training), training=training)
        return x
