"""Reference answers: real inputs with what `predict` gave for them, kept beside the model without pickle."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.data.unpack import open_arrays, read_array
from dlkit.errors import ExportError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

EXAMPLES_FILE = "dlkit_reference_examples.npz"
Arrays = dict[str, np.ndarray]
ReferenceExamples = dict[str, list[tuple[Arrays, Arrays]]]


def save_reference_examples(path: pathlib.Path, reference_examples: ReferenceExamples) -> None:
    """Writes reference_examples as one `.npz`; strings as bytes and lengths, for NumPy drops their trailing zeros."""
    flat: dict[str, Any] = {}
    for signature, pairs in reference_examples.items():
        for index, pair in enumerate(pairs):
            for side, arrays in zip(("inputs", "answers"), pair, strict=True):
                for name, array in arrays.items():
                    key = f"{signature}/{index:04d}/{side}/{name}"
                    if array.dtype == object:
                        values = [bytes(value) for value in array.ravel()]
                        flat[f"{key}/bytes"] = np.frombuffer(b"".join(values), np.uint8)
                        flat[f"{key}/lengths"] = np.array([len(value) for value in values], np.int64).reshape(
                            array.shape
                        )
                    else:
                        flat[f"{key}/values"] = array
    np.savez_compressed(path, **flat)


def load_reference_examples(path: pathlib.Path) -> ReferenceExamples:
    """Reads what `save_reference_examples` wrote: strings as object arrays of bytes."""
    reference_examples: ReferenceExamples = {}
    with open_arrays(path, str(path), error=ExportError) as file:
        for key in sorted(file.files):
            signature, index, side, name, form = key.split("/")
            if form == "bytes":
                continue
            pairs = reference_examples.setdefault(signature, [])
            if int(index) >= len(file.files):  # each has a file at least
                raise ExportError(f"{path}: reference example {index} is missing. Export the model again.")
            while len(pairs) <= int(index):
                pairs.append(({}, {}))
            value = read_array(file, key, str(path), error=ExportError)
            if form == "lengths":
                data = read_array(file, f"{key.removesuffix('lengths')}bytes", str(path), error=ExportError)
                value = _strings(data.tobytes(), value)
            pairs[int(index)][side == "answers"][name] = value
    return reference_examples


def _strings(data: bytes, lengths: np.ndarray) -> np.ndarray:
    strings = np.empty(lengths.size, object)
    end = 0
    for position, length in enumerate(lengths.ravel()):
        strings[position], end = data[end : end + length], end + length
    return strings.reshape(lengths.shape)


def as_array(value: ArrayLike, dtype: str) -> np.ndarray:
    """A value as the array that a signature takes: `string` is an object array of bytes, text as UTF-8."""
    if dtype != "string":
        return np.asarray(value, dtype=dtype)
    given = np.asarray(value, dtype=object)
    result = np.empty(given.size, object)
    for position, item in enumerate(given.ravel()):
        result[position] = item.encode("utf-8") if isinstance(item, str) else bytes(item)
    return result.reshape(given.shape)


def split_into_rows(reference_examples: list[tuple[Arrays, Arrays]]) -> list[tuple[int, int, Arrays, Arrays]]:
    """Splits reference_examples into (reference example, row, inputs, answers), with a leading batch of 1."""
    return [
        (index, row, _row(inputs, row), _row(answers, row))
        for index, (inputs, answers) in enumerate(reference_examples)
        for row in range(len(next(iter(inputs.values()))))
    ]


def _row(arrays: Arrays, row: int) -> Arrays:
    return {name: array[row : row + 1] for name, array in arrays.items()}
