"""Prediction of molecular properties: from a SMILES string to values with intervals, in their own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from dlkit.columns import Column, Reason
from dlkit.data.table import Table
from dlkit.errors import DataError, HparamError
from dlkit.hparams import hparam
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.padding import Padding
from dlkit.rows import ERROR, Rows
from dlkit.run_length import DefaultEpochs
from dlkit.stages import Stages
from dlkit.task import Task
from dlkit.tasks.molecule_properties.columns import (
    SMILES_NAMES,
    BinaryProperty,
    Probabilities,
    Property,
    PropertyNames,
    PropertyValues,
    Similarity,
    Smiles,
    SplitName,
    Uncertainties,
)
from dlkit.tasks.molecule_properties.rows import MoleculeRows

SEQUENCE_NETWORKS = ("transformer", "gru", "cnn")
GRAPH_PADDING = (
    Padding("atom_mask", ("atoms", "atom_mask")),
    Padding("bond_mask", ("bonds", "bond_atoms", "bond_mask"), buckets=False),
)
COLUMN_SPLIT = "column:"
COMMON_ANSWER: dict[str, Column] = {"targets": PropertyNames(), "in_domain": Similarity(), ERROR: Reason()}


@dataclass(kw_only=True)
class MoleculeProperties(Task):
    """Predicts properties of molecules from SMILES: values with intervals, or probabilities.

    Examples:
        >>> model = dlkit.MoleculeProperties(network="fingerprint", epochs=5)
        >>> data = model.samples()
        >>> history = model.fit(data["train"], data["validation"], verbose=0)
        >>> answer = model.predict("CCCCO")
        >>> answer["boiling_point_lower"] < answer["boiling_point"] < answer["boiling_point_upper"]
        True
    """

    default_epochs = DefaultEpochs(30, fewest=500, most=20_000, overfits=True)
    epochs: int = default_epochs.hparam()
    batch_size: int = hparam(64, "Number of training molecules per step. It is the total over all devices.", minimum=1)
    learning_rate: float = hparam(1e-3, "Peak learning rate.", minimum=0)
    clip_norm: float = hparam(1.0, "Maximum global norm of the gradients; 0 disables clipping.", minimum=0)
    network: Literal["mpnn", "fingerprint", "transformer", "gru", "cnn"] = hparam(
        "mpnn",
        "Network architecture. `mpnn` passes messages along bonds, `fingerprint` reads counts of neighborhoods, and "
        "the others read SMILES.",
    )
    targets: str = hparam(
        "",
        "Columns to predict, as A,B,C. By default, they are all columns except the SMILES and the column of `split`.",
    )
    objective: Literal["regression", "classification"] = hparam(
        "regression", "Kind of the targets. With `classification`, each target is 0 or 1."
    )
    uncertainty: Literal["quantiles", "ensemble"] = hparam(
        "quantiles",
        "Source of the intervals. With `quantiles`, the network predicts them; with `ensemble`, they come from the "
        "disagreement of `ensemble_size` networks. Both are calibrated on the validation rows.",
    )
    coverage: float = hparam(
        0.9, "Coverage of the intervals: the fraction of true values inside.", minimum=0.5, maximum=0.99
    )
    ensemble_size: int = hparam(1, "Number of networks in the ensemble. Their predictions are averaged.", minimum=1)
    split: str = hparam(
        "random",
        'How rows are split: "random", "scaffold" or "column:NAME". "scaffold" keeps molecules with the same rings '
        'together. "column:NAME" uses a column that names the part (train, valid, test) or the group of a row.',
    )
    max_atoms: int = hparam(
        100,
        "Maximum number of atoms of a molecule, without hydrogens. Larger ones are refused.",
        minimum=1,
        maximum=500,
    )
    fragments: Literal["all", "largest"] = hparam(
        "all", "Parts of salts and mixtures to use: all, or only the largest, without counterions."
    )
    width: int = hparam(192, "Width of the hidden layers.", minimum=1)
    depth: int = hparam(
        4, "Number of layers: message passing steps or blocks. `fingerprint` does not use it.", minimum=1
    )
    dropout: float = hparam(0.1, "Dropout rate.", minimum=0, maximum=0.95)
    fingerprint_bits: int = hparam(
        1024, "Length of the fingerprint. It is used by `fingerprint` and for `in_domain`.", minimum=16, maximum=16384
    )
    random_smiles: int = hparam(
        3,
        "Random SMILES per training molecule. They are added for `transformer`, `gru` and `cnn`.",
        minimum=0,
    )

    inputs = {"smiles": Smiles()}
    target = {"boiling_point": Property()}
    answer = {
        "predictions": PropertyValues(),
        "lower": PropertyValues(),
        "upper": PropertyValues(),
        "uncertainty": Uncertainties(),
        **COMMON_ANSWER,
    }
    rows = MoleculeRows
    padding = cast("Sequence[Padding]", GRAPH_PADDING)
    primary_metric = "r2"
    training_only = ("split", "random_smiles")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.means_: list[float] = []  # of the targets, in their units
        self.deviations_: list[float] = []
        self.label_fraction_ = 1.0  # share of the labels that are known
        if self.objective == "classification":
            self.primary_metric = "auc"
            self.answer = {"scores": Probabilities(), **COMMON_ANSWER}
        if self.reads_tokens:
            self.padding = (Padding("token_mask"),)
        if self.objective == "regression" and self.uncertainty == "ensemble" and self.ensemble_size < 2:
            raise HparamError(
                f"{option('uncertainty', 'ensemble')} needs at least two networks. Received: "
                f"{option('ensemble_size', self.ensemble_size)}."
            )
        if self.network == "transformer" and self.width % 4:
            raise HparamError(
                f"{option('width')} must be a multiple of 4, the number of attention heads of the transformer. "
                f"Received: {option('width', self.width)}."
            )
        if self.split not in ("random", "scaffold") and not self.split_column:
            raise HparamError(
                f'{option("split")} must be "random", "scaffold" or "column:NAME". Received: '
                f"{option('split', self.split)}."
            )
        self._set_columns([name.strip() for name in self.targets.split(",") if name.strip()] or ["boiling_point"])

    @property
    def reads_tokens(self) -> bool:
        """Whether the network reads the tokens of SMILES, and not the graph."""
        return self.network in SEQUENCE_NETWORKS

    @property
    def split_column(self) -> str:
        """Name of the column that decides how rows are split; empty for none."""
        return self.split.removeprefix(COLUMN_SPLIT) if self.split.startswith(COLUMN_SPLIT) else ""

    @property
    def properties(self) -> dict[str, Column]:
        """The columns to predict, by name."""
        return {name: column for name, column in self.target.items() if isinstance(column, Property)}

    def declare(self, header: Sequence[str]) -> None:
        given = [name.strip() for name in self.targets.split(",") if name.strip()]
        others = {"smiles", *SMILES_NAMES, self.split_column}
        names = given or [name for name in header if name not in others and not name.startswith("#")]
        if not names:
            raise DataError(
                f"the data has no column to predict. It has: {', '.join(header)}. Name the columns with "
                f"{option('targets')}."
            )
        missing = [name for name in names if name not in header]
        if missing:
            raise DataError(f"the data has no column {missing[0]!r} to predict. It has: {', '.join(header)}.")
        self._set_columns(names)

    def _set_columns(self, names: Sequence[str]) -> None:
        column = BinaryProperty() if self.objective == "classification" else Property()
        self.target = dict.fromkeys(names, column)
        if self.split_column:
            self.target |= {self.split_column: SplitName(optional=True)}

    def build(self, examples: Table) -> Stages:
        from dlkit.tasks.molecule_properties.stages import build_stages

        return build_stages(self, examples)

    def encode(self, features: dict[str, tf.Tensor], target: dict[str, tf.Tensor]) -> tuple[Any, ...]:
        layer = self.stages_.preprocess.get_layer("molecule_features")
        made = self.stages_.preprocess(features)
        tensors = {name: made[name] for name in self.stages_.network.input}
        sizes = {"atoms": layer.max_atoms, "bonds": layer.max_bonds, "tokens": layer.max_tokens}
        lengths = {"atom_mask": "atoms", "bond_mask": "bonds", "bond_atoms": "bonds", "token_mask": "tokens"}
        for name, values in tensors.items():
            if name != "fingerprint":
                tensors[name] = _pad_to(values, sizes[lengths.get(name, name)])
        values = tf.stack([target[name] for name in self.properties], 1)
        scaled = (values - np.array(self.means_, np.float32)) / np.array(self.deviations_, np.float32)
        return {**tensors, ERROR: made[ERROR]}, {"outputs": scaled}

    def loss(self) -> Any:
        from dlkit.tasks.molecule_properties.losses import MaskedTargetLoss

        labels_per_row = self.label_fraction_ * len(self.properties)
        return {"outputs": MaskedTargetLoss(labels_per_row, self.coverage, self.objective == "classification")}

    def metrics(self) -> Any:
        return None

    def present(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return `NAME`, `NAME_lower`, `NAME_upper` and `NAME_uncertainty` of each target, or its probability."""
        suffixes = (
            {"scores": ""}
            if self.objective == "classification"
            else {"predictions": "", "lower": "_lower", "upper": "_upper", "uncertainty": "_uncertainty"}
        )
        values = {
            f"{name}{suffix}": answer[key][number]
            for number, name in enumerate(answer["targets"])
            for key, suffix in suffixes.items()
        }
        return {**values, "in_domain": answer["in_domain"]}

    def score(self, targets: dict[str, list], answers: dict[str, list]) -> dict[str, Any]:
        from dlkit.tasks.molecule_properties.metrics import score_classification, score_regression

        names = [*self.properties]
        truth = np.stack([np.array(targets[name], np.float32) for name in names], 1)
        if self.objective == "classification":
            return score_classification(names, truth, answers)
        return score_regression(names, truth, answers, self.means_)

    def picture(self, rows: Rows) -> Any:
        from dlkit.tasks.molecule_properties.plots import MAX_MOLECULES, plot_molecules

        table = rows.to_plot(MAX_MOLECULES)
        every = rows.table if rows.labeled else None
        return plot_molecules(self, table, every)

    @staticmethod
    def samples() -> dict[str, Any]:
        from dlkit.tasks.molecule_properties.sample import load_boiling_points

        return load_boiling_points()


def _pad_to(values: tf.Tensor, length: int) -> tf.Tensor:
    """Pad (batch, any, ...) with zeros to (batch, length, ...), where it is shorter; cut off padding beyond."""
    values = values[:, :length]
    rest = [[0, 0]] * (len(values.shape) - 2)
    padded = tf.pad(values, [[0, 0], [0, length - tf.shape(values)[1]], *rest])
    return tf.ensure_shape(padded, [None, length, *values.shape[2:]])
