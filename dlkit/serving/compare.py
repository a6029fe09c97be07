"""Compares a served answer with the one that `predict` gave."""

from __future__ import annotations

from typing import Any

import numpy as np

ATOL, RTOL = 1e-5, 1e-4


def describe_difference(
    name: str, got: dict[str, np.ndarray], want: dict[str, np.ndarray], outputs: dict
) -> str | None:
    """Says how the output `name` differs from the reference example, or None where it does not.

    Args:
        name: the output.
        got, want: all outputs by name, each with a leading batch; strings as object arrays of bytes.
        outputs: what the contract says of each output: `atol`, `rtol`, `ranked_by`; `pixels`, for images, the share of
            pixels that may differ.
    """
    facts = outputs.get(name, {})
    mine, theirs = np.asarray(got[name]), np.asarray(want[name])
    if mine.shape != theirs.shape:
        return f"has the shape {mine.shape}, `predict` gave {theirs.shape}"
    if np.issubdtype(theirs.dtype, np.floating):
        return _float_difference(mine, theirs, facts)
    wrong = np.argwhere(mine != theirs)
    if not len(wrong):
        return None
    if "pixels" in facts:
        return _image_difference(mine, theirs, facts["pixels"])
    ranking = facts.get("ranked_by")
    if ranking in want and _only_ties_swapped(mine, theirs, np.asarray(want[ranking]), outputs.get(ranking, {})):
        return None
    place = tuple(wrong[0])
    position = list(map(int, place))
    text = f"is {_shorten(mine[place])} at {position}, `predict` gave {_shorten(theirs[place])}"
    return f"{text} ({len(wrong)} of {theirs.size} values differ)"


def _image_difference(mine: np.ndarray, theirs: np.ndarray, allowed: float) -> str | None:
    """Masks, as PNGs or as numbers: where two classes are equally likely, a pixel may go to either."""
    import tensorflow as tf

    for row, (got, want) in enumerate(zip(mine, theirs, strict=True)):
        if mine.dtype == object:
            got, want = (tf.io.decode_png(image).numpy() for image in (got, want))
        if got.shape != want.shape:
            return f"is an image of the shape {got.shape} in row {row}, `predict` gave {want.shape}"
        share = float(np.mean(got != want))
        if share > allowed:
            return f"differs in {share:.2%} of the pixels in row {row}, allowed {allowed:.2%}"
    return None


def _float_difference(mine: np.ndarray, theirs: np.ndarray, facts: dict) -> str | None:
    mine, theirs = mine.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.where(mine == theirs, 0.0, np.abs(mine - theirs))  # equal infinities differ by nothing
    error = np.where(np.isnan(mine) & np.isnan(theirs), 0.0, error)
    error = np.where(np.isnan(error), np.inf, error)
    allowed = tolerance(theirs, facts)
    if np.all(error <= allowed):
        return None
    excess = np.where(error > allowed, error, -1.0)
    place = np.unravel_index(int(np.argmax(excess)), error.shape)
    return (
        f"is {mine[place]:.9g} at {list(map(int, place))}, `predict` gave {theirs[place]:.9g}: off by "
        f"{error[place]:.3g}, allowed {allowed[place]:.3g} "
        f"({int(np.sum(error > allowed))} of {error.size} values differ)"
    )


def tolerance(theirs: np.ndarray, facts: dict) -> np.ndarray:
    """The allowed absolute error of each value."""
    finite = np.where(np.isfinite(theirs), np.abs(theirs), 0.0)
    return facts.get("atol", ATOL) + facts.get("rtol", RTOL) * finite


def max_error(got: np.ndarray, want: np.ndarray) -> float:
    """The largest absolute difference of two finite float arrays of one shape; 0 for everything else."""
    if not np.issubdtype(np.asarray(want).dtype, np.floating) or np.shape(got) != np.shape(want) or not np.size(want):
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.append(np.abs(np.asarray(got, np.float64) - want), 0.0)))


def _only_ties_swapped(mine: np.ndarray, theirs: np.ndarray, scores: np.ndarray, facts: dict) -> bool:
    """Whether entries changed places only where neighbouring scores are within the tolerance."""
    if scores.ndim != 2 or len(scores) != len(theirs):
        return False
    if theirs.ndim == 1:  # the winner alone: it may differ where the two best scores are tied
        best = -np.sort(-scores, axis=1)
        tied = _find_ties(best, facts)
        return all(tied[row].size and tied[row, 0] for row in np.flatnonzero(mine != theirs))
    if theirs.shape != scores.shape:
        return False
    tied = _find_ties(scores, facts)
    for row in range(len(theirs)):
        start = 0
        for end in [*(np.flatnonzero(~tied[row]) + 1), theirs.shape[1]]:  # runs of tied neighbours
            if sorted(mine[row, start:end].tolist()) != sorted(theirs[row, start:end].tolist()):
                return False
            start = end
    return True


def _find_ties(scores: np.ndarray, facts: dict) -> np.ndarray:
    return np.abs(np.diff(scores, axis=1)) <= tolerance(scores[:, :-1], facts)


def _shorten(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
