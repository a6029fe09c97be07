"""Networks of tables: from the preprocessed cells of a row to a vector for each member of an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dlkit.layers.transformer_blocks import TransformerBlock
from dlkit.lazy import keras, layers, ops, tf
from dlkit.tabular.declare import HEADS
from dlkit.tabular.ensemble_layers import EnsembleDense, FeatureScale, PrependToken
from dlkit.tabular.feature_embedding import CellEmbedding

SIZES = {"mlp": (256, 3), "resnet": (192, 3), "ft_transformer": (64, 3), "realmlp": (256, 3), "tabm": (192, 3)}
"""Width and number of blocks of each network, where they are not given."""


@dataclass(frozen=True)
class NetworkOptions:
    """Options of a network.

    Attributes:
        network: `mlp`, `resnet`, `ft_transformer`, `realmlp` or `tabm`.
        width: width of hidden layers; 0 for that of `SIZES`.
        blocks: number of hidden layers or blocks; 0 for that of `SIZES`.
        dropout: dropout rate.
        members: number of members of `tabm`.
        encoding: of numbers: `none`, `piecewise` or `periodic`.
        activation: activation of `realmlp`: `selu` for classification, `mish` for regression.
    """

    network: str
    width: int = 0
    blocks: int = 0
    dropout: float = 0.1
    members: int = 8
    encoding: str = "none"
    activation: str = "selu"

    @property
    def size(self) -> tuple[int, int]:
        """Width and number of blocks."""
        width, blocks = SIZES[self.network]
        return self.width or width, self.blocks or blocks


def build_network(
    cells: Mapping[str, keras.KerasTensor],
    embedding: CellEmbedding,
    options: NetworkOptions,
    head: Callable[[tf.Tensor], dict[str, tf.Tensor]],
) -> keras.Model:
    """Build a network.

    Args:
        cells: inputs by name, as `CellEmbedding` takes them.
        embedding: their embedding, flat but for `ft_transformer`.
        options: options of the network.
        head: from (batch, members, width) to the outputs by name; members is 1 but for `tabm`.

    Returns:
        keras.Model from the cells to these outputs.
    """
    bodies = {"mlp": _mlp, "resnet": _resnet, "ft_transformer": _ft_transformer, "realmlp": _realmlp, "tabm": _tabm}
    x = bodies[options.network](embedding(dict(cells)), options)
    return keras.Model(dict(cells), head(x), name=options.network)


def _mlp(x: tf.Tensor, options: NetworkOptions) -> tf.Tensor:
    width, blocks = options.size
    for _ in range(blocks):
        x = layers.Dropout(options.dropout)(layers.Dense(width, activation="relu")(x))
    return _one_member(x)


def _resnet(x: tf.Tensor, options: NetworkOptions) -> tf.Tensor:
    """Gorishniy et al., 2021, arXiv:2106.11959, section 3.2, with layer for batch normalization: rows stay apart."""
    width, blocks = options.size
    x = layers.Dense(width)(x)
    for _ in range(blocks):
        hidden = layers.Dense(2 * width, activation="relu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(width)(layers.Dropout(options.dropout)(hidden))
    return _one_member(layers.Activation("relu")(layers.LayerNormalization()(x)))


def _ft_transformer(x: tf.Tensor, options: NetworkOptions) -> tf.Tensor:
    """Gorishniy et al., 2021, arXiv:2106.11959, section 3.3, with ReLU in the feed-forward networks."""
    width, blocks = options.size
    x = PrependToken()(x)
    for _ in range(blocks):
        x = TransformerBlock(HEADS, 2 * width, options.dropout)(x)
    return _one_member(layers.Activation("relu")(layers.LayerNormalization()(x[:, 0])))


def _realmlp(x: tf.Tensor, options: NetworkOptions) -> tf.Tensor:
    """Holzmüller et al., 2024, arXiv:2407.04491, in standard parametrization, whose steps are as long at this width."""
    width, blocks = options.size
    x = FeatureScale()(x)
    for _ in range(blocks):
        x = layers.Dense(width, kernel_initializer="lecun_normal")(x)
        x = layers.Dropout(options.dropout)(layers.Activation(options.activation)(x))
    return _one_member(x)


def _tabm(x: tf.Tensor, options: NetworkOptions) -> tf.Tensor:
    """Gorishniy et al., 2024, arXiv:2410.24210."""
    width, blocks = options.size
    x = _one_member(x)
    for number in range(blocks):
        x = EnsembleDense(width, options.members, random_signs=number == 0)(x)
        x = layers.Dropout(options.dropout)(layers.Activation("relu")(x))
    return x


def _one_member(x: tf.Tensor) -> Any:
    return ops.expand_dims(x, 1)
