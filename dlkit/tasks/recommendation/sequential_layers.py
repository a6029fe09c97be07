"""Sequential recommenders: a transformer and a recurrent network that predict the next item of a history.

Call a layer with `history`: (batch, steps) int32, the newest item last and padded with 0 on the left. It returns
float32 logits over the items, padding first: (batch, steps, 1 + num_items) for the item that follows each step, or,
with `last_step=True`, (batch, 1 + num_items) for the item that follows the last step.
"""

from __future__ import annotations

from typing import Any

from dlkit.layers.relative_position_bias import RelativePositionBias
from dlkit.layers.transformer_blocks import TransformerBlock
from dlkit.lazy import keras, layers, ops, tf
from dlkit.tasks.recommendation.scoring_layers import MASKED, FeatureEmbedding


class _SequentialRecommender(keras.layers.Layer):
    """Base layer: one embedding table for input items and output scores, and a bias per item.

    Args:
        num_items: number of items, without padding.
        width: embedding width.
        blocks: number of stacked layers.
        dropout: dropout rate, in [0, 1).
        num_item_features: number of features per item.
    """

    def __init__(
        self,
        num_items: int,
        width: int,
        blocks: int = 2,
        dropout: float = 0.0,
        num_item_features: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.sizes: dict[str, Any] = {"num_items": num_items, "width": width, "blocks": blocks, "dropout": dropout}
        self.sizes["num_item_features"] = num_item_features

    def build(self, history_shape: Any) -> None:
        sizes, policy = self.sizes, self.dtype_policy
        rows, width = sizes["num_items"] + 1, sizes["width"]
        self.item_embedding = FeatureEmbedding(
            rows, width, sizes["num_item_features"], dtype=policy, name="item_embedding"
        )
        self.bias = self.add_weight(shape=(rows,), initializer="zeros", name="bias")
        self.dropout = layers.Dropout(sizes["dropout"], dtype=policy)
        self.norm = layers.LayerNormalization(epsilon=1e-6, dtype=policy, name="norm")
        self.norm.build((None, None, width))
        self.build_blocks()
        self.built = True

    def build_blocks(self) -> None:
        """Create and build the stacked layers."""
        raise NotImplementedError

    def compute_states(self, history: tf.Tensor, training: bool) -> tf.Tensor:
        """Compute the hidden state after each item: (batch, steps) int32 to (batch, steps, width)."""
        raise NotImplementedError

    def call(self, history: tf.Tensor, last_step: bool = False, training: bool = False) -> tf.Tensor:
        states = self.compute_states(history, training)
        states = self.norm(states[:, -1] if last_step else states)
        logits = ops.matmul(states, ops.transpose(self.item_embedding()))
        return ops.cast(logits, "float32") + ops.cast(self.bias, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.sizes}


@keras.saving.register_keras_serializable("dlkit")
class SASRec(_SequentialRecommender):
    """Self-attentive sequential recommendation: a causal transformer over the items of a history.

    Reference: Kang and McAuley, 2018, arXiv:1808.09781. Unlike in the paper, blocks are pre-norm and positions are
    relative: what a step in the middle of a history learns also holds for the last step, which alone is used for
    prediction.

    Args:
        num_items: number of items, without padding.
        width: embedding width, a multiple of `heads`.
        blocks: number of transformer blocks.
        dropout: dropout rate, in [0, 1).
        num_item_features: number of features per item.
        heads: number of attention heads.

    Examples:
        >>> import numpy as np
        >>> layer = SASRec(num_items=6, width=8)
        >>> layer(np.array([[0, 3, 1, 2]])).shape
        TensorShape([1, 4, 7])
    """

    def __init__(self, *args: Any, heads: int = 2, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.sizes["heads"] = heads

    def build_blocks(self) -> None:
        sizes, policy = self.sizes, self.dtype_policy
        self.relative_positions = RelativePositionBias(sizes["heads"], bidirectional=False, name="relative_positions")
        self.relative_positions.build()
        self.blocks = [
            TransformerBlock(sizes["heads"], 2 * sizes["width"], sizes["dropout"], dtype=policy, name=f"block_{number}")
            for number in range(sizes["blocks"])
        ]
        for block in self.blocks:
            block.build((None, None, sizes["width"]))

    def compute_states(self, history: tf.Tensor, training: bool) -> tf.Tensor:
        steps = tf.shape(history)[1]
        x = self.dropout(self.item_embedding(history) * self.sizes["width"] ** 0.5, training=training)
        causal = tf.linalg.band_part(tf.ones([steps, steps], tf.bool), -1, 0)
        mask = tf.logical_and(causal, (history > 0)[:, tf.newaxis, :])[:, tf.newaxis]  # (batch, 1, steps, steps)
        positions = tf.range(steps)
        bias = tf.where(mask, tf.cast(self.relative_positions(positions, positions), tf.float32), MASKED)
        for block in self.blocks:
            x = block(x, bias)
        return x


@keras.saving.register_keras_serializable("dlkit")
class GRU4Rec(_SequentialRecommender):
    """Gated recurrent units over the items of a history.

    Reference: Hidasi et al., 2015, arXiv:1511.06939.

    Args:
        num_items: number of items, without padding.
        width: embedding width, and number of units of each layer.
        blocks: number of stacked GRU layers.
        dropout: dropout rate, in [0, 1).
        num_item_features: number of features per item.

    Examples:
        >>> import numpy as np
        >>> layer = GRU4Rec(num_items=6, width=8)
        >>> layer(np.array([[0, 3, 1, 2]]), last_step=True).shape
        TensorShape([1, 7])
    """

    def build_blocks(self) -> None:
        sizes = self.sizes
        self.gru_layers = [  # without cuDNN, whose kernels refuse empty rows and cannot be exported to other devices
            layers.GRU(sizes["width"], return_sequences=True, use_cudnn=False, dtype=self.dtype_policy, name=f"gru_{n}")
            for n in range(sizes["blocks"])
        ]
        for gru in self.gru_layers:
            gru.build((None, None, sizes["width"]))

    def compute_states(self, history: tf.Tensor, training: bool) -> tf.Tensor:
        x = self.dropout(self.item_embedding(history) * self.sizes["width"] ** 0.5, training=training)
        for gru in self.gru_layers:
            x = self.dropout(gru(x, mask=history > 0, training=training), training=training)
        return x
