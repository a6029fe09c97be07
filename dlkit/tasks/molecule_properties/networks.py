"""Networks over molecules: message passing, fingerprints, and sequences of the tokens of SMILES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dlkit.lazy import keras, layers, ops, tf
from dlkit.tasks.molecule_properties.decoding import IntervalOutputs
from dlkit.tasks.molecule_properties.featurization import ATOM_FEATURES, BOND_FEATURES, TOKEN_FEATURES


@dataclass(frozen=True)
class NetworkSpec:
    """What all networks share.

    Attributes:
        num_targets: Positive integer.
        intervals: Whether a network also returns the bounds of an interval.
        width: Positive integer, of the hidden layers.
        depth: Positive integer, number of message passing steps or blocks.
        dropout: Float in [0, 1).
        ensemble_size: Positive integer, number of networks side by side.

    Examples:
        >>> NetworkSpec(num_targets=4, intervals=True).num_outputs
        3
    """

    num_targets: int
    intervals: bool
    width: int = 128
    depth: int = 3
    dropout: float = 0.1
    ensemble_size: int = 1

    @property
    def num_outputs(self) -> int:
        """Number of outputs for each target."""
        return 3 if self.intervals else 1


@keras.saving.register_keras_serializable("dlkit")
class OneHotFeatures(keras.layers.Layer):
    """Encodes integer features as one-hot vectors, side by side.

    Args:
        sizes: List of integers, the number of values of each feature.

    Call arguments:
        values: (..., features) integers.

    Returns:
        (..., sum of sizes) float.

    Examples:
        >>> OneHotFeatures([2, 3])(tf.constant([[1, 2]])).numpy().tolist()
        [[0.0, 1.0, 0.0, 0.0, 1.0]]
    """

    def __init__(self, sizes: list[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.sizes = list(sizes)

    def call(self, values: tf.Tensor) -> tf.Tensor:
        values = tf.cast(values, tf.int32)
        encoded = [
            tf.one_hot(values[..., place], size, dtype=self.compute_dtype) for place, size in enumerate(self.sizes)
        ]
        return tf.concat(encoded, -1)

    def compute_output_spec(self, values: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor((*values.shape[:-1], sum(self.sizes)), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sizes": self.sizes}


@keras.saving.register_keras_serializable("dlkit")
class BondEnds(keras.layers.Layer):
    """Returns matrices from atoms to the ends of bonds, which gather and sum in one matrix product.

    Call arguments:
        bond_atoms: (batch, bonds, 2) int32, the atoms of each bond.
        bond_mask: (batch, bonds) bool.
        atom_mask: (batch, atoms) bool, of which only the length matters.

    Returns:
        Tuple of (batch, 2 * bonds, atoms) float matrices of the sources and targets of directed bonds: first each bond
        in the direction that it has, then each in the other. Padded bonds have neither.

    Examples:
        >>> sources, targets = BondEnds()(tf.constant([[[0, 1]]]), tf.constant([[True]]), tf.constant([[True, True]]))
        >>> sources.numpy().tolist(), targets.numpy().tolist()
        ([[[1.0, 0.0], [0.0, 1.0]]], [[[0.0, 1.0], [1.0, 0.0]]])
    """

    def call(self, bond_atoms: tf.Tensor, bond_mask: tf.Tensor, atom_mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(atom_mask)[1]
        present = tf.cast(bond_mask, tf.bool)[..., tf.newaxis]
        ends = tf.where(present, bond_atoms, -1)  # one-hot vectors of -1 are zeros
        begin, end = (tf.one_hot(ends[..., place], count, dtype=self.compute_dtype) for place in (0, 1))
        return tf.concat([begin, end], 1), tf.concat([end, begin], 1)

    def compute_output_spec(
        self, bond_atoms: keras.KerasTensor, bond_mask: keras.KerasTensor, atom_mask: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        directed = None if bond_mask.shape[1] is None else 2 * bond_mask.shape[1]
        shape = (bond_mask.shape[0], directed, atom_mask.shape[1])
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(shape, self.compute_dtype)


@keras.saving.register_keras_serializable("dlkit")
class MaskedPooling(keras.layers.Layer):
    """Pools vectors of any number: their sum, divided by a constant, their mean, and their maximum, side by side.

    The vectors must not be negative, as after a ReLU, so that padding is never the maximum.

    Args:
        typical_length: Float by which the sum is divided, so that it is of the size of the others.

    Call arguments:
        values: (batch, length, width).
        padding_mask: (batch, length) bool, true at vectors.

    Returns:
        (batch, 3 * width).

    Examples:
        >>> pooled = MaskedPooling(typical_length=4.0)(tf.ones((1, 3, 2)), tf.constant([[True, True, False]]))
        >>> pooled.numpy().tolist()
        [[0.5, 0.5, 1.0, 1.0, 1.0, 1.0]]
    """

    def __init__(self, typical_length: float = 20.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.typical_length = typical_length

    def call(self, values: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        present = ops.cast(padding_mask, values.dtype)[..., None]
        values = values * present
        total, count = ops.sum(values, 1), ops.maximum(ops.sum(present, 1), 1)
        return ops.concatenate([total / self.typical_length, total / count, ops.max(values, 1)], -1)

    def compute_output_shape(self, values_shape: tuple[Any, ...], padding_mask_shape: Any = None) -> tuple[Any, ...]:
        return (values_shape[0], 3 * values_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "typical_length": self.typical_length}


Encoder = Callable[[Mapping[str, Any]], Any]
"""A function of the network's inputs to a vector for each molecule, (batch, any width)."""


