"""Rows of molecules: checked before training, split by molecule, scaffold or column, and calibrated on."""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from dlkit.data.read_options import ReadKeywords
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.lazy import tf
from dlkit.options import option
from dlkit.report import Report
from dlkit.rows import TEST_FRACTION, Rows
from dlkit.tabular.inspect_table import ranks_alike

if TYPE_CHECKING:
    from dlkit.training.store import Store

# Columns that are computed once and stay with the rows. No source has columns of such names.
MOLECULE, SCAFFOLD = "#molecule", "#scaffold"
CHUNK_ROWS = 256  # molecules that are parsed together
SHOWN = 5  # invalid rows that a message lists
MAX_COMPARED = 100  # targets that are compared with each other
PARTS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid", "test": "test"}


class MoleculeRows(Rows):
    """The rows of a source of molecules."""

    augmented = False  # whether the rows to train on are also written as random SMILES

    def with_table(self, table: Table) -> Self:
        rows = super().with_table(table)
        rows.augmented = self.augmented
        return rows

    def cleaned(self) -> Self:
        """Return the rows to train on. Raises DataError if one is no molecule, or too long; the message names it."""
        for name, column in self.task.properties.items():
            try:
                self.table.raw_column(name, column)
            except DataError as error:
                raise DataError(f"{error} To predict only some columns, name them with {option('targets')}.") from error
        found = describe_molecules(self.task, self.table)
        bad = [row for row, error in enumerate(found.errors) if error]
        if bad:
            listed = "; ".join(f"{self.table.where(row)}: {found.errors[row]}" for row in bad[:SHOWN])
            more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
            raise DataError(
                f"{self.table.source}: {len(bad)} of {len(self)} rows are no molecules that the model can read: "
                f"{listed}{more}. Correct or remove these rows, or allow longer molecules with {option('max_atoms')}."
            )
        columns = {**self.table.columns, MOLECULE: found.molecules, SCAFFOLD: found.scaffolds}
        return self.with_table(replace(self.table, columns=columns))

    def hold_out(self, fraction: float) -> tuple[Self, Self | None]:
        parts = self._named_parts()
        if parts is not None:
            train = [row for row, part in enumerate(parts) if part == "train"]
            held_out = [row for row, part in enumerate(parts) if part == "valid"]
            rest = self.with_table(self.table.take(train))
            rest.table.remarks = (
                *self.table.remarks,
                *self._remarks_on_others(parts, ("train", "valid") if fraction else ("train",)),
            )
            validation = self.with_table(self.table.take(held_out)) if held_out and fraction else None
        else:
            rest, validation = super().hold_out(fraction)
        if validation is not None:
            validation.augmented = False
        rest.augmented = True
        return rest, validation

    def to_train(self) -> Self:
        table, parts = self.table, self._named_parts()
        if parts is not None:
            used = ("train", "valid")
            table = table.take([row for row, part in enumerate(parts) if part in used])
            table.remarks = (*table.remarks, *self._remarks_on_others(parts, used))
        rows = self.with_table(table)
        rows.augmented = True
        return rows

    @classmethod
    def split(
        cls,
        task: Any,
        data: Any,
        *,
        columns: dict[str, str] | None = None,
        data_dir: str | None = None,
        **options: Unpack[ReadKeywords],
    ) -> tuple[Any, Any]:
        rows = task.read(data, columns=columns, data_dir=data_dir, **options).cleaned()
        parts = rows._named_parts()
        if parts is None:
            return rows._split(TEST_FRACTION)
        test = [row for row, part in enumerate(parts) if part == "test"]
        if not test:
            raise DataError(f"{rows.table.source}: no row of the column {task.split_column!r} is named test.")
        return rows.table.take([row for row, part in enumerate(parts) if part != "test"]), rows.table.take(test)

    def to_encode(self) -> Table:
        """Return the rows to encode: to train a network on SMILES, also in random writings of each molecule."""
        count = self.task.random_smiles if self.augmented and self.task.reads_tokens else 0
        if not count:
            return self.table
        from dlkit.tasks.molecule_properties.random_smiles import read_molecules, write_random_smiles

        texts = [text.strip() for text in self.table.raw_column("smiles", self.task.inputs["smiles"])]
        written = list[str]()
        generator = random.Random(self.task.seed)
        molecules = [
            molecule
            for start in range(0, len(texts), CHUNK_ROWS)
            for molecule in read_molecules(texts[start : start + CHUNK_ROWS])
        ]
        for _ in range(count):
            written += [write_random_smiles(molecule, generator) for molecule in molecules]
        table = self.table.take([*range(len(self))] * (count + 1))
        table.columns["smiles"][len(self) :] = written
        return table

    def check(self) -> None:
        for name, column in self.task.properties.items():
            if not any(np.isfinite(value) for value in self.table.raw_column(name, column)):
                raise DataError(
                    f"{self.table.source}: the column {name!r} has no value. Leave it out of {option('targets')}, or "
                    "add rows with a value."
                )

    def inspect(self, report: Report, validation: Self | None) -> None:
        super().inspect(report, validation)
        counts = Counter(self._molecules())
        report.statistics["molecules"] = {"different": len(counts), "scaffolds": len({*self.table.columns[SCAFFOLD]})}
        values = {
            name: np.array(self.table.raw_column(name, column), np.float64)
            for name, column in self.task.properties.items()
        }
        for name in values:
            self._inspect_property(report, name, values[name], counts)
        self._compare_properties(report, values)
        repeated = sum(count - 1 for count in counts.values())
        if repeated:
            report.add_warning(
                f"{repeated} rows repeat a molecule, as the same or another SMILES",
                (self.table.where(row) for row, key in enumerate(self._molecules()) if counts[key] > 1),
                "Keep one row of each, for example with the mean of its values.",
            )
        shared = [] if validation is None else [key for key in validation._molecules() if key in counts]
        if validation is not None and shared:
            report.add_warning(
                f"{len(shared)} of {len(validation)} validation rows are molecules of the training data",
                (validation.table.where(row) for row, key in enumerate(validation._molecules()) if key in counts),
                f"Validate on other molecules, for example with {option('split', 'scaffold')}.",
            )

    def calibrate(self, store: Store) -> dict[str, Any]:
        """Set the widths of intervals, or the temperatures of probabilities, from these validation rows."""
        from dlkit.tasks.molecule_properties.stages import calibrate

        return calibrate(self.task, store)

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        known = {name: value for name, value in target.items() if name in self.task.properties}
        true, errors = dict[str, float | None](), dict[str, float | None]()
        for name, value in known.items():
            measured = np.isfinite(value)
            true[f"true_{name}"] = float(value) if measured else None
            errors[f"error_{name}"] = float(answer[name] - value) if measured else None
        return [{**true, **answer, **errors}]

    @classmethod
    def synthetic(cls, task: Any, count: int) -> list[dict[str, Any]]:
        return [{"smiles": f"{'C' * (1 + number)}c1ccc({'O' if number % 2 else 'N'})cc1"} for number in range(count)]

    def _molecules(self) -> list[int]:
        values: list[int] = self.table.columns[MOLECULE]
        return values

    def _named_parts(self) -> list[str] | None:
        """Return the part of each row if a column names parts; None if it names groups, or there is none."""
        name = self.task.split_column
        if not name:
            return None
        values = [value.decode().lower() for value in self.table.raw_column(name, self.task.target[name])]
        return [PARTS.get(value, "") for value in values] if set(values) & {"train", "training"} else None

    def _remarks_on_others(self, parts: Sequence[str], used: Sequence[str]) -> list[str]:
        """Return a remark on the rows of other parts than those used, if there are any."""
        others = sum(part not in used for part in parts)
        if not others:
            return []
        column, named = self.task.split_column, " or ".join(used)
        return [f"{others} rows that the column {column!r} does not name {named} are left out"]

    def _split(self, fraction: float) -> tuple[Table, Table]:
        """Split the rows into (rest, held out): no molecule, scaffold or group is in both."""
        name = self.task.split_column
        groups: Sequence[Any] = self.table.columns[SCAFFOLD if self.task.split == "scaffold" else MOLECULE]
        if name:
            groups = self.table.raw_column(name, self.task.target[name])
        held_out = split_groups(groups, fraction, self.task.seed)
        if not held_out or len(held_out) == len(self):
            raise DataError(
                f"{self.table.source} cannot be split: all {len(self)} rows are of one group. Use another "
                f"{option('split')}, or give separate validation or test data."
            )
        return self.table.take([row for row in range(len(self)) if row not in held_out]), self.table.take(
            sorted(held_out)
        )

    def _inspect_property(self, report: Report, name: str, values: np.ndarray, counts: Mapping[int, int]) -> None:
        known = values[np.isfinite(values)]
        found: dict[str, Any] = {"values": len(known)}
        if len(known):
            found |= {"mean": float(known.mean()), "deviation": float(known.std())}
        report.statistics[name] = found
        if len(known) and known.min() == known.max():
            report.add_warning(f"all values of {name!r} are {known[0]:g}", (), "There is nothing to learn.")
        elif len(known) == len(values) > 2 and _number_rows(values):
            report.add_warning(
                f"{name!r} numbers the rows", (), f"Name the columns to predict with {option('targets')}, without it."
            )
        by_molecule = defaultdict(set)
        for key, value in zip(self._molecules(), values.tolist(), strict=True):
            if counts[key] > 1 and np.isfinite(value):
                by_molecule[key].add(value)
        differing = {key for key, found_values in by_molecule.items() if len(found_values) > 1}
        if differing:
            report.add_warning(
                f"{len(differing)} molecules have several values of {name!r}",
                (self.table.where(row) for row, key in enumerate(self._molecules()) if key in differing),
            )

    def _compare_properties(self, report: Report, values: Mapping[str, np.ndarray]) -> None:
        """Warn of pairs of targets of which one tells the other."""
        alike = [
            f"{one!r} and {other!r}"
            for one, other in itertools.combinations(itertools.islice(values, MAX_COMPARED), 2)
            if ranks_alike(values[one], values[other])
        ]
        if alike:
            report.add_warning(
                f"{len(alike)} pairs of targets rank the molecules alike, or in reverse: one gives the other away",
                alike,
                f"If a pair is one property, such as a value in two units, name the columns to predict with "
                f"{option('targets')}, without one of them.",
            )


