"""A linear autoregression of windows, fitted by ridge regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dlkit.lazy import tf

LAGS = (24, 72, 144)  # time steps at the end of a window that are read, at most
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # per window, in variances of the windows
FOLDS = 4
SHARES = np.linspace(0.0, 1.0, 11)
MIN_SHARE = 0.5  # below it, the other forecast is used alone
MIN_ERROR = 1e-3  # in standard deviations of the window: smaller errors are equally good


@dataclass(frozen=True)
class Autoregression:
    """A linear map from the changes before the end of a window to those after it.

    Attributes:
        kernel: (lags, horizon) float32, of the values less the last one.
        bias: (horizon,) float32.
        held_out: (windows, horizon) float32, forecasts of the windows that it is fitted to, by regressions that have
            not seen them.
        share: its share, from `MIN_SHARE` to 1, in an average with the forecast that it is compared with.
    """

    kernel: np.ndarray
    bias: np.ndarray
    held_out: np.ndarray
    share: float = 1.0

    @property
    def lags(self) -> int:
        """Number of time steps that are read at the end of a window."""
        return int(self.kernel.shape[0])


def fit_autoregression(tensors: Mapping[str, tf.Tensor], truth: np.ndarray) -> Autoregression | None:
    """Fit one regression for each step of the horizon, with lags and penalty chosen by cross-validation.

    The folds are blocks of time; windows that overlap a block are not among its training windows.

    Args:
        tensors: `values`, (windows, steps) float32, in standard deviations of the window, and `cutoff`, (windows,)
            int64, the timestamp of the last value.
        truth: (windows, horizon) float32, the scaled future values, NaN where a value is unknown.

    Returns:
        The regression; None if there are too few windows for all folds.
    """
    cutoffs, known = tensors["cutoff"].numpy(), np.isfinite(truth).all(1)
    values, distinct = tensors["values"].numpy(), np.unique(cutoffs)
    if len(distinct) < 2 * FOLDS:
        return None
    gap = truth.shape[1] * np.median(np.diff(distinct))
    folds = []
    for block in np.array_split(distinct, FOLDS):
        rest = known & ((cutoffs < block[0] - gap) | (cutoffs > block[-1] + gap))
        folds.append(((cutoffs >= block[0]) & (cutoffs <= block[-1]), rest))
    if not all(rest.any() for _, rest in folds):
        return None
    found = [
        _fit(values[:, -lags:], truth, known, folds) for lags in sorted({min(lags, values.shape[1]) for lags in LAGS})
    ]
    return min(found, key=lambda regression: log_error(regression.held_out, truth))


def _fit(
    values: np.ndarray, truth: np.ndarray, known: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]
) -> Autoregression:
    """Fit regressions that read all steps of the values; `folds` has the windows of each block and those to fit to."""
    last = values[:, -1:]
    x = np.concatenate([values - last, np.ones_like(last)], 1).astype(np.float64)
    y = np.where(known[:, None], truth - last, 0.0)
    held_out = np.zeros((len(PENALTIES), *y.shape))
    for fold, rest in folds:
        for number, weights in enumerate(_fit_ridge(x[rest], y[rest])):
            held_out[number, fold] = x[fold] @ weights
    best = int(np.abs(held_out - y)[:, known].mean((1, 2)).argmin())
    weights = _fit_ridge(x[known], y[known])[best].astype(np.float32)
    return Autoregression(weights[:-1], weights[-1], (held_out[best] + last).astype(np.float32))


def choose_share(forecast: np.ndarray, other: np.ndarray, truth: np.ndarray) -> float:
    """Choose the share of a forecast in an average with another one.

    Errors are compared by the geometric mean over windows, so that no few windows decide, such as those of a crisis.

    Args:
        forecast, other: (windows, horizon) float32.
        truth: (windows, horizon) float32, NaN where a value is unknown.

    Returns:
        Float up to 1; 0 where it would be below `MIN_SHARE`.

    Examples:
        >>> share = choose_share(np.array([[1.0], [2.0]]), np.array([[3.0], [0.0]]), np.array([[1.1], [1.9]]))
        >>> round(share, 1)
        0.9
    """
    share = float(min(SHARES, key=lambda share: log_error(share * forecast + (1.0 - share) * other, truth)))
    return share if share >= MIN_SHARE else 0.0


def log_error(forecast: np.ndarray, truth: np.ndarray) -> float:
    """Return the logarithm of the geometric mean over windows of the mean absolute error; see `choose_share`."""
    known = np.isfinite(truth)
    windows = known.any(1)
    absolute = np.where(known, np.abs(forecast - np.where(known, truth, 0.0)), 0.0)
    return float(np.log(absolute[windows].sum(1) / known[windows].sum(1) + MIN_ERROR).mean()) if windows.any() else 0.0


def _fit_ridge(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Return the weights, (features, targets), of a ridge regression for each penalty."""
    squares, products = x.T @ x, x.T @ y
    return [np.linalg.solve(squares + penalty * len(x) * np.eye(len(squares)), products) for penalty in PENALTIES]
