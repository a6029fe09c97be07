"""The answers of a regressor by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class NameAnswers(keras.layers.Layer):
    """Names the predictions of each target.

    Call with (batch, targets, 1 + levels + 2) float32: the value, the quantiles and the bounds of the interval. Returns
    a dict of `value`: (batch,), `quantiles`: (batch, levels), `lower`: (batch,), `upper`: (batch,), and
    `quantile_levels`: (batch, levels). With several targets their names are appended, but to the last: `value_price`.

    Args:
        targets: names of the targets.
        levels: levels of the quantiles.
    """

    def __init__(self, targets: Sequence[str], levels: Sequence[float], **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.targets, self.levels = list(targets), list(levels)

    def call(self, predictions: tf.Tensor) -> dict[str, tf.Tensor]:
        named = {"quantile_levels": tf.tile([self.levels], [tf.shape(predictions)[0], 1])}
        for index, suffix in enumerate(self._suffixes()):
            own = predictions[:, index]
            named |= {
                f"value{suffix}": own[:, 0],
                f"quantiles{suffix}": own[:, 1:-2],
                f"lower{suffix}": own[:, -2],
                f"upper{suffix}": own[:, -1],
            }
        return named

    def compute_output_spec(self, predictions: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        batch, wide = predictions.shape[0], (predictions.shape[0], len(self.levels))
        shapes: dict[str, Any] = {"quantile_levels": wide}
        for suffix in self._suffixes():
            shapes |= {f"value{suffix}": (batch,), f"quantiles{suffix}": wide}
            shapes |= {f"lower{suffix}": (batch,), f"upper{suffix}": (batch,)}
        return {name: keras.KerasTensor(shape, "float32") for name, shape in shapes.items()}

    def _suffixes(self) -> list[str]:
        return [f"_{name}" for name in self.targets] if len(self.targets) > 1 else [""]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "targets": self.targets, "levels": self.levels}
