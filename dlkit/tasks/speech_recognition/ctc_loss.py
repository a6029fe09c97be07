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
    return tf.where(mask[:, :, tf.newaxis], logits, tf.cast(_padded_logits(logits.shape[-1]), logits.dtype))


def _padded_logits(outputs: int) -> tf.Tensor:
    """Return the logits of a padded frame, (outputs,) float32."""
    return tf.where(tf.range(outputs) == outputs - 1, 0.0, PADDING_LOGIT)


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
        ids, logits = tf.cast(y_true, tf.int32), tf.cast(y_pred, tf.float32)
        repeated = (ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] >= 0)
        count = tf.math.count_nonzero(ids >= 0, 1)
        is_open = tf.reduce_any(logits != _padded_logits(logits.shape[-1]), 2)
        fits = count + tf.math.count_nonzero(repeated, 1) <= tf.math.count_nonzero(is_open, 1)
        blanks = -tf.reduce_sum(tf.nn.log_softmax(logits)[:, :, -1], 1)  # of an empty text
        # TensorFlow's op takes no empty text, and gives no numbers for one that does not fit.
        replaced = (count == 0) | ~fits
        first = tf.one_hot(0, tf.shape(ids)[1], 0, -1, dtype=tf.int32)
        losses = _ctc_losses(
            tf.where(replaced[:, tf.newaxis], first, ids), tf.where(replaced[:, tf.newaxis, tf.newaxis], 0.0, logits)
        )
        return tf.where(fits, tf.where(count == 0, blanks, losses), 0.0) / self.typical_length

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "typical_length": self.typical_length}


def _ctc_losses(ids: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Compute the loss of each row, (batch,) float32; each text has a character."""
    places = tf.where(ids >= 0)
    return tf.raw_ops.CTCLoss(
        inputs=tf.transpose(logits, [1, 0, 2]),
        labels_indices=places,
        labels_values=tf.gather_nd(ids, places),
        sequence_length=tf.fill([tf.shape(logits)[0]], tf.shape(logits)[1]),
        preprocess_collapse_repeated=False,
        ctc_merge_repeated=True,
        ignore_longer_outputs_than_inputs=True,
    ).loss
