"""Scaling of numbers in the graph, with missing indicators."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlkit.lazy import keras, tf

KNOTS = 256  # quantiles by which a column is scaled
MAX_SMOOTH = 3.0  # bound of values scaled by `RobustScaling`


class _NumberScaling(keras.layers.Layer):
    """Base of the scalings: (batch, columns) float32 with NaN to scaled numbers and missing indicators.

    Call with `numbers`: (batch, columns) float32; NaN where a number is missing. Returns a dict of `numbers`: (batch,
    columns) float32, finite, 0 where missing; and `missing`: (batch, columns) float32, 1 where missing.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def scale(self, numbers: tf.Tensor) -> tf.Tensor:
        """Scale numbers, which may be infinite."""
        raise NotImplementedError

    def call(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        missing = tf.math.is_nan(numbers)
        scaled = self.scale(tf.where(missing, 0.0, numbers))
        return {"numbers": tf.where(missing, 0.0, scaled), "missing": tf.cast(missing, tf.float32)}

    def compute_output_spec(self, numbers: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        return {name: keras.KerasTensor(numbers.shape, "float32") for name in ("numbers", "missing")}


@keras.saving.register_keras_serializable("dlkit")
class QuantileScaling(_NumberScaling):
    """Maps each column to a normal distribution by its quantiles.

    Numbers beyond those of the training data, and infinite ones, are the lowest or the highest of them.

    Examples:
        >>> import numpy as np
        >>> scaling = QuantileScaling()
        >>> scaling.adapt(np.array([[1.0], [2.0], [3.0]]))
        >>> scaling(np.array([[2.0], [np.inf]], np.float32))["numbers"].numpy().round(2).tolist()
        [[0.0], [0.97]]
    """

    def build(self, shape: tuple[int | None, ...]) -> None:
        for name in ("knots", "positions"):
            setattr(self, name, self.add_weight((shape[-1], KNOTS), "zeros", trainable=False, name=name))

    def adapt(self, numbers: np.ndarray) -> None:
        """Learn the quantiles of (rows, columns) numbers, of which some are missing (NaN)."""
        if not hasattr(self, "knots"):
            self.build(numbers.shape)
        knots, positions = np.zeros((2, numbers.shape[1], KNOTS), np.float32)
        for column, values in enumerate(np.asarray(numbers, np.float32).T):
            knots[column], positions[column] = _find_knots(values)
        self.knots.assign(knots)
        self.positions.assign(positions)

    def scale(self, numbers: tf.Tensor) -> tf.Tensor:
        values = tf.clip_by_value(tf.transpose(numbers), self.knots[:, :1], self.knots[:, -1:])  # (columns, batch)
        above = tf.searchsorted(tf.convert_to_tensor(self.knots), values, side="right")
        lower = tf.clip_by_value(above - 1, 0, KNOTS - 2)
        (x0, p0), (x1, p1) = (
            [tf.gather(weights, index, batch_dims=1) for weights in (self.knots, self.positions)]
            for index in (lower, lower + 1)
        )
        fraction = tf.math.divide_no_nan(values - x0, x1 - x0)
        position = p0 + tf.clip_by_value(fraction, 0.0, 1.0) * (p1 - p0)
        return tf.transpose(tf.math.ndtri(position))


def _find_knots(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `KNOTS` ascending values of a column and the mean rank of each as a fraction, in (0, 1)."""
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return np.zeros(KNOTS), np.full(KNOTS, 0.5)
    knots = np.unique(np.quantile(finite, np.linspace(0, 1, KNOTS), method="nearest"))
    ranks = (np.searchsorted(finite, knots, "left") + np.searchsorted(finite, knots, "right")) / (2 * len(finite))
    more = KNOTS - len(knots)  # the last one repeated changes nothing
    return np.pad(knots, (0, more), "edge"), np.pad(ranks, (0, more), "edge")


@keras.saving.register_keras_serializable("dlkit")
class RobustScaling(_NumberScaling):
    """Subtracts the median, divides by the interquartile range, and bounds the result smoothly by 3 in magnitude.

    Source: Holzmüller et al., 2024, arXiv:2407.04491, section 3.

    Examples:
        >>> import numpy as np
        >>> scaling = RobustScaling()
        >>> scaling.adapt(np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]))
        >>> scaling(np.array([[2.0], [-np.inf]], np.float32))["numbers"].numpy().round(2).tolist()
        [[0.0], [-3.0]]
    """

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.center = self.add_weight((shape[-1],), "zeros", trainable=False, name="center")
        self.factor = self.add_weight((shape[-1],), "ones", trainable=False, name="factor")

    def adapt(self, numbers: np.ndarray) -> None:
        """Learn medians and ranges of (rows, columns) numbers, of which some are missing (NaN)."""
        if not hasattr(self, "center"):
            self.build(numbers.shape)
        pairs = [_find_center(values[np.isfinite(values)]) for values in np.asarray(numbers, np.float64).T]
        self.center.assign([center for center, _ in pairs])
        self.factor.assign([factor for _, factor in pairs])

    def scale(self, numbers: tf.Tensor) -> tf.Tensor:
        scaled = tf.math.multiply_no_nan(numbers - self.center, tf.broadcast_to(self.factor, tf.shape(numbers)))
        scaled = tf.clip_by_value(scaled, -1e6, 1e6)
        return scaled / tf.sqrt(1.0 + tf.square(scaled / MAX_SMOOTH))


def _find_center(values: np.ndarray) -> tuple[float, float]:
    """Return the median of a column and 1 over its interquartile range; of the range where that is 0."""
    if not len(values):
        return 0.0, 0.0
    low, center, high = np.quantile(values, (0.25, 0.5, 0.75))
    spread = high - low or (values.max() - values.min()) / 2
    return float(center), float(1 / spread) if spread > 0 else 0.0


@keras.saving.register_keras_serializable("dlkit")
class StackNumbers(keras.layers.Layer):
    """Stacks a list of (batch,) numbers to (batch, columns) float32."""

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, columns: list[tf.Tensor]) -> tf.Tensor:
        return tf.stack(columns, axis=1)

    def compute_output_spec(self, columns: list[keras.KerasTensor]) -> keras.KerasTensor:
        return keras.KerasTensor((columns[0].shape[0], len(columns)), "float32")
