"""Linear models of preprocessed cells, the baselines of networks: ridge and logistic regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlkit.columns import Column, to_batch
from dlkit.data.table import Table

if TYPE_CHECKING:
    import keras

MAX_ROWS = 20_000  # rows that a model is fitted on, evenly spaced
MAX_FEATURES = 400  # features; of categories the most frequent ones
STEPS = 12  # of Newton's method
CHUNK = 1024  # rows preprocessed at a time


def fit_linear(
    inputs: Mapping[str, Column], table: Table, preprocess: keras.Model, targets: np.ndarray, *, logistic: bool
) -> dict[str, Any]:
    """Fit a linear model, with an L2 penalty of 1, to the preprocessed cells of training rows.

    Args:
        inputs: columns of the inputs.
        table: training rows.
        preprocess: from their raw cells to those that networks take.
        targets: (rows, targets): numbers, NaN where unknown; or zeros and ones with `logistic`.
        logistic: whether to fit a logistic regression to each target, else a ridge regression.

    Returns:
        A JSON-serializable model for `predict_linear`.
    """
    rows = np.arange(0, len(table), -(-len(table) // MAX_ROWS))
    cells = _preprocess(inputs, table, preprocess, rows)
    sizes = _sizes(cells)
    features = _features(cells, sizes)
    solve = _fit_logistic if logistic else _fit_ridge
    known = [np.isfinite(target) for target in targets[rows].T]
    weights = [solve(features[mask], target[mask]) for target, mask in zip(targets[rows].T, known, strict=True)]
    return {"sizes": sizes, "weights": np.round(weights, 7).tolist()}


def predict_linear(
    model: Mapping[str, Any], inputs: Mapping[str, Column], table: Table, preprocess: keras.Model
) -> np.ndarray | None:
    """Return the predictions of a linear model, (rows, targets): numbers or logits; None without a model."""
    if not model:
        return None
    features = _features(_preprocess(inputs, table, preprocess, np.arange(len(table))), model["sizes"])
    return features @ np.array(model["weights"]).T


def _preprocess(
    inputs: Mapping[str, Column], table: Table, preprocess: keras.Model, rows: np.ndarray
) -> dict[str, np.ndarray]:
    chunks = []
    for part in np.array_split(rows, -(-len(rows) // CHUNK)):
        made = preprocess(to_batch([table.raw(int(row), inputs) for row in part], inputs))
        chunks.append({name: tensor.numpy() for name, tensor in made.items()})
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _sizes(cells: Mapping[str, np.ndarray]) -> list[int]:
    """Return how many ids of each category are features; rarer ones, which have higher ids, share the last."""
    if "categories" not in cells:
        return []
    sizes = cells["categories"].max(axis=0) + 1
    return np.minimum(sizes, max(MAX_FEATURES // len(sizes), 2)).tolist()


def _features(cells: Mapping[str, np.ndarray], sizes: Sequence[int]) -> np.ndarray:
    """Return (rows, features) float64: a constant, numbers, missing indicators, and one-hot categories."""
    parts = [np.ones((len(next(iter(cells.values()))), 1))]
    parts += [cells[name] for name in ("numbers", "missing") if name in cells]
    parts += [np.eye(size)[np.minimum(cells["categories"][:, column], size - 1)] for column, size in enumerate(sizes)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def _fit_ridge(features: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.linalg.solve(features.T @ features + np.eye(features.shape[1]), features.T @ target)


def _fit_logistic(features: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Newton's method on the penalized likelihood."""
    weights = np.zeros(features.shape[1])
    for _ in range(STEPS):
        scores = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        curvature = np.maximum(scores * (1 - scores), 1e-6)
        hessian = (features * curvature[:, None]).T @ features + np.eye(features.shape[1])
        step = np.linalg.solve(hessian, features.T @ (target - scores) - weights)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights
