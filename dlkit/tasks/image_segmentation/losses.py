"""Losses of masks: cross-entropy, Dice, focal loss and sums of them, per row. Pixels of the class 255 are ignored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.image_segmentation.loss_terms import parse_losses
from dlkit.tasks.image_segmentation.mask_png import IGNORE_CLASS

FOCAL_GAMMA = 2.0  # of the focal loss, as in the paper


@keras.saving.register_keras_serializable("dlkit")
class MaskCrossEntropy(keras.losses.Loss):
    """Mean cross-entropy of the pixels of each row, weighted by the true class.

    With `gamma` above 0 it is the focal loss, -(1 - p)^gamma log(p) of the probability p of the true class: Lin et al.,
    2017, arXiv:1708.02002, equation 4, with softmax instead of the sigmoid.

    The loss of Keras averages over the pixels of the batch, so that an ignored pixel of one row changes the weight of
    other rows.

    Args:
        class_weights: weight of each class; None for 1. The sum of a row is divided by its number of pixels.
        gamma: focusing parameter: how much well-classified pixels are down-weighted.

    Examples:
        >>> import tensorflow as tf
        >>> from dlkit.tasks.image_segmentation.losses import MaskCrossEntropy
        >>> loss = MaskCrossEntropy()(tf.zeros((1, 4, 4), tf.uint8), tf.zeros((1, 4, 4, 2)))
        >>> round(float(loss), 3)
        0.693
    """

    def __init__(self, class_weights: Sequence[float] | None = None, gamma: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]
        self.gamma = gamma

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row: class ids (batch, height, width), logits (..., classes) to (batch,) float32."""
        true_one_hot, valid = _one_hot(y_true, y_pred.shape[-1])
        log_probability = tf.reduce_sum(true_one_hot * tf.nn.log_softmax(y_pred), axis=-1)
        pixel_losses = -log_probability * _pixel_weights(true_one_hot, self.class_weights)
        if self.gamma:
            pixel_losses *= tf.pow(1.0 - tf.exp(log_probability), self.gamma)
        return tf.math.divide_no_nan(tf.reduce_sum(pixel_losses, axis=(1, 2)), tf.reduce_sum(valid, axis=(1, 2)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_weights": self.class_weights, "gamma": self.gamma}


@keras.saving.register_keras_serializable("dlkit")
class MaskDice(keras.losses.Loss):
    """Dice loss: one minus the Dice coefficient of the probabilities, averaged over the classes that a row has.

    Milletari et al., 2016, arXiv:1606.04797, with plain sums instead of squared ones, by `keras.losses.dice`. A class
    that is absent from a row would contribute 1, however small its probability; predicting it costs the other classes.

    Args:
        class_weights: weight of each class; None for 1.

    Examples:
        >>> import tensorflow as tf
        >>> from dlkit.tasks.image_segmentation.losses import MaskDice
        >>> loss = MaskDice()(tf.zeros((1, 4, 4), tf.uint8), tf.zeros((1, 4, 4, 2)))
        >>> round(float(loss), 3)
        0.333
    """

    def __init__(self, class_weights: Sequence[float] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row: class ids (batch, height, width), logits (..., classes) to (batch,) float32."""
        true_one_hot, valid = _one_hot(y_true, y_pred.shape[-1])
        class_losses = keras.losses.dice(true_one_hot, tf.nn.softmax(y_pred) * valid[..., tf.newaxis], axis=(1, 2))
        weights = tf.cast(tf.reduce_any(true_one_hot > 0, axis=(1, 2)), tf.float32)
        if self.class_weights is not None:
            weights *= tf.constant(self.class_weights)
        return tf.math.divide_no_nan(tf.reduce_sum(class_losses * weights, axis=-1), tf.reduce_sum(weights, axis=-1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_weights": self.class_weights}


@keras.saving.register_keras_serializable("dlkit")
class SumOfLosses(keras.losses.Loss):
    """Sum of several losses.

    Args:
        losses: losses, their configurations or names, as `keras.losses.get` takes them.
    """

    def __init__(self, losses: Sequence[keras.losses.Loss | dict[str, Any] | str], **kwargs: Any):
        super().__init__(**kwargs)
        self.losses = [keras.losses.get(loss) for loss in losses]

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row, (batch,) float32."""
        return tf.add_n([loss.call(y_true, y_pred) for loss in self.losses])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "losses": [keras.losses.serialize(loss) for loss in self.losses]}


_LOSS_TERMS: dict[str, Callable[[Sequence[float] | None], keras.losses.Loss]] = {
    "cross_entropy": MaskCrossEntropy,
    "dice": MaskDice,
    "focal": lambda weights: MaskCrossEntropy(weights, FOCAL_GAMMA),
}


def build_mask_loss(losses: str, class_weights: Sequence[float] | None = None) -> keras.losses.Loss:
    """Build the loss for masks.

    Args:
        losses: "cross_entropy", "dice", "focal", or a sum such as "cross_entropy+dice".
        class_weights: weight of each class; None for 1.

    Returns:
        The Keras loss.

    Raises:
        HparamError: a name is unknown.
    """
    terms = [_LOSS_TERMS[name](class_weights) for name in parse_losses(losses)]
    return terms[0] if len(terms) == 1 else SumOfLosses(terms)


def pixel_accuracy(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Compute the fraction of correct pixels of each row.

    Args:
        y_true: (batch, height, width) class ids.
        y_pred: (batch, height, width, classes) logits.

    Returns:
        (batch,) float32.
    """
    class_ids = tf.cast(y_true, tf.int32)
    valid = tf.cast(class_ids != IGNORE_CLASS, tf.float32)
    correct = tf.cast(class_ids == tf.argmax(y_pred, axis=-1, output_type=tf.int32), tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(correct, axis=(1, 2)), tf.reduce_sum(valid, axis=(1, 2)))


def _one_hot(ids: tf.Tensor, num_classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Encode class ids as (..., classes) float32, zeros for ignored pixels; and which pixels are valid, float32."""
    class_ids = tf.cast(ids, tf.int32)
    return tf.one_hot(class_ids, num_classes), tf.cast(class_ids != IGNORE_CLASS, tf.float32)


def _pixel_weights(true_one_hot: tf.Tensor, class_weights: Sequence[float] | None) -> float | tf.Tensor:
    return 1.0 if class_weights is None else tf.reduce_sum(true_one_hot * tf.constant(class_weights), axis=-1)
