"""Decoding of start and end logits of windows into the best spans of each row's whole context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlkit.lazy import keras, tf

MASKED_LOGIT = -1e30  # the logit of an impossible span; a sum of two is still finite


@keras.saving.register_keras_serializable("dlkit")
class SpanDecoder(keras.layers.Layer):
    """Decodes the best spans over all windows of a row, as substrings of its context.

    The logit of a span is the sum of the start logit of its first token and the end logit of its last token. A span
    starts at a token of which its window is the maximum context, so that no span is counted twice, and is at most
    `max_answer_tokens` long. Scores are the softmax over all spans of all windows of a row, and over "no answer" too
    if it is allowed. The logit of "no answer" is the sum of both logits of the opening token, in the window where it
    is lowest (Devlin et al., 2018, arXiv:1810.04805, section 4.3 and `run_squad.py`).

    Call with the tensors of `WindowPacker` (`token_starts`, `token_ends`, `is_max_context`, `row_ids`,
    `context_text`) together with `start_logits` and `end_logits`: (windows, length) float32; and, to override the
    layer's own values for each row, with `max_answer_tokens`: (batch,) int32, clipped to the range from 1 to the
    layer's own, and `no_answer_threshold`: (batch,) float32. Returns a dict:
        text: (batch,) string, exactly as it occurs in the context; empty for "no answer".
        start, end: (batch,) int32, offsets in characters (code points) of the context, `end` excluded; -1 for "no
            answer".
        score: (batch,) float32, the score of the predicted span or of "no answer".
        texts, starts, ends, scores: (batch, top_k), the best spans, best first, even if "no answer" is predicted;
            padded with an empty text, -1, -1 and 0.

    Args:
        top_k: positive integer, number of spans to return.
        max_answer_tokens: positive integer, maximum length of a span, in tokens.
        allow_no_answer: whether "no answer" may be predicted.
        no_answer_threshold: float in [0, 1], the score of "no answer" from which it is predicted.

    Examples:
        >>> decoder = SpanDecoder(top_k=1, max_answer_tokens=2)
        >>> window = {
        ...     "token_starts": tf.constant([[0, 0, 4, 8]]),
        ...     "token_ends": tf.constant([[0, 3, 7, 12]]),
        ...     "is_max_context": tf.constant([[False, True, True, True]]),
        ...     "row_ids": tf.constant([0]),
        ...     "context_text": tf.constant(["Ann has pink"]),
        ...     "start_logits": tf.constant([[0.0, 1.0, 2.0, 5.0]]),
        ...     "end_logits": tf.constant([[0.0, 1.0, 2.0, 5.0]]),
        ... }
        >>> answer = decoder(window)
        >>> answer["text"].numpy().tolist(), answer["start"].numpy().tolist(), answer["end"].numpy().tolist()
        ([b'pink'], [8], [12])
    """

    def __init__(
        self,
        top_k: int = 5,
        max_answer_tokens: int = 30,
        allow_no_answer: bool = False,
        no_answer_threshold: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.top_k, self.max_answer_tokens = top_k, max_answer_tokens
        self.allow_no_answer, self.no_answer_threshold = allow_no_answer, no_answer_threshold
        self._convert_input_args = False  # Keras does not know string tensors

    def call(
        self,
        tensors: Mapping[str, tf.Tensor],
        max_answer_tokens: tf.Tensor | None = None,
        no_answer_threshold: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        row_ids, context = tensors["row_ids"], tensors["context_text"]
        rows = tf.size(context)
        logits = self._span_logits(tensors, max_answer_tokens)  # (windows, length, max_answer_tokens)
        opening_logits = tensors["start_logits"][:, 0] + tensors["end_logits"][:, 0]
        no_answer_logit = tf.math.unsorted_segment_min(opening_logits, row_ids, rows)
        if not self.allow_no_answer:
            no_answer_logit = tf.fill([rows], MASKED_LOGIT)
        log_total = _log_sum_exp(tf.reshape(logits, [tf.size(row_ids), -1]), row_ids, no_answer_logit)
        best_logits, starts, ends = self._best_spans(logits, tensors, rows)
        is_span = best_logits > MASKED_LOGIT / 2
        scores = tf.where(is_span, tf.exp(best_logits - log_total[:, tf.newaxis]), 0.0)
        starts, ends = tf.where(is_span, starts, -1), tf.where(is_span, ends, -1)
        texts = _substrings(context, starts, ends)
        no_answer_score = tf.exp(no_answer_logit - log_total)
        if no_answer_threshold is None:
            no_answer_threshold = tf.fill([rows], self.no_answer_threshold)
        is_answered = is_span[:, 0] & ~((no_answer_score >= no_answer_threshold) & self.allow_no_answer)
        return {
            "text": tf.where(is_answered, texts[:, 0], ""),
            "start": tf.where(is_answered, starts[:, 0], -1),
            "end": tf.where(is_answered, ends[:, 0], -1),
            "score": tf.where(is_answered, scores[:, 0], no_answer_score),
            "texts": texts,
            "starts": starts,
            "ends": ends,
            "scores": scores,
        }

    def _span_logits(self, tensors: Mapping[str, tf.Tensor], max_answer_tokens: tf.Tensor | None) -> tf.Tensor:
        """Compute the logits of the spans of each length from each token: (windows, length, max_answer_tokens)."""
        paddings = [[0, 0], [0, self.max_answer_tokens]]
        ends = tf.where(tensors["token_ends"] > 0, tensors["end_logits"], MASKED_LOGIT)
        ends = tf.signal.frame(tf.pad(ends, paddings, constant_values=MASKED_LOGIT), self.max_answer_tokens, 1, axis=1)
        ends = ends[:, : tf.shape(tensors["token_ends"])[1]]
        if max_answer_tokens is not None:
            limit = tf.gather(tf.maximum(max_answer_tokens, 1), tensors["row_ids"])
            is_too_long = tf.range(self.max_answer_tokens) >= limit[:, tf.newaxis]
            ends = tf.where(is_too_long[:, tf.newaxis], MASKED_LOGIT, ends)
        starts = tf.where(tensors["is_max_context"], tensors["start_logits"], MASKED_LOGIT)
        return tf.maximum(starts[:, :, tf.newaxis] + ends, MASKED_LOGIT)

    def _best_spans(
        self, logits: tf.Tensor, tensors: Mapping[str, tf.Tensor], rows: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Select the best spans of each row: (batch, top_k) logits, and the offsets at which they start and end."""
        row_ids, top_k = tensors["row_ids"], self.top_k
        flat = tf.reshape(logits, [tf.size(row_ids), -1])
        flat = tf.pad(flat, [[0, 0], [0, top_k]], constant_values=MASKED_LOGIT)
        window_logits, indices = tf.math.top_k(flat, top_k)  # of each window
        last_index = tf.shape(logits)[1] - 1
        first_tokens = tf.minimum(indices // self.max_answer_tokens, last_index)
        last_tokens = tf.minimum(first_tokens + indices % self.max_answer_tokens, last_index)
        starts = tf.gather(tensors["token_starts"], first_tokens, batch_dims=1)
        ends = tf.gather(tensors["token_ends"], last_tokens, batch_dims=1)
        windows = tf.RaggedTensor.from_value_rowids(
            tf.range(tf.size(row_ids)), tf.cast(row_ids, tf.int64), tf.cast(rows, tf.int64), validate=False
        ).to_tensor(-1)  # (batch, windows of a row)
        is_window = windows >= 0
        windows = tf.maximum(windows, 0)
        row_logits = tf.where(is_window[:, :, tf.newaxis], tf.gather(window_logits, windows), MASKED_LOGIT)
        best_logits, best = tf.math.top_k(tf.reshape(row_logits, [rows, -1]), top_k)

        def select_best(values: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.reshape(tf.gather(values, windows), [rows, -1]), best, batch_dims=1)

        return best_logits, select_best(starts), select_best(ends)

    def compute_output_spec(
        self,
        tensors: Mapping[str, keras.KerasTensor],
        max_answer_tokens: keras.KerasTensor | None = None,
        no_answer_threshold: keras.KerasTensor | None = None,
    ) -> dict[str, keras.KerasTensor]:
        dtypes = {"text": "string", "start": "int32", "end": "int32", "score": "float32"}
        specs = {name: keras.KerasTensor((None,), dtype) for name, dtype in dtypes.items()}
        return specs | {f"{name}s": keras.KerasTensor((None, self.top_k), dtype) for name, dtype in dtypes.items()}

    def get_config(self) -> dict[str, Any]:
        own = {
            "top_k": self.top_k,
            "max_answer_tokens": self.max_answer_tokens,
            "allow_no_answer": self.allow_no_answer,
            "no_answer_threshold": self.no_answer_threshold,
        }
        return {**super().get_config(), **own}


def _log_sum_exp(logits: tf.Tensor, row_ids: tf.Tensor, no_answer_logit: tf.Tensor) -> tf.Tensor:
    """Compute the log of the sum of exp over all windows of each row and its "no answer": (batch,)."""
    rows = tf.size(no_answer_logit)
    largest = tf.maximum(tf.math.unsorted_segment_max(tf.reduce_max(logits, axis=1), row_ids, rows), no_answer_logit)
    powers = tf.exp(logits - tf.gather(largest, row_ids)[:, tf.newaxis])
    total = tf.math.unsorted_segment_sum(tf.reduce_sum(powers, axis=1), row_ids, rows)
    return largest + tf.math.log(total + tf.exp(no_answer_logit - largest))


def _substrings(context: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Cut substrings by character offsets, (batch, top_k) string; empty where a start is negative."""
    top_k = starts.shape[1]
    texts = tf.strings.substr(
        tf.repeat(context, top_k),
        tf.reshape(tf.maximum(starts, 0), [-1]),
        tf.reshape(ends - starts, [-1]),
        unit="UTF8_CHAR",
    )
    return tf.reshape(texts, tf.shape(starts))
