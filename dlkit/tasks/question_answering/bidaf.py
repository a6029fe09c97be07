"""BiDAF: attention flow between question and context over recurrent layers."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, layers, ops, tf
from dlkit.tasks.question_answering.span_inputs import compute_span_logits, embed_tokens, make_lexical_inputs


def bidaf(vocabulary_size: int, *, width: int = 100, rnn_units: int = 64, dropout: float = 0.2) -> keras.Model:
    """Build a bidirectional attention flow network (BiDAF).

    Source: Seo et al., 2016, arXiv:1611.01603, with GRU in place of LSTM, the features of `embed_tokens` in place of
    the character-level network, and one recurrent layer that reads question and context as one sequence. The recurrent
    layer of the end reads the output of the modeling layer alone.

    Args:
        vocabulary_size: positive integer, number of ids.
        width: positive integer, width of the embeddings.
        rnn_units: positive integer, number of recurrent units per direction.
        dropout: float in [0, 1), dropout rate of the embeddings and before each recurrent layer.

    Returns:
        keras.Model from `token_ids`, `segment_ids`: (windows, length) int32, `padding_mask`: (windows, length) bool
        and `lexical_features`: (windows, length, 4) uint8 to `start_logits` and `end_logits`: (windows, length)
        float32.

    Examples:
        >>> network = bidaf(100, width=8, rnn_units=4)
        >>> sorted(network.output)
        ['end_logits', 'start_logits']
    """
    inputs = make_lexical_inputs()
    mask = inputs["padding_mask"]

    def add_rnn(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        # cuDNN's kernels refuse padding on the left and rows without a token.
        rnn = layers.Bidirectional(layers.GRU(rnn_units, return_sequences=True, use_cudnn=False), name=name)
        return rnn(layers.Dropout(dropout)(x), mask=mask)

    encoded = add_rnn(embed_tokens(inputs, vocabulary_size, width, dropout), "encoder")
    flow = AttentionFlow(name="attention_flow")(encoded, segment_ids=inputs["segment_ids"], padding_mask=mask)
    modeled = add_rnn(flow, "model")
    end = add_rnn(modeled, "end")
    start_features, end_features = (ops.concatenate([flow, x], axis=-1) for x in (modeled, end))
    return keras.Model(inputs, compute_span_logits(start_features, end_features, mask), name="bidaf")


@keras.saving.register_keras_serializable("dlkit")
class AttentionFlow(keras.layers.Layer):
    """Attends from each token to the question, and from the question to the context.

    The similarity of tokens i and j is w1 . h_i + w2 . h_j + (w3 * h_i) . h_j. Each token attends to those of the
    question; and the tokens of the context that are most similar to some token of the question are averaged. Source:
    Seo et al., 2016, arXiv:1611.01603, section 2, points 4 and 5.

    Call with `inputs`: (batch, length, channels) float; `segment_ids`: (batch, length) int32, 0 for the question and 1
    for the context; `padding_mask`: (batch, length) bool, true at tokens. Returns (batch, length, 4 * channels):
    inputs, attended question, and inputs times each of the two averages.

    Examples:
        >>> layer = AttentionFlow()
        >>> mask = tf.constant([[True, True, True]])
        >>> layer(tf.ones([1, 3, 8]), segment_ids=tf.constant([[0, 0, 1]]), padding_mask=mask).shape
        TensorShape([1, 3, 32])
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.query_weight, self.key_weight, self.product_weight = (
            self.add_weight(shape=(channels,), initializer=keras.initializers.RandomNormal(stddev=0.1), name=name)
            for name in ("query_weight", "key_weight", "product_weight")
        )

    def call(self, inputs: tf.Tensor, segment_ids: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        masked = ops.cast(-1e4 if self.compute_dtype == "float16" else -1e9, inputs.dtype)
        queries, keys = ops.sum(inputs * self.query_weight, axis=-1), ops.sum(inputs * self.key_weight, axis=-1)
        products = ops.matmul(inputs * self.product_weight, ops.transpose(inputs, (0, 2, 1)))
        similarity = products + queries[:, :, None] + keys[:, None, :]
        in_question = ops.logical_and(padding_mask, segment_ids == 0)
        in_context = ops.logical_and(padding_mask, segment_ids == 1)
        similarity = ops.where(in_question[:, None, :], similarity, masked)
        attended_question = ops.matmul(ops.softmax(similarity, axis=-1), inputs)
        relevance = ops.where(in_context, ops.max(similarity, axis=-1), masked)
        attended_context = ops.matmul(ops.softmax(relevance, axis=-1)[:, None, :], inputs)  # (batch, 1, channels)
        features = [inputs, attended_question, inputs * attended_question, inputs * attended_context]
        return ops.concatenate(features, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 4 * input_shape[-1])
