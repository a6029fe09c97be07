"""Losses of masks: cross-entropy, Dice, focal, and their sums. Each row's own; pixels of the id 255 do not count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.image_segmentation.loss_names import check_loss
from dlkit.tasks.image_segmentation.mask_png import NO_CLASS

GAMMA = 2.0  # of the focal loss: the paper's


@keras.saving.register_keras_serializable("dlkit")
class MaskCrossEntropy(keras.losses.Loss):
    """The mean cross-entropy of a row's pixels, each weighted by its true class.

    With `gamma` above 0 it is the focal loss, -(1 - p)^gamma log(p) of the true class's probability p: Lin et al.,
    2017, arXiv:1708.02002, equation 4, with softmax for the sigmoid.

    Keras's own takes the mean over a batch's pixels, so that an ignored pixel of one row changes the others' weight.

    Args:
        class_weights: one for each class; None for 1. A row's sum is divided by its pixels, not by their weights.
        gamma: how much well-classified pixels count less.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, gamma: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]
        self.gamma = gamma

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Class ids (batch, height, width) and logits (batch, height, width, classes) to (batch,)."""
        truth, counts = _one_hot(y_true, y_pred.shape[-1])
        log_share = tf.reduce_sum(truth * tf.nn.log_softmax(y_pred), axis=-1)
        pixels = -log_share * _weights_of(truth, self.class_weights)
        if self.gamma:
            pixels *= tf.pow(1.0 - tf.exp(log_share), self.gamma)
        return tf.math.divide_no_nan(tf.reduce_sum(pixels, axis=(1, 2)), tf.reduce_sum(counts, axis=(1, 2)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_weights": self.class_weights, "gamma": self.gamma}


@keras.saving.register_keras_serializable("dlkit")
class MaskDice(keras.losses.Loss):
    """One minus the Dice coefficient of probabilities, the mean over the classes that a row truly has.

    Milletari et al., 2016, arXiv:1606.04797, with plain sums for the squared ones, by `keras.losses.dice`. A class that
    a row does not have would cost it 1 whatever small probability it gets; answering it costs the others.

    Args:
        class_weights: one for each class; None for 1.
    """

    def __init__(self, class_weights: Sequence[float] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Class ids (batch, height, width) and logits (batch, height, width, classes) to (batch,)."""
        truth, counts = _one_hot(y_true, y_pred.shape[-1])
        of_class = keras.losses.dice(truth, tf.nn.softmax(y_pred) * counts[..., tf.newaxis], axis=(1, 2))
        weights = tf.cast(tf.reduce_any(truth > 0, axis=(1, 2)), tf.float32)
        if self.class_weights is not None:
            weights *= tf.constant(self.class_weights)
        return tf.math.divide_no_nan(tf.reduce_sum(of_class * weights, axis=-1), tf.reduce_sum(weights, axis=-1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_weights": self.class_weights}


@keras.saving.register_keras_serializable("dlkit")
class LossSum(keras.losses.Loss):
    """The sum of other losses."""

    def __init__(self, losses: Sequence[keras.losses.Loss | dict[str, Any] | str], **kwargs: Any):
        super().__init__(**kwargs)
        self.losses = [keras.losses.get(loss) for loss in losses]

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Any targets and outputs to (batch,)."""
        return tf.add_n([loss.call(y_true, y_pred) for loss in self.losses])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "losses": [keras.losses.serialize(loss) for loss in self.losses]}


_LOSSES: dict[str, Callable[[Sequence[float] | None], keras.losses.Loss]] = {
    "cross_entropy": MaskCrossEntropy,
    "dice": MaskDice,
    "focal": lambda weights: MaskCrossEntropy(weights, GAMMA),
}


def mask_loss(names: str, class_weights: Sequence[float] | None = None) -> keras.losses.Loss:
    """The loss of these names: "cross_entropy", "dice", "focal", or a sum such as "cross_entropy+dice"."""
    losses = [_LOSSES[name](class_weights) for name in check_loss(names)]
    return losses[0] if len(losses) == 1 else LossSum(losses)


def row_accuracy(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """The share of right pixels of each row: ids (batch, height, width) and logits (..., classes) to (batch,)."""
    ids = tf.cast(y_true, tf.int32)
    counts = tf.cast(ids != NO_CLASS, tf.float32)
    hits = tf.cast(ids == tf.argmax(y_pred, axis=-1, output_type=tf.int32), tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(hits, axis=(1, 2)), tf.reduce_sum(counts, axis=(1, 2)))


def _one_hot(ids: tf.Tensor, classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """(batch, height, width) to (..., classes) float32, zeros where a pixel does not count; and whether it does."""
    ids = tf.cast(ids, tf.int32)
    return tf.one_hot(ids, classes), tf.cast(ids != NO_CLASS, tf.float32)


def _weights_of(truth: tf.Tensor, class_weights: Sequence[float] | None) -> float | tf.Tensor:
    return 1.0 if class_weights is None else tf.reduce_sum(truth * tf.constant(class_weights), axis=-1)
