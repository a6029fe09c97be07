"""Attention flow between question and context over recurrent layers."""

from __future__ import annotations

from typing import Any

from dlkit.lazy import keras, layers, ops, tf
from dlkit.tasks.question_answering.span_inputs import embed, span_logits, surface_inputs


def bidaf(vocabulary_size: int, *, embedding: int = 100, units: int = 64, dropout: float = 0.2) -> keras.Model:
    """Bidirectional attention flow.

    Source: Seo et al., 2016, arXiv:1611.01603, with GRU in place of LSTM, the features of `embed` in place of the
    network over characters, and one recurrent layer that reads question and context as one text. The end's layer reads
    the modelling layer alone.

    Args:
        vocabulary_size: positive integer, number of ids.
        embedding: width of the embeddings.
        units: width of the state, in each direction.
        dropout: float in [0, 1), before each recurrent layer.

    Returns:
        keras.Model from `token_ids`, `segment_ids`: (windows, length) int32, `padding_mask`: (windows, length) bool
        and `surface`: (windows, length, 4) uint8 to `start_logits` and `end_logits`: (windows, length) float32.
    """
    inputs = surface_inputs()
    mask = inputs["padding_mask"]

    def read(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        # cuDNN's kernels refuse padding on the left and rows without a token.
        both = layers.Bidirectional(layers.GRU(units, return_sequences=True, use_cudnn=False), name=name)
        return both(layers.Dropout(dropout)(x), mask=mask)

    encoded = read(embed(inputs, vocabulary_size, embedding, dropout), "encoder")
    flow = AttentionFlow(name="attention_flow")(encoded, segment_ids=inputs["segment_ids"], padding_mask=mask)
    modelled = read(flow, "model")
    end = read(modelled, "end")
    features: tuple[keras.KerasTensor, keras.KerasTensor] = tuple(
        ops.concatenate([flow, x], axis=-1) for x in (modelled, end)
    )
    logits = span_logits(*features, mask)
    return keras.Model(inputs, logits, name="bidaf")


@keras.saving.register_keras_serializable("dlkit")
class AttentionFlow(keras.layers.Layer):
    """What a question says of each token of a context, and which tokens of the context the question is about.

    Similarity of tokens i and j: w1 . h_i + w2 . h_j + (w3 * h_i) . h_j. Each token attends to those of the question;
    and those of the context that are most similar to some token of the question are averaged. Source: Seo et al.,
    2016, arXiv:1611.01603, section 2, points 4 and 5.

    Call with `inputs`: (batch, length, channels) float; `segment_ids`: (batch, length) int32, 0 for the question and 1
    for the context; `padding_mask`: (batch, length) bool, true at tokens. Returns (batch, length, 4 * channels):
    inputs, attended question, and inputs times each of the two averages.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.own, self.other, self.product = (
            self.add_weight(shape=(channels,), initializer=keras.initializers.RandomNormal(stddev=0.1), name=name)
            for name in ("own", "other", "product")
        )

    def call(self, inputs: tf.Tensor, segment_ids: tf.Tensor, padding_mask: tf.Tensor) -> tf.Tensor:
        far = ops.cast(-1e4 if self.compute_dtype == "float16" else -1e9, inputs.dtype)
        own, other = ops.sum(inputs * self.own, axis=-1), ops.sum(inputs * self.other, axis=-1)
        products = ops.matmul(inputs * self.product, ops.transpose(inputs, (0, 2, 1)))
        similarity = products + own[:, :, None] + other[:, None, :]
        of_question = ops.logical_and(padding_mask, segment_ids == 0)
        of_context = ops.logical_and(padding_mask, segment_ids == 1)
        similarity = ops.where(of_question[:, None, :], similarity, far)
        asked = ops.matmul(ops.softmax(similarity, axis=-1), inputs)
        relevance = ops.where(of_context, ops.max(similarity, axis=-1), far)
        about = ops.matmul(ops.softmax(relevance, axis=-1)[:, None, :], inputs)  # (batch, 1, channels)
        return ops.concatenate([inputs, asked, inputs * asked, inputs * about], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 4 * input_shape[-1])