def message_passing_network(spec: NetworkSpec) -> keras.Model:
    """Build a network that passes messages along directed bonds.

    The hidden vector of a directed bond is updated from those of the bonds that lead to its source, except its own
    reverse. Source: Yang et al., 2019, arXiv:1904.01561 (D-MPNN), with pooling by sum, mean and maximum.

    Args:
        spec: sizes and options.

    Returns:
        keras.Model from `atoms`, `atom_mask`, `bonds`, `bond_atoms` and `bond_mask`, as `MoleculeFeatures` returns
        them, to `outputs`: (batch, members, targets, 1 or 3) float32.

    Examples:
        >>> message_passing_network(NetworkSpec(4, intervals=True, width=8)).output["outputs"].shape
        (None, 1, 4, 3)
    """
    inputs = {
        "atoms": keras.Input((None, len(ATOM_FEATURES)), dtype="uint8", name="atoms"),
        "atom_mask": keras.Input((None,), dtype="bool", name="atom_mask"),
        "bonds": keras.Input((None, len(BOND_FEATURES)), dtype="uint8", name="bonds"),
        "bond_atoms": keras.Input((None, 2), dtype="int32", name="bond_atoms"),
        "bond_mask": keras.Input((None,), dtype="bool", name="bond_mask"),
    }
    atoms = OneHotFeatures([*ATOM_FEATURES.values()], name="atom_features")(inputs["atoms"])
    bonds = OneHotFeatures([*BOND_FEATURES.values()], name="bond_features")(inputs["bonds"])
    sources, targets = BondEnds(name="bond_ends")(inputs["bond_atoms"], inputs["bond_mask"], inputs["atom_mask"])
    to_atoms = ops.transpose(targets, (0, 2, 1))

    def encode(inputs: Mapping[str, Any]) -> Any:
        # One linear layer of the source and the bond: in two parts, as there are fewer atoms than directed bonds.
        of_source = ops.matmul(sources, layers.Dense(spec.width, use_bias=False)(atoms))
        of_bond = layers.Dense(spec.width, use_bias=False)(bonds)
        first = of_source + ops.concatenate([of_bond, of_bond], 1)
        hidden = ops.relu(first)
        update = layers.Dense(spec.width, use_bias=False)  # shared by all steps
        for _ in range(spec.depth - 1):
            forward, backward = ops.split(hidden, 2, 1)
            message = ops.matmul(sources, ops.matmul(to_atoms, hidden)) - ops.concatenate([backward, forward], 1)
            hidden = ops.relu(first + update(message))
            hidden = layers.Dropout(spec.dropout)(hidden)
        around = ops.concatenate([atoms, ops.matmul(to_atoms, hidden)], -1)
        vectors = layers.Dense(spec.width, activation="relu")(around)
        vectors = layers.Dropout(spec.dropout)(vectors)
        return MaskedPooling()(vectors, inputs["atom_mask"])

    return _build(inputs, encode, spec, "message_passing_network")