def _number_rows(values: np.ndarray) -> bool:
    """Return whether values are numbers of rows in their order, of which a part may be held out."""
    steps = np.diff(values)
    return bool((steps >= 1).all() and (steps % 1 == 0).all() and steps.mean() < 2)


@dataclass
class Descriptions:
    """What is known of the molecules of a table without a model.

    Attributes:
        errors: why each row is no molecule; "" for one that is.
        molecules: a number for each, the same for all SMILES of a molecule.
        scaffolds: a number for the scaffold of each, 0 for a molecule without rings.
    """

    errors: list[str]
    molecules: list[int]
    scaffolds: list[int]


def describe_molecules(task: Any, table: Table) -> Descriptions:
    """Parse the molecules of a table. Raises DataError if a value is no text."""
    describe = _describe_function(task.max_atoms, task.fragments == "largest")
    texts = table.raw_column("smiles", task.inputs["smiles"])
    found = Descriptions([], [], [])
    for start in range(0, len(texts), CHUNK_ROWS):
        made = describe(tf.constant(texts[start : start + CHUNK_ROWS]))
        found.errors += [error.decode() for error in made["error"].numpy()]
        found.molecules += made["molecule"].numpy().tolist()
        found.scaffolds += made["scaffold"].numpy().tolist()
    return found


