"""The loss of connectionist temporal classification (CTC)."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf

PADDING_LOGIT = -30.0  # of each character in a padded frame, whose blank has 0: a probability of 1e-13


def close_padded_frames(logits: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Make the blank certain in padded frames: neither the loss nor a decoder then needs the lengths of rows.

    Args:
        logits: (batch, frames, characters + 1) float, the blank last.
        mask: (batch, frames) bool, False for padding.

    Returns:
        As `logits`.
    """
    outputs = logits.shape[-1]
    is_blank = tf.range(outputs) == outputs - 1
    padding = tf.where(is_blank, tf.zeros([], logits.dtype), tf.cast(PADDING_LOGIT, logits.dtype))
    return tf.where(mask[:, :, tf.newaxis], logits, padding)


@keras.saving.register_keras_serializable("dlkit")
class ClosePaddedFrames(keras.layers.Layer):
    """Makes the blank certain in padded frames, as `close_padded_frames`. Call with `logits` and `mask`."""

    def call(self, logits: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        return close_padded_frames(logits, mask)

    def compute_output_spec(self, logits: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
        del mask
        return keras.KerasTensor(logits.shape, logits.dtype)


@keras.saving.register_keras_serializable("dlkit")
class CtcLoss(keras.losses.Loss):
    """The CTC loss of each row, in nats, divided by a typical length so that it is about one loss per character.

    Source: Graves et al., 2006, "Connectionist temporal classification". Rows whose text needs more frames than there
    are have a loss of 0; the task leaves them out of training.

    Args:
        typical_length: number of characters of a typical text.

    Examples:
        >>> loss = CtcLoss()  # one frame, two characters and the blank, all equally probable
        >>> round(float(loss(tf.constant([[1, -1]]), tf.zeros((1, 1, 3)))), 4)
        1.0986
    """

    def __init__(self, typical_length: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.typical_length = float(typical_length)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Compute the loss of each row.

        Args:
            y_true: ids of characters, (batch, any) int, padded with -1.
            y_pred: logits, (batch, frames, characters + 1) float, the blank last; padded frames are blanks.

        Returns:
            (batch,) float32.
        """
        ids = tf.cast(y_true, tf.int32)
        places = tf.where(ids >= 0)
        rows, frames = tf.shape(y_pred)[0], tf.shape(y_pred)[1]
        loss = tf.raw_ops.CTCLoss(
            inputs=tf.transpose(tf.cast(y_pred, tf.float32), [1, 0, 2]),
            labels_indices=places,
            labels_values=tf.gather_nd(ids, places),
            sequence_length=tf.fill([rows], frames),
            preprocess_collapse_repeated=False,
            ctc_merge_repeated=True,
            ignore_longer_outputs_than_inputs=True,
        ).loss
        return loss / self.typical_length

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "typical_length": self.typical_length}
