"""Columns of molecules: SMILES, measured properties of which some are missing, and predicted ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dlkit.columns import Column, Label, Number, Score, Text, describe_value, is_missing_number, parse_bool
from dlkit.errors import DataError

SMILES_NAMES = ("SMILES", "Smiles", "canonical_smiles", "CANONICAL_SMILES", "isomeric_smiles", "mol", "molecule")


@dataclass(frozen=True)
class Smiles(Column):
    """A molecule as SMILES, such as `CC(=O)Oc1ccccc1C(=O)O`."""

    aliases: tuple[str, ...] = SMILES_NAMES

    kind: ClassVar[str] = "SMILES"
    reader: ClassVar[str] = "dlkit.tasks.molecule_properties.readers"
    table_suffixes: ClassVar[tuple[str, ...]] = (".smi", ".sdf", ".sd")
    feature: ClassVar[str] = "Text"

    def raw(self, value: Any) -> bytes:
        if not isinstance(value, (str, bytes)) or isinstance(value, Path):
            raise DataError(f"expected a molecule as SMILES (str or UTF-8 bytes). Received: {describe_value(value)}.")
        return Text().raw(value)


class Property(Number):
    """A measured property of a molecule; empty where it was not measured."""

    may_be_missing = True
    may_be_empty = True

    def raw(self, value: Any) -> np.float32:
        return np.float32(np.nan) if is_missing_number(value) else super().raw(value)


class BinaryProperty(Property):
    """Whether a molecule has a property: 1 or 0, true or false; empty where it was not measured."""

    def raw(self, value: Any) -> np.float32:
        return np.float32(np.nan) if is_missing_number(value) else np.float32(parse_bool(value))


class SplitName(Label):
    """The part of the data, or the group, that a molecule belongs to; it is not predicted."""

    may_be_empty = True

    def raw(self, value: Any) -> bytes:
        return b"" if value is None or value == "" else super().raw(value)


class PropertyNames(Label):
    """The names of the predicted properties."""

    shape = (None,)


class PropertyValues(Number):
    """Predicted values, one for each property, in the units of the training data."""

    shape = (None,)
    atol = 1e-4


class Uncertainties(PropertyValues):
    """Standard deviations of the predicted values, in the same units."""


class Probabilities(Score):
    """Probabilities that a molecule has a property, one for each property."""

    shape = (None,)


class Similarity(Score):
    """Similarity to the most similar training molecule, from 0 to 1: how far a prediction can be relied on."""
