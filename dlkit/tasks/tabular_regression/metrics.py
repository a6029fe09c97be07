"""Metrics of predicted numbers, their quantiles and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np


def score_numbers(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Compute `r2`, `rmse` and `mae` of predictions; both are (rows,).

    Examples:
        >>> score_numbers(np.array([1.0, 3.0]), np.array([1.0, 2.0]))
        {'r2': 0.5, 'rmse': 0.7071067811865476, 'mae': 0.5}
    """
    error = true - predicted
    spread = float(np.square(true - true.mean()).sum())
    return {
        "r2": 1 - float(np.square(error).sum()) / spread if spread else 0.0,
        "rmse": float(np.sqrt(np.square(error).mean())),
        "mae": float(np.abs(error).mean()),
    }


def score_quantiles(
    true: np.ndarray, quantiles: np.ndarray, levels: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> dict[str, Any]:
    """Compute metrics of quantiles and intervals.

    Args:
        true: (rows,) true values.
        quantiles: (rows, levels).
        levels: (levels,).
        lower, upper: (rows,) bounds of the intervals.

    Returns:
        `pinball`: mean pinball loss over the levels; `coverage`: fraction of the true values inside their interval;
        `interval_width`: mean width of the intervals; `quantile_crossings`: number of quantiles below a lower one.
    """
    error = true[:, None] - quantiles
    return {
        "pinball": float(np.maximum(levels * error, (levels - 1) * error).mean()),
        "coverage": float(((lower <= true) & (true <= upper)).mean()),
        "interval_width": float((upper - lower).mean()),
        "quantile_crossings": int((np.diff(quantiles, axis=1) < 0).sum()),
    }
