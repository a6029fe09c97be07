"""The metric of training: how many characters the network alone gets right."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.speech_recognition.ctc_beam_search import search_greedily


@keras.saving.register_keras_serializable("dlkit")
class CharacterAccuracy(keras.metrics.Metric):
    """1 - character errors by the number of true characters, of the best character of each frame; at least 0.

    Called with ids of characters, (batch, any) int, padded with -1, and logits as of `CtcLoss`. Sample weights count
    errors and characters.

    Examples:
        >>> metric = CharacterAccuracy()
        >>> metric.update_state([[0, 1]], tf.constant([[[9.0, 0, 0], [0, 0, 9], [9, 0, 0]]]))  # "ab" heard as "aa"
        >>> float(metric.result())
        0.5
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.errors = self.add_weight(name="errors", initializer="zeros")
        self.characters = self.add_weight(name="characters", initializer="zeros")

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Any = None) -> None:
        true = _to_sparse(tf.cast(y_true, tf.int64))
        found, _ = search_greedily(tf.cast(y_pred, tf.float32))
        errors = tf.edit_distance(_to_sparse(tf.cast(found, tf.int64)), true, normalize=False)
        rows = tf.shape(y_pred, tf.int64)[0]
        counts = tf.math.bincount(
            tf.cast(true.indices[:, 0], tf.int32), minlength=tf.cast(rows, tf.int32), dtype=tf.float32
        )
        weights = tf.ones_like(counts) if sample_weight is None else tf.cast(sample_weight, tf.float32)
        self.errors.assign_add(tf.reduce_sum(errors * weights))
        self.characters.assign_add(tf.reduce_sum(counts * weights))

    def result(self) -> tf.Tensor:
        return tf.maximum(1 - self.errors / tf.maximum(self.characters, 1.0), 0.0)


def _to_sparse(ids: tf.Tensor) -> tf.SparseTensor:
    """Convert ids padded with -1; all rows have the same bounds, which `tf.edit_distance` compares."""
    places = tf.where(ids >= 0)
    return tf.SparseTensor(places, tf.gather_nd(ids, places), [tf.shape(ids, tf.int64)[0], 1 << 20])
