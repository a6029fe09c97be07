"""Side features of users and items: a table with a row for each id."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlkit.columns import comma_hint, is_missing_number
from dlkit.data.delimited import is_delimited, open_records
from dlkit.data.parquet import iterate_batches, open_parquet
from dlkit.data.read_options import DEFAULT_OPTIONS
from dlkit.errors import DataError

MAX_CATEGORIES = 200  # per column


def read_features(source: str, key: str, ids: Sequence[str], num_cold: int = 0) -> np.ndarray:
    """Read the features of each id: (1 + ids, features) float32, zeros for padding (first) and for ids without a row.

    A numeric column becomes one feature with mean 0 and standard deviation 1, and 0 for empty cells. Up to a tenth of
    its cells, or one of three and more, may not be numbers and count as empty. Any other column is categorical: its
    cells hold categories separated by `|` or, if no cell has one, by whitespace. Each category that occurs in at least
    a hundredth of the rows, and in two, becomes a feature, up to the 200 most frequent ones; they are scaled so that
    those of a row have the L2 norm 1.

    Args:
        source: a csv, tsv or parquet file.
        key: name of the column with the ids.
        ids: the ids, in the order of the result.
        num_cold: number of them, the last ones, that are taken from the file itself.

    Raises:
        DataError: the file cannot be read, has no column `key` or a duplicate id, or none of the other ids has a row.
    """
    columns = _read_columns(source)
    if key not in columns:
        raise DataError(f"{source} has no column {key!r}. Columns found: {', '.join(map(repr, columns))}.")
    rows = {str(value).strip(): row for row, value in enumerate(columns.pop(key))}
    if columns and len(rows) < len(next(iter(columns.values()))):
        raise DataError(f"{source}: duplicate id in the column {key!r}. Keep one row per id.")
    blocks = [_encode_column(cells, name, source) for name, cells in columns.items()]
    table = np.concatenate([block for block in blocks if block.size] or [np.zeros((len(rows), 0))], axis=1)
    if not table.shape[1]:
        raise DataError(f"{source} has no column of numbers or of repeated categories besides {key!r}.")
    warm_ids = ids[: len(ids) - num_cold]
    if not rows.keys() & set(warm_ids):
        raise DataError(
            f"{source}: none of the {len(rows)} ids in {key!r}, such as {next(iter(rows), '')!r}, is among the "
            f"{len(warm_ids)} of the interactions, such as {warm_ids[0]!r}: 0 % match. Use the same format: 12, not "
            "12.0 or 012."
        )
    features = np.zeros((len(ids) + 1, table.shape[1]), np.float32)
    for number, name in enumerate(ids, start=1):
        if name in rows:
            features[number] = table[rows[name]]
    return features


def read_ids(source: str, key: str) -> list[str]:
    """Read the ids of a feature file, in its order. Raises DataError if it cannot be read."""
    return [text for text in (str(value).strip() for value in _read_columns(source).get(key, [])) if text]


def inspect_features(source: str, key: str) -> tuple[set[str], list[str]]:
    """Read the ids of a feature file, and describe columns in which some cells are not numbers.

    Raises:
        DataError: the file cannot be read.
    """
    columns, remarks = _read_columns(source), list[str]()
    ids = {str(value).strip() for value in columns.pop(key, [])}
    for name, cells in columns.items():
        _, bad = _parse_numbers([*map(_to_text, cells)])
        filled = sum(not is_missing_number(_to_text(cell)) for cell in cells)
        if bad and len(bad) < filled / 2:  # some categories may be numbers too
            examples = ", ".join(f"{_to_text(cells[row])!r:.40}" for row in bad[:3])
            effect = "count as empty" if _is_tolerable(len(bad), filled) else "make the column categorical"
            remarks.append(
                f"{source}, column {name!r}: {len(bad)} of {filled} cells are not numbers and {effect}: {examples}"
            )
    return ids, remarks


def _read_columns(source: str) -> dict[str, list[Any]]:
    path = Path(source).expanduser()
    if path.suffix.lower() == ".parquet":
        with open_parquet(path, source) as file:
            names = file.schema_arrow.names
            cells: dict[str, list[Any]] = {name: [] for name in names}
            for part in iterate_batches(file, names, source):
                for name in names:
                    cells[name] += part[name]
            return cells
    if not is_delimited(path, DEFAULT_OPTIONS):
        raise DataError(f"features must be a csv, tsv or parquet file. Received: {source!r}.")
    with open_records(path, source, DEFAULT_OPTIONS) as records:
        rows = [record for _, record in records.rows]
        return {name: [record[place] for record in rows] for place, name in enumerate(records.header)}


def _encode_column(cells: list[Any], name: str, source: str) -> np.ndarray:
    """Encode a column as features, (rows, any) float64."""
    texts = [*map(_to_text, cells)]
    numbers, bad = _parse_numbers(texts)
    if bad:
        if all(is_missing_number(text) or comma_hint(text) for text in texts):
            raise DataError(f"{source}, column {name!r}: numbers have decimal commas. Use decimal points.")
        if not _is_tolerable(len(bad), sum(not is_missing_number(text) for text in texts)):
            return _encode_categories(texts)
    finite = np.isfinite(numbers)
    if not finite.any() or not numbers[finite].std():
        return np.zeros((len(cells), 0))
    return np.where(finite, (numbers - numbers[finite].mean()) / numbers[finite].std(), 0.0)[:, None]


def _to_text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _parse_numbers(texts: list[str]) -> tuple[np.ndarray, list[int]]:
    """Parse numbers: (rows,) float64, NaN for other cells, and the rows whose cells are neither numbers nor empty.

    If a cell holds several numbers, as `1|7`, all cells are categories.
    """
    numbers, bad = np.full(len(texts), np.nan), list[int]()
    for row, text in enumerate(texts):
        if not is_missing_number(text):
            try:
                numbers[row] = float(text)
            except ValueError:
                bad.append(row)
    if any(_NUMBER_LIST.fullmatch(texts[row]) for row in bad):
        bad = [row for row, text in enumerate(texts) if not is_missing_number(text)]
    return numbers, bad


_NUMBER_LIST = re.compile(r"\d+([|\s]+\d+)+")


def _is_tolerable(num_bad: int, num_filled: int) -> bool:
    """Return whether a column stays numeric with so many cells that are not numbers."""
    return num_bad <= max(1 if num_filled > 2 else 0, num_filled / 10)


def _encode_categories(texts: list[str]) -> np.ndarray:
    separator = r"\|" if any("|" in text for text in texts) else r"\s+"
    rows = [{category for category in re.split(separator, text) if category} for text in texts]
    counts = collections.Counter(category for row in rows for category in row)
    min_count = max(2, len(texts) / 100)
    frequent = sorted((-count, category) for category, count in counts.items() if count >= min_count)[:MAX_CATEGORIES]
    index = {category: number for number, (_, category) in enumerate(frequent)}
    features = np.zeros((len(texts), len(index)))
    for number, row in enumerate(rows):
        found = [index[category] for category in row if category in index]
        features[number, found] = len(found) ** -0.5 if found else 0.0
    return features