def fingerprint_network(spec: NetworkSpec, bits: int) -> keras.Model:
    """Build a multilayer perceptron on the counts of hashed neighborhoods of atoms.

    Source of the fingerprint: Rogers and Hahn, 2010, doi:10.1021/ci100050t.

    Args:
        spec: sizes and options.
        bits: Positive integer, the length of the fingerprint.

    Returns:
        keras.Model from `fingerprint`, (batch, bits) uint8, to `outputs`: (batch, members, targets, 1 or 3) float32.

    Examples:
        >>> fingerprint_network(NetworkSpec(2, intervals=False, width=8), bits=64).output["outputs"].shape
        (None, 1, 2, 1)
    """
    inputs = {"fingerprint": keras.Input((bits,), dtype="uint8", name="fingerprint")}
    counts = ops.log1p(ops.cast(inputs["fingerprint"], keras.config.floatx()))

    def encode(inputs: Mapping[str, Any]) -> Any:
        return layers.Dropout(spec.dropout)(layers.Dense(2 * spec.width, activation="relu")(counts))

    return _build(inputs, encode, spec, "fingerprint_network")


def sequence_network(spec: NetworkSpec, kind: str) -> keras.Model:
    """Build a network on the tokens of SMILES.

    Args:
        spec: sizes and options.
        kind: "transformer", "gru" (bidirectional) or "cnn".

    Returns:
        keras.Model from `tokens` and `token_mask`, as `MoleculeFeatures` returns them, to `outputs`: (batch, members,
        targets, 1 or 3) float32.

    Examples:
        >>> sequence_network(NetworkSpec(2, intervals=False, width=8), "cnn").output["outputs"].shape
        (None, 1, 2, 1)
    """
    blocks = {"transformer": _transformer_blocks, "gru": _gru_blocks, "cnn": _cnn_blocks}[kind]
    inputs = {
        "tokens": keras.Input((None, len(TOKEN_FEATURES)), dtype="uint8", name="tokens"),
        "token_mask": keras.Input((None,), dtype="bool", name="token_mask"),
    }
    tokens = OneHotFeatures([*TOKEN_FEATURES.values()], name="token_features")(inputs["tokens"])

    def encode(inputs: Mapping[str, Any]) -> Any:
        x = layers.Dense(spec.width)(tokens)
        x = blocks(x, inputs["token_mask"], spec)
        x = layers.Dense(spec.width, activation="relu")(x)
        return MaskedPooling(typical_length=40.0)(x, inputs["token_mask"])

    return _build(inputs, encode, spec, f"{kind}_network")


def _transformer_blocks(x: Any, mask: Any, spec: NetworkSpec) -> Any:
    import keras_hub

    x = x + keras_hub.layers.SinePositionEncoding()(x)
    x = layers.Dropout(spec.dropout)(x)
    for _ in range(spec.depth):
        encoder = keras_hub.layers.TransformerEncoder(
            2 * spec.width, 4, dropout=spec.dropout, activation="gelu", normalize_first=True
        )
        x = encoder(x, padding_mask=mask)
    return layers.LayerNormalization()(x)


def _gru_blocks(x: Any, mask: Any, spec: NetworkSpec) -> Any:
    for _ in range(spec.depth):
        # cuDNN's kernels refuse rows without a token, and a graph with them does not run elsewhere.
        x = layers.Bidirectional(layers.GRU(spec.width // 2 or 1, return_sequences=True, use_cudnn=False))(x, mask=mask)
        x = layers.Dropout(spec.dropout)(x)
    return x


def _cnn_blocks(x: Any, mask: Any, spec: NetworkSpec) -> Any:
    for _ in range(spec.depth):
        # Padding is zero before every convolution, so that an answer does not depend on its length.
        present = ops.cast(ops.expand_dims(mask, -1), x.dtype)
        response = layers.Conv1D(spec.width, 5, padding="same", activation="relu")(x * present)
        x = layers.LayerNormalization()(x + layers.Dropout(spec.dropout)(response))
    return x


def _build(inputs: Mapping[str, Any], encode: Encoder, spec: NetworkSpec, name: str) -> keras.Model:
    """Build the members of an ensemble, each with an encoder of its own, and their outputs."""
    members = []
    for _ in range(spec.ensemble_size):
        x = layers.Dense(spec.width, activation="relu")(encode(inputs))
        x = layers.Dropout(spec.dropout)(x)
        x = layers.Dense(spec.num_targets * spec.num_outputs, dtype="float32")(x)
        outputs = IntervalOutputs()(x) if spec.intervals else ops.expand_dims(x, -1)
        members.append(outputs)
    return keras.Model(inputs, {"outputs": ops.stack(members, 1)}, name=name)
