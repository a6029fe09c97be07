"""Comparison of a served answer with the one that `predict` gave."""

from __future__ import annotations

from typing import Any

import numpy as np

ATOL, RTOL = 1e-5, 1e-4


def describe_difference(
    name: str, got: dict[str, np.ndarray], want: dict[str, np.ndarray], outputs: dict
) -> str | None:
    """Describe how the output `name` differs from the reference example; return None if it does not.

    Args:
        name: the output to compare.
        got, want: served and expected outputs by name, each with a leading batch; strings as object arrays of bytes.
        outputs: the contract's facts of each output: `atol`, `rtol`, `ranked_by`; for images `pixels`, the share of
            pixels that may differ.
    """
    facts = outputs.get(name, {})
    actual, expected = np.asarray(got[name]), np.asarray(want[name])
    if actual.shape != expected.shape:
        return f"has the shape {actual.shape}, `predict` gave {expected.shape}"
    if np.issubdtype(expected.dtype, np.floating):
        return _float_difference(actual, expected, facts)
    wrong = np.argwhere(actual != expected)
    if not len(wrong):
        return None
    if "pixels" in facts:
        return _image_difference(actual, expected, facts["pixels"])
    ranking = facts.get("ranked_by")
    if ranking in want and _only_ties_swapped(actual, expected, np.asarray(want[ranking]), outputs.get(ranking, {})):
        return None
    place = tuple(wrong[0])
    position = list(map(int, place))
    text = f"is {_shorten(actual[place])} at {position}, `predict` gave {_shorten(expected[place])}"
    return f"{text} ({len(wrong)} of {expected.size} values differ)"


def _image_difference(actual: np.ndarray, expected: np.ndarray, allowed: float) -> str | None:
    """Compare masks, given as PNGs or as ids. Where two classes are equally likely, a pixel may get either."""
    import tensorflow as tf

    for row, (got, want) in enumerate(zip(actual, expected, strict=True)):
        if actual.dtype == object:
            got, want = (tf.io.decode_png(image).numpy() for image in (got, want))
        if got.shape != want.shape:
            return f"is an image of the shape {got.shape} in row {row}, `predict` gave {want.shape}"
        share = float(np.mean(got != want))
        if share > allowed:
            return f"differs in {share:.2%} of the pixels in row {row}, allowed {allowed:.2%}"
    return None


def _float_difference(actual: np.ndarray, expected: np.ndarray, facts: dict) -> str | None:
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected))  # equal infinities differ by nothing
    error = np.where(np.isnan(actual) & np.isnan(expected), 0.0, error)
    error = np.where(np.isnan(error), np.inf, error)
    allowed = tolerance(expected, facts)
    if np.all(error <= allowed):
        return None
    excess = np.where(error > allowed, error, -1.0)
    place = np.unravel_index(int(np.argmax(excess)), error.shape)
    return (
        f"is {actual[place]:.9g} at {list(map(int, place))}, `predict` gave {expected[place]:.9g}: off by "
        f"{error[place]:.3g}, allowed {allowed[place]:.3g} "
        f"({int(np.sum(error > allowed))} of {error.size} values differ)"
    )


def tolerance(expected: np.ndarray, facts: dict) -> np.ndarray:
    """Return the allowed absolute error of each value."""
    finite = np.where(np.isfinite(expected), np.abs(expected), 0.0)
    return facts.get("atol", ATOL) + facts.get("rtol", RTOL) * finite


def max_error(got: np.ndarray, want: np.ndarray) -> float:
    """Return the largest absolute difference of two finite float arrays of one shape; 0 for anything else."""
    if not np.issubdtype(np.asarray(want).dtype, np.floating) or np.shape(got) != np.shape(want) or not np.size(want):
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.append(np.abs(np.asarray(got, np.float64) - want), 0.0)))


def _only_ties_swapped(actual: np.ndarray, expected: np.ndarray, scores: np.ndarray, facts: dict) -> bool:
    """Return whether entries changed places only where neighboring scores are within the tolerance."""
    if scores.ndim != 2 or len(scores) != len(expected):
        return False
    if expected.ndim == 1:  # only the best entry: it may differ if the two best scores are tied
        best = -np.sort(-scores, axis=1)
        tied = _find_ties(best, facts)
        return all(tied[row].size and tied[row, 0] for row in np.flatnonzero(actual != expected))
    if expected.shape != scores.shape:
        return False
    tied = _find_ties(scores, facts)
    for row in range(len(expected)):
        start = 0
        for end in [*(np.flatnonzero(~tied[row]) + 1), expected.shape[1]]:  # runs of tied neighbors
            if sorted(actual[row, start:end].tolist()) != sorted(expected[row, start:end].tolist()):
                return False
            start = end
    return True


def _find_ties(scores: np.ndarray, facts: dict) -> np.ndarray:
    return np.abs(np.diff(scores, axis=1)) <= tolerance(scores[:, :-1], facts)


def _shorten(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
