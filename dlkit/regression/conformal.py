"""Prediction intervals of a stated coverage, by split conformal prediction on rows that were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlkit.lazy import keras, ops, tf

MIN_ROWS = 20  # rows with a true value that a target needs to be calibrated
MIN_WIDTH = 1e-3  # of an interval on either side, before it is scaled, so that scores are finite


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """Return the score that a new one from the same distribution exceeds with a probability of at most 1 - coverage.

    Source: Vovk et al., 2005, "Algorithmic Learning in a Random World"; Lei et al., 2018, arXiv:1604.04173.

    Args:
        scores: (n,), finite, at least one.
        coverage: Float between 0 and 1.

    Returns:
        The smallest score that at least ceil((n + 1) * coverage) scores do not exceed; the largest if there is none.

    Examples:
        >>> conformal_quantile(np.arange(1.0, 20.0), coverage=0.9)
        18.0
    """
    ordered = np.sort(scores)
    rank = int(np.ceil((len(ordered) + 1) * coverage))
    return float(ordered[min(rank, len(ordered)) - 1])


@keras.saving.register_keras_serializable("dlkit")
class ConformalIntervals(keras.layers.Layer):
    """Scales the distances of the bounds of an interval from a prediction, so that intervals have a stated coverage.

    Each target has a factor, a weight that is not trained: `calibrate` computes the factors from rows that the network
    was not trained on. Source: Romano et al., 2019, arXiv:1905.03222, with a factor instead of an added constant, so
    that it also applies to standard deviations.

    Args:
        num_targets: Positive integer.

    Call arguments:
        center: (batch, targets) float32, the predictions.
        below, above: (batch, targets) float32, not negative, the distances of the bounds.

    Returns:
        Tuple of the lower and upper bounds, (batch, targets) float32 each.

    Examples:
        >>> layer = ConformalIntervals(num_targets=1)
        >>> truth = np.linspace(-2, 2, 99)[:, None]
        >>> layer.calibrate(np.zeros((99, 1)), np.ones((99, 1)), np.ones((99, 1)), truth, coverage=0.9)["rows"]
        [99]
        >>> lower, upper = layer(tf.zeros((1, 1)), tf.ones((1, 1)), tf.ones((1, 1)))
        >>> round(float(upper[0, 0]), 2)
        1.84
    """

    def __init__(self, num_targets: int, **kwargs: Any):
        super().__init__(**{"trainable": False, **kwargs, "dtype": "float32"})
        self.num_targets = num_targets
        self.factors = self.add_weight(shape=(num_targets,), initializer="ones", trainable=False, name="factors")

    def call(self, center: tf.Tensor, below: tf.Tensor, above: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return center - self.factors * (below + MIN_WIDTH), center + self.factors * (above + MIN_WIDTH)

    def compute_output_spec(
        self, center: keras.KerasTensor, below: keras.KerasTensor, above: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        return keras.KerasTensor(center.shape, "float32"), keras.KerasTensor(center.shape, "float32")

    def calibrate(
        self, center: np.ndarray, below: np.ndarray, above: np.ndarray, truth: np.ndarray, coverage: float
    ) -> dict[str, Any]:
        """Set the factors.

        Args:
            center, below, above: (rows, targets), as `call` takes them, of rows the network was not trained on.
            truth: (rows, targets), NaN where it is unknown.
            coverage: Float between 0 and 1, the fraction of true values that intervals shall hold.

        Returns:
            Dict of `factors` and of `rows`, the number of true values, of each target. The factor of a target with
            fewer than 20 stays as it is.
        """
        with np.errstate(invalid="ignore"):
            scores = np.maximum((center - truth) / (below + MIN_WIDTH), (truth - center) / (above + MIN_WIDTH))
        known = np.isfinite(scores)
        factors = np.array(ops.convert_to_numpy(self.factors))
        counts = [int(count) for count in known.sum(0)]
        for target, count in enumerate(counts):
            if count >= MIN_ROWS:
                factors[target] = max(conformal_quantile(scores[known[:, target], target], coverage), 0.0)
        self.set_factors(factors)
        return {"factors": factors.tolist(), "rows": counts}

    def set_factors(self, factors: Sequence[float] | np.ndarray) -> None:
        """Take factors that were found before, one for each target."""
        self.factors.assign(np.asarray(factors, np.float32))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_targets": self.num_targets}
