"""Normal boiling points of 264 common substances, in degrees Celsius at a pressure of one atmosphere.

The SMILES and the values were entered for dlkit, without a single source. Each value was then compared with the one of
the same molecule among the boiling points that the package `chemicals` 1.5.2 collects (Bell et al., MIT license): all
agree within 3 K, and within 0.24 K on average. Values that differed more, or had no counterpart, were left out.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

VALIDATION, TEST = (2, 8), (5, 9)  # of each ten molecules, in the order of the file, which goes by kinds of substances


def load_boiling_points() -> dict[str, dict[str, list[Any]]]:
    """Load the parts train, validation and test: of each ten molecules six, two and two.

    Returns:
        Part to `{"smiles": [...], "boiling_point": [...]}`.
    """
    parts: dict[str, dict[str, list[Any]]] = {
        name: {"smiles": [], "boiling_point": []} for name in ("train", "validation", "test")
    }
    with Path(__file__).with_name("boiling_points.csv").open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            place = number % 10
            part = parts["validation" if place in VALIDATION else "test" if place in TEST else "train"]
            part["smiles"].append(row["smiles"])
            part["boiling_point"].append(float(row["boiling_point"]))
    return parts
