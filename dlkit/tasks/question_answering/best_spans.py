"""From start and end logits of windows to the best spans of each row's whole context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlkit.lazy import keras, tf

NOTHING = -1e30  # the logit of what cannot be; a sum of two is still finite


@keras.saving.register_keras_serializable("dlkit")
class BestSpans(keras.layers.Layer):
    """The best spans over all windows of a row, as texts of its context.

    A span's logit is that of its first token as a start and that of its last token as an end. Spans begin in a token
    that the window owns, so none is counted twice; they are `max_answer` tokens long at most. Scores are the softmax
    over all spans of all of a row's windows, and over "no answer" too if there may be none. That one's logit is the
    opening token's as start and end, in the window where it is lowest (Devlin et al., 2018, arXiv:1810.04805,
    section 4.3 and `run_squad.py`).

    Call with what `Windows` gives (`starts`, `ends`, `own`, `row`, `context_text`) and `start_logits`, `end_logits`:
    (windows, length) float32; and, to ask for something else than the layer's own, `limit`: (batch,) int32, of which
    more than `max_answer` is `max_answer`, and `threshold`: (batch,) float32. Returns a dict:
        text: (batch,) string, exactly as it stands in the context; empty where there is no answer.
        start, end: (batch,) int32, characters (code points) of the context, the last one not included; -1 for none.
        score: (batch,) float32, of what is answered.
        texts, starts, ends, scores: (batch, count), the best spans, best first, whether answered or not; where there
            are fewer, an empty text, -1, -1 and 0.

    Args:
        count: how many spans to list.
        max_answer: tokens of the longest span.
        unanswerable: whether there may be no answer.
        threshold: the score of "no answer" from which it is the answer.
        clip_limit: whether a `limit` below 1 is 1, as others out of range are clipped; else it leaves no answer.
    """

    def __init__(
        self,
        count: int = 5,
        max_answer: int = 30,
        unanswerable: bool = False,
        threshold: float = 0.5,
        clip_limit: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.count, self.max_answer = count, max_answer
        self.unanswerable, self.threshold, self.clip_limit = unanswerable, threshold, clip_limit
        self._convert_input_args = False  # Keras knows no string tensors

    def call(
        self, tensors: Mapping[str, tf.Tensor], limit: tf.Tensor | None = None, threshold: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        row, context = tensors["row"], tensors["context_text"]
        rows = tf.size(context)
        logits = self._logits(tensors, limit)  # (windows, length, max_answer)
        none = tf.math.unsorted_segment_min(tensors["start_logits"][:, 0] + tensors["end_logits"][:, 0], row, rows)
        if not self.unanswerable:
            none = tf.fill([rows], NOTHING)
        total = _log_sum(tf.reshape(logits, [tf.size(row), -1]), row, none)
        best, start, end = self._best(logits, tensors, rows)
        found = best > NOTHING / 2
        scores = tf.where(found, tf.exp(best - total[:, tf.newaxis]), 0.0)
        starts, ends = tf.where(found, start, -1), tf.where(found, end, -1)
        texts = _texts(context, starts, ends)
        no_answer = tf.exp(none - total)
        threshold = tf.fill([rows], self.threshold) if threshold is None else threshold
        given = found[:, 0] & ~((no_answer >= threshold) & self.unanswerable)
        return {
            "text": tf.where(given, texts[:, 0], ""),
            "start": tf.where(given, starts[:, 0], -1),
            "end": tf.where(given, ends[:, 0], -1),
            "score": tf.where(given, scores[:, 0], no_answer),
            "texts": texts,
            "starts": starts,
            "ends": ends,
            "scores": scores,
        }

    def _logits(self, tensors: Mapping[str, tf.Tensor], limit: tf.Tensor | None) -> tf.Tensor:
        """Of the span from each token, the `max_answer` lengths: (windows, length, max_answer)."""
        more = [[0, 0], [0, self.max_answer]]
        ends = tf.where(tensors["ends"] > 0, tensors["end_logits"], NOTHING)
        ends = tf.signal.frame(tf.pad(ends, more, constant_values=NOTHING), self.max_answer, 1, axis=1)
        ends = ends[:, : tf.shape(tensors["ends"])[1]]
        if limit is not None:
            limit = tf.maximum(limit, 1) if self.clip_limit else limit
            longer = tf.range(self.max_answer) >= tf.gather(limit, tensors["row"])[:, tf.newaxis]
            ends = tf.where(longer[:, tf.newaxis], NOTHING, ends)
        starts = tf.where(tensors["own"], tensors["start_logits"], NOTHING)
        return tf.maximum(starts[:, :, tf.newaxis] + ends, NOTHING)

    def _best(
        self, logits: tf.Tensor, tensors: Mapping[str, tf.Tensor], rows: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The best spans of each row: (batch, count) logits, and their first and last characters."""
        row, count = tensors["row"], self.count
        flat = tf.reshape(logits, [tf.size(row), -1])
        flat = tf.pad(flat, [[0, 0], [0, count]], constant_values=NOTHING)
        best, place = tf.math.top_k(flat, count)  # of each window
        first = tf.minimum(place // self.max_answer, tf.shape(logits)[1] - 1)
        last = tf.minimum(first + place % self.max_answer, tf.shape(logits)[1] - 1)
        start = tf.gather(tensors["starts"], first, batch_dims=1)
        end = tf.gather(tensors["ends"], last, batch_dims=1)
        windows = tf.RaggedTensor.from_value_rowids(
            tf.range(tf.size(row)), tf.cast(row, tf.int64), tf.cast(rows, tf.int64), validate=False
        ).to_tensor(-1)  # (batch, windows of a row)
        real = windows >= 0
        windows = tf.maximum(windows, 0)
        best = tf.where(real[:, :, tf.newaxis], tf.gather(best, windows), NOTHING)
        best, chosen = tf.math.top_k(tf.reshape(best, [rows, -1]), count)

        def of_row(values: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.reshape(tf.gather(values, windows), [rows, -1]), chosen, batch_dims=1)

        return best, of_row(start), of_row(end)

    def compute_output_spec(
        self,
        tensors: Mapping[str, keras.KerasTensor],
        limit: keras.KerasTensor | None = None,
        threshold: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        one = {"text": "string", "start": "int32", "end": "int32", "score": "float32"}
        specs = {name: keras.KerasTensor((None,), dtype) for name, dtype in one.items()}
        return specs | {f"{name}s": keras.KerasTensor((None, self.count), dtype) for name, dtype in one.items()}

    def get_config(self) -> dict[str, Any]:
        own = {"count": self.count, "max_answer": self.max_answer, "clip_limit": self.clip_limit}
        return {**super().get_config(), **own, "unanswerable": self.unanswerable, "threshold": self.threshold}


def _log_sum(logits: tf.Tensor, row: tf.Tensor, none: tf.Tensor) -> tf.Tensor:
    """ln of the sum of exp over all of a row's windows and `none`: (batch,)."""
    rows = tf.size(none)
    largest = tf.maximum(tf.math.unsorted_segment_max(tf.reduce_max(logits, axis=1), row, rows), none)
    powers = tf.exp(logits - tf.gather(largest, row)[:, tf.newaxis])
    summed = tf.math.unsorted_segment_sum(tf.reduce_sum(powers, axis=1), row, rows)
    return largest + tf.math.log(summed + tf.exp(none - largest))


def _texts(context: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """(batch, count) string: what stands there, by characters; empty where a start is negative."""
    count = starts.shape[1]
    texts = tf.strings.substr(
        tf.repeat(context, count),
        tf.reshape(tf.maximum(starts, 0), [-1]),
        tf.reshape(ends - starts, [-1]),
        unit="UTF8_CHAR",
    )
    return tf.reshape(texts, tf.shape(starts))
