"""The layer that turns SMILES into padded graphs, fingerprints and tokens, in core TensorFlow operations."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.tasks.molecule_properties.elements import SYMBOLS
from dlkit.tasks.molecule_properties.molecular_graph import (
    FINGERPRINT_RADIUS,
    Graph,
    build_graph,
    hash_molecules,
    hash_scaffolds,
    select_atoms,
)
from dlkit.tasks.molecule_properties.smiles_graph import describe_errors, parse
from dlkit.tasks.molecule_properties.smiles_tokens import BONDS, RING, Tokens, tokenize

# Features and their numbers of values; larger values count as the largest.
ATOM_FEATURES = {
    "element": len(SYMBOLS),
    "degree": 7,
    "hydrogens": 6,
    "charge": 7,  # -3 to 3
    "chirality": 3,
    "in_ring": 2,
    "isotope": 2,  # whether one is given
}
BOND_FEATURES = {"order": 6, "in_ring": 2, "stereo": 3}
TOKEN_FEATURES = {
    "kind": 7,
    "element": len(SYMBOLS),
    "aromatic": 2,
    "charge": 7,
    "hydrogens": 7,  # 0 for atoms without brackets
    "chirality": 3,
    "bond": len(BONDS) + 1,
    "ring": 11,
}
MULTIPLE = 8  # padded lengths are multiples of it
CHARACTERS_PER_ATOM = 16  # longer texts are not parsed: an atom in brackets with two ring numbers has about as many


@keras.saving.register_keras_serializable("dlkit")
class MoleculeFeatures(keras.layers.Layer):
    """Parses SMILES into features of molecules.

    All SMILES of a molecule give the same graph and fingerprint, up to the order of the atoms.

    Args:
        max_atoms: Positive integer, the largest molecule, without hydrogens.
        fingerprint_bits: Positive integer, the length of the fingerprint.
        largest_fragment: Whether only the largest part of a salt is kept.

    Call arguments:
        smiles: (batch,) string.

    Returns:
        Dict of `atoms`, (batch, atoms, features) uint8, the values of `ATOM_FEATURES`; `atom_mask`, (batch, atoms)
        bool; `bonds`, (batch, bonds, features) uint8; `bond_atoms`, (batch, bonds, 2) int32, the atoms of each;
        `bond_mask`, (batch, bonds) bool; `fingerprint`, (batch, fingerprint_bits) uint8, how often each hash of a
        neighborhood of up to 3 bonds occurs; `tokens`, (batch, tokens, features) uint8, the values of
        `TOKEN_FEATURES`; `token_mask`, (batch, tokens) bool; and `error`, (batch,) string, empty for a valid molecule.
        Lengths are those of the longest molecule of the batch, rounded up to a multiple of 8.

    Examples:
        >>> layer = MoleculeFeatures(max_atoms=50, fingerprint_bits=64)
        >>> made = layer(tf.constant(["CCO", "C1=CC=CC=C1", "C("]))
        >>> made["atom_mask"].numpy().sum(1), made["bond_mask"].numpy().sum(1)
        (array([3, 6, 0]), array([2, 6, 0]))
        >>> made["error"][2].numpy().decode()
        'not a valid SMILES: the parentheses are not balanced, or one has no atom before or in it'
    """

    def __init__(self, max_atoms: int, fingerprint_bits: int, largest_fragment: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if max_atoms < 1 or fingerprint_bits < 1:
            raise ValueError(
                "`max_atoms` and `fingerprint_bits` must be positive. Received: "
                f"max_atoms={max_atoms}, fingerprint_bits={fingerprint_bits}."
            )
        self.max_atoms, self.fingerprint_bits, self.largest_fragment = max_atoms, fingerprint_bits, largest_fragment
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    @property
    def max_bonds(self) -> int:
        """The largest number of bonds: those of the carbon cages, with three bonds an atom, and of everything else."""
        return 3 * self.max_atoms // 2 + 1

    @property
    def max_tokens(self) -> int:
        """The largest number of tokens of a SMILES, hydrogens that are written as atoms included."""
        return 8 * self.max_atoms

    @property
    def limits(self) -> dict[str, Limits]:
        """Bounds of its outputs, for requests that bring preprocessed tensors."""
        return {
            "atoms": Limits(0, max(ATOM_FEATURES.values()) - 1),
            "atom_mask": Limits(nonzero=True),
            "bonds": Limits(0, max(BOND_FEATURES.values()) - 1),
            "bond_atoms": Limits(0, self.max_atoms - 1),
            "tokens": Limits(0, max(TOKEN_FEATURES.values()) - 1),
            "token_mask": Limits(nonzero=True),
        }

    def call(self, smiles: tf.Tensor) -> dict[str, tf.Tensor]:
        text = tf.strings.strip(smiles)
        rows = tf.shape(text)[0]
        graph, tokens, error = self._build(text)
        made = _pad_graph(graph, rows)
        padded, mask = _pad(_token_features(tokens), tokens.row, rows)
        return {
            **made,
            "fingerprint": _count_hashes(graph, rows, self.fingerprint_bits),
            "tokens": padded,
            "token_mask": mask,
            "error": error,
        }

    def describe(self, smiles: tf.Tensor) -> dict[str, tf.Tensor]:
        """Tell molecules and their scaffolds apart, (batch,) each.

        Args:
            smiles: (batch,) string.

        Returns:
            Dict of `error`, string; `molecule`, int64, the same for all SMILES of a molecule; and `scaffold`, int64, 0
            for a molecule without rings.
        """
        text = tf.strings.strip(smiles)
        rows = tf.shape(text)[0]
        graph, _, error = self._build(text)
        return {"error": error, "molecule": hash_molecules(graph, rows), "scaffold": hash_scaffolds(graph, rows)}

    def _build(self, text: tf.Tensor) -> tuple[Graph, Tokens, tf.Tensor]:
        """Return the graphs and tokens of valid molecules, and what is wrong with others, (batch,) string."""
        rows = tf.shape(text)[0]
        limit = CHARACTERS_PER_ATOM * self.max_atoms + 64
        length = tf.strings.length(text)
        tokens, errors = tokenize(tf.where(length > limit, "C", text))
        atoms, bonds, errors = parse(tokens, errors)
        reason = describe_errors(errors)
        error = tf.where(reason == "", "", tf.strings.join(["not a valid SMILES: ", reason]))
        graph = build_graph(atoms, bonds, largest_fragment=self.largest_fragment)
        sizes = _count(graph.atoms.row, rows)
        num_bonds = _count(tf.gather(graph.atoms.row, graph.bonds.begin), rows)
        for number, most, what in (
            (length, limit, "characters"),
            (sizes, self.max_atoms, "atoms"),
            (num_bonds, self.max_bonds, "bonds"),
            (_count(tokens.row, rows), self.max_tokens, "tokens"),
        ):
            found = tf.strings.join([tf.strings.as_string(number), f" {what}, at most {most} are allowed"])
            too_long = (number > most) & (error == "")
            error = tf.where(too_long, tf.strings.join(["the molecule is too long: it has ", found]), error)
        valid = error == ""
        tokens = Tokens(*(tf.boolean_mask(each, tf.gather(valid, tokens.row)) for each in tokens))
        return select_atoms(graph, tf.gather(valid, graph.atoms.row)), tokens, error

    def compute_output_spec(self, smiles: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        batch = smiles.shape[0]
        return {
            "atoms": keras.KerasTensor((batch, None, len(ATOM_FEATURES)), "uint8"),
            "atom_mask": keras.KerasTensor((batch, None), "bool"),
            "bonds": keras.KerasTensor((batch, None, len(BOND_FEATURES)), "uint8"),
            "bond_atoms": keras.KerasTensor((batch, None, 2), "int32"),
            "bond_mask": keras.KerasTensor((batch, None), "bool"),
            "fingerprint": keras.KerasTensor((batch, self.fingerprint_bits), "uint8"),
            "tokens": keras.KerasTensor((batch, None, len(TOKEN_FEATURES)), "uint8"),
            "token_mask": keras.KerasTensor((batch, None), "bool"),
            "error": keras.KerasTensor((batch,), "string"),
        }

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("max_atoms", "fingerprint_bits", "largest_fragment")}
        return {**super().get_config(), **own}


def _count(row: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return tf.math.unsorted_segment_sum(tf.ones_like(row), row, rows)


def _pad(values: tf.Tensor, row: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Pad (n, features) values to (batch, longest, features); also return which are present, (batch, longest) bool."""
    sizes = _count(row, rows)
    starts = tf.cumsum(sizes, exclusive=True)
    place = tf.range(tf.shape(row)[0]) - tf.gather(starts, row)
    longest = tf.maximum(tf.reduce_max(tf.concat([sizes, [0]], 0)), 1)
    longest = (longest + MULTIPLE - 1) // MULTIPLE * MULTIPLE
    shape = tf.stack([rows, longest, values.shape[1]])
    padded = tf.scatter_nd(tf.stack([row, place], 1), values, shape)
    return tf.ensure_shape(padded, [None, None, values.shape[1]]), tf.sequence_mask(sizes, longest)