@functools.lru_cache(maxsize=8)
def _describe_function(max_atoms: int, largest_fragment: bool) -> Any:
    from dlkit.tasks.molecule_properties.featurization import MoleculeFeatures

    layer = MoleculeFeatures(max_atoms, fingerprint_bits=1, largest_fragment=largest_fragment)
    return tf.function(layer.describe, autograph=False).get_concrete_function(tf.TensorSpec([None], tf.string))


def split_groups(groups: Sequence[Any], fraction: float, seed: int) -> set[int]:
    """Choose the rows to hold out, of which no group is torn apart.

    Groups of more than half of the rows to hold out stay in the rest, if others suffice, so that the held-out rows are
    of many groups. The other groups are taken in a random order until there are enough rows.

    Args:
        groups: The group of each row.
        fraction: Fraction of the rows, between 0 and 1.
        seed: Integer that determines the order.

    Returns:
        Row numbers.

    Examples:
        >>> sorted(split_groups(["a", "a", "a", "b", "c", "d"], 0.34, seed=0))
        [4, 5]
    """
    rows_of = defaultdict(list)
    for row, group in enumerate(groups):
        rows_of[group].append(row)
    wanted = max(round(fraction * len(groups)), 1)
    shuffled = [*rows_of.values()]
    random.Random(seed).shuffle(shuffled)
    small = [rows for rows in shuffled if len(rows) <= max(wanted // 2, 1)]
    large = sorted((rows for rows in shuffled if len(rows) > max(wanted // 2, 1)), key=len)
    return _take_groups((*small, *large), wanted, len(groups))


def _take_groups(groups: Iterable[Sequence[int]], wanted: int, count: int) -> set[int]:
    held_out: set[int] = set()
    for rows in groups:
        if len(held_out) >= wanted:
            break
        if len(held_out) + len(rows) < count:  # the rest keeps a group
            held_out.update(rows)
    return held_out
