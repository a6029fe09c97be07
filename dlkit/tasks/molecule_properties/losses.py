"""The loss over several targets, of which labels may be missing."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, ops, tf
from dlkit.tasks.molecule_properties.decoding import CENTER, LOWER, UPPER


@keras.saving.register_keras_serializable("dlkit")
class MaskedTargetLoss(keras.losses.Loss):
    """Sums the losses of the known labels of a row and divides by the number that a row has on average.

    All labels weigh the same, however many a row has. The loss of a label is the squared error for one output, plus
    the pinball losses of the bounds for three, or the cross-entropy for classification; the members of an ensemble are
    averaged. Source of the pinball loss: Koenker and Bassett, 1978.

    Args:
        labels_per_row: Positive float, the average number of known labels of a training row.
        coverage: Float between 0 and 1, of the interval between the bounds.
        classification: Whether labels are 0 and 1, and outputs logits.

    Call arguments:
        y_true: (batch, targets) float32, NaN where the label is unknown.
        y_pred: (batch, members, targets, 1 or 3) float32.

    Examples:
        >>> loss = MaskedTargetLoss(labels_per_row=1.0)
        >>> float(loss(tf.constant([[2.0, float("nan")]]), tf.zeros((1, 1, 2, 1))))
        4.0
    """

    def __init__(
        self,
        labels_per_row: float,
        coverage: float = 0.9,
        classification: bool = False,
        name: str = "masked_target_loss",
        **kwargs: Any,
    ):
        super().__init__(name=name, **{"dtype": "float32", **kwargs})
        self.labels_per_row, self.coverage, self.classification = labels_per_row, coverage, classification

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        y_pred = ops.cast(y_pred, "float32")
        known = ops.logical_not(ops.isnan(y_true))
        truth = ops.where(known, y_true, 0.0)[:, None, :]
        if self.classification:
            logit = y_pred[..., 0]
            loss = ops.softplus(logit) - truth * logit
        elif y_pred.shape[-1] == 1:
            loss = ops.square(truth - y_pred[..., 0])
        else:
            tail = (1.0 - self.coverage) / 2.0
            loss = ops.square(truth - y_pred[..., CENTER])
            for output, level in ((LOWER, tail), (UPPER, 1.0 - tail)):
                error = truth - y_pred[..., output]
                loss += ops.maximum(level * error, (level - 1.0) * error)
        masked = ops.where(known[:, None, :], loss, 0.0)
        return ops.sum(ops.mean(masked, 1), -1) / self.labels_per_row

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("labels_per_row", "coverage", "classification")}
        return {**super().get_config(), **own}
