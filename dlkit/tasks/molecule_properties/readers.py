"""Reading of files of molecules: SMILES with names (.smi) and structure-data files (.sdf)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlkit.columns import Column
from dlkit.data.bytes import file_type, open_bytes, read_text
from dlkit.data.match import match_names
from dlkit.data.read_options import ReadOptions, list_skipped
from dlkit.data.reader import Reader
from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.tasks.molecule_properties.columns import SMILES_NAMES
from dlkit.tasks.molecule_properties.rdkit_extra import import_rdkit

SDF_SUFFIXES = (".sdf", ".sd")


class MoleculeReader(Reader):
    """Reads files of molecules."""

    def header(self, path: Path, source: str) -> list[str] | None:
        """Return the columns of a file of molecules: `smiles`, and those of its header or its data fields."""
        if file_type(path) == ".smi":
            return _read_smi(path, source)[0]
        return _sdf_names(path, source) if file_type(path) in SDF_SUFFIXES else None

    def file(self, path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table | None:
        """Read a .smi or .sdf file, the latter with RDKit."""
        if file_type(path) == ".smi":
            names, records, lines = _read_smi(path, source)
            matched = match_names(columns, names, how.rename, source)
            places = {name: names.index(theirs) for name, theirs in matched.items()}
            values = {
                name: [record[place] if place < len(record) else "" for record in records]
                for name, place in places.items()
            }
            return Table(source, values, lambda row: f"{source}, line {lines[row]}", strict=how.strict)
        return _read_sdf(path, source, columns, how) if file_type(path) in SDF_SUFFIXES else None


reader = MoleculeReader()


def _read_smi(path: Path, source: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Read lines of a SMILES and its name; or of more fields, if the first line names them.

    Returns:
        Tuple of the names of the fields, the fields of each record, and the line of each, from 1.
    """
    lines = [(number, line) for number, line in enumerate(read_text(path, source).splitlines(), 1) if line.strip()]
    delimiter = "\t" if "\t" in lines[0][1] else None
    records = [[field.strip() for field in line.split(delimiter)] for _, line in lines]
    numbers = [number for number, _ in lines]
    known = {name.lower() for name in ("smiles", *SMILES_NAMES)}
    if records[0][0].lower() in known:
        return records[0], records[1:], numbers[1:]
    joined = [[record[0], " ".join(record[1:])] for record in records]
    return ["smiles", "name"], joined, numbers


def _sdf_names(path: Path, source: str) -> list[str]:
    """Return the names of the data fields of an SDF, in the order in which they occur."""
    found = re.findall(r"^>.*?<([^>]+)>", read_text(path, source), re.MULTILINE)
    return ["smiles", *dict.fromkeys(name for name in found if name != "smiles")]


def _read_sdf(path: Path, source: str, columns: Mapping[str, Column], how: ReadOptions) -> Table:
    chem = import_rdkit("reading .sdf files")
    matched = match_names(columns, _sdf_names(path, source), how.rename, source)
    values: dict[str, list[Any]] = {name: [] for name in matched}
    numbers, unreadable = list[int](), list[str]()
    with open_bytes(path, source) as file:
        for number, molecule in enumerate(chem.ForwardSDMolSupplier(file), 1):
            if molecule is None:
                unreadable.append(f"{source}, record {number}: RDKit cannot read the structure")
                continue
            numbers.append(number)
            for name, theirs in matched.items():
                if theirs == "smiles" and name == "smiles":
                    values[name].append(chem.MolToSmiles(molecule))
                else:
                    values[name].append(molecule.GetProp(theirs) if molecule.HasProp(theirs) else "")
    if unreadable and (how.strict or not numbers):
        raise DataError(f"{unreadable[0]}. Correct the record, or remove it.")
    remarks = [list_skipped(unreadable, len(numbers) + len(unreadable), "records")] if unreadable else []
    return Table(source, values, lambda row: f"{source}, record {numbers[row]}", remarks=remarks, strict=how.strict)
