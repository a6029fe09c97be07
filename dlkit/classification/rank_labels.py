"""Ranking of labels by their scores, inside the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf


@keras.saving.register_keras_serializable("dlkit")
class RankLabels(keras.layers.Layer):
    """Ranks labels by their scores, which are computed from logits.

    Call with `logits`: (batch, labels) float. Returns a dict of `label`: (batch,) string, and `score`: (batch,) float32
    in [0, 1], the best one; and of `labels`: (batch, top_k) string, and `scores`: (batch, top_k) float32, which sum to
    1 if all labels are listed. Scores are softmax probabilities.

    With `multi_label`, scores are sigmoid probabilities, and `num_labels`: (batch,) int32, the number of scores that
    reach `score_threshold`, replaces `label` and `score`. Labels with equal scores keep the order of `labels`.

    Args:
        labels: names in the order of the logits.
        multi_label: whether a row may have any number of labels.
        top_k: number of labels to list; 0 lists all.
        score_threshold: minimum score of a predicted label, with `multi_label`.

    Examples:
        >>> import numpy as np
        >>> from dlkit.classification.rank_labels import RankLabels
        >>> ranked = RankLabels(["cat", "dog", "owl"], top_k=2)(np.array([[0.0, 2.0, 1.0]]))
        >>> ranked["labels"].numpy().tolist(), ranked["scores"].numpy().round(2).tolist()
        ([[b'dog', b'owl']], [[0.6700000166893005, 0.23999999463558197]])
    """

    def __init__(
        self,
        labels: Sequence[str],
        multi_label: bool = False,
        top_k: int = 0,
        score_threshold: float = 0.5,
        **kwargs: Any,
    ):
        super().__init__(dtype="float32", **{key: value for key, value in kwargs.items() if key != "dtype"})
        self.labels = list(labels)
        self.multi_label = multi_label
        self.top_k = top_k
        self.score_threshold = score_threshold

    def call(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.cast(logits, tf.float32)
        scores = tf.sigmoid(logits) if self.multi_label else tf.nn.softmax(logits)
        listed = min(self.top_k or len(self.labels), len(self.labels))
        best, indices = tf.math.top_k(scores, listed)
        names = tf.gather(tf.constant(self.labels), indices)
        if self.multi_label:
            count = tf.reduce_sum(tf.cast(best >= self.score_threshold, tf.int32), axis=-1)
            return {"labels": names, "scores": best, "num_labels": count}
        return {"label": names[:, 0], "score": best[:, 0], "labels": names, "scores": best}

    def compute_output_spec(self, logits: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        batch, listed = logits.shape[0], min(self.top_k or len(self.labels), len(self.labels))
        ranked = {
            "labels": keras.KerasTensor((batch, listed), "string"),
            "scores": keras.KerasTensor((batch, listed), "float32"),
        }
        if self.multi_label:
            return {**ranked, "num_labels": keras.KerasTensor((batch,), "int32")}
        best = {"label": keras.KerasTensor((batch,), "string"), "score": keras.KerasTensor((batch,), "float32")}
        return {**best, **ranked}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("labels", "multi_label", "top_k", "score_threshold"):
            config[name] = getattr(self, name)
        return config