def _pad_graph(graph: Graph, rows: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the padded atoms and bonds of graphs."""
    atoms, bonds = graph.atoms, graph.bonds
    starts = tf.cumsum(_count(atoms.row, rows), exclusive=True)
    atom_columns = {
        "element": atoms.element,
        "degree": graph.degree,
        "hydrogens": atoms.hydrogens,
        "charge": atoms.charge + 3,
        "chirality": atoms.chirality + 1,
        "in_ring": tf.cast(graph.in_ring, tf.int32),
        "isotope": tf.minimum(atoms.isotope, 1),
    }
    bond_columns = {"order": bonds.order, "in_ring": tf.cast(bonds.ring, tf.int32), "stereo": graph.stereo + 1}
    row = tf.gather(atoms.row, bonds.begin)
    start = tf.gather(starts, row)
    padded, atom_mask = _pad(_stack(atom_columns, ATOM_FEATURES), atoms.row, rows)
    # Bonds are sorted by row; those of ring closures come after all others.
    order = tf.argsort(row, stable=True)
    row = tf.gather(row, order)
    padded_bonds, bond_mask = _pad(tf.gather(_stack(bond_columns, BOND_FEATURES), order), row, rows)
    ends = tf.gather(tf.stack([bonds.begin - start, bonds.end - start], 1), order)
    return {
        "atoms": padded,
        "atom_mask": atom_mask,
        "bonds": padded_bonds,
        "bond_atoms": _pad(ends, row, rows)[0],
        "bond_mask": bond_mask,
    }


def _stack(columns: dict[str, tf.Tensor], sizes: dict[str, int]) -> tf.Tensor:
    """Stack features to (n, features) uint8, each within its number of values."""
    within = [tf.clip_by_value(columns[name], 0, size - 1) for name, size in sizes.items()]
    return tf.cast(tf.stack(within, 1), tf.uint8)


def _token_features(tokens: Tokens) -> tf.Tensor:
    bond = tf.constant([BONDS.find(chr(code)) + 1 for code in range(128)])
    columns = {
        "kind": tokens.kind,
        "element": tokens.element,
        "aromatic": tf.cast(tokens.aromatic, tf.int32),
        "charge": tokens.charge + 3,
        "hydrogens": tokens.hydrogens + 1,
        "chirality": tokens.chirality + 1,
        "bond": tf.gather(bond, tokens.symbol),
        "ring": tf.where(tokens.kind == RING, tokens.ring + 1, 0),
    }
    return _stack(columns, TOKEN_FEATURES)


def _count_hashes(graph: Graph, rows: tf.Tensor, bits: int) -> tf.Tensor:
    """Count the hashes of neighborhoods of all atoms, (batch, bits) uint8."""
    places = [
        tf.stack([graph.atoms.row, tf.cast((hashed + 977 * radius) % bits, tf.int32)], 1)
        for radius, hashed in enumerate(graph.hashes[: FINGERPRINT_RADIUS + 1])
    ]
    indices = tf.concat(places, 0)
    counts = tf.scatter_nd(indices, tf.ones_like(indices[:, 0]), tf.stack([rows, bits]))
    return tf.ensure_shape(tf.cast(tf.minimum(counts, 255), tf.uint8), [None, bits])
