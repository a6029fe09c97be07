"""Attention flow between question and context over recurrent layers."""

import keras
from keras import layers, ops

from dlkit.layers.attention_flow import AttentionFlow
from dlkit.networks.span_inputs import embed, span_logits, surface_inputs


def bidaf(vocabulary_size, *, embedding=100, units=64, dropout=0.2):
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

    def read(x, name):
        # cuDNN's kernels refuse padding on the left and rows without a token.
        both = layers.Bidirectional(layers.GRU(units, return_sequences=True, use_cudnn=False), name=name)
        return both(layers.Dropout(dropout)(x), mask=mask)

    encoded = read(embed(inputs, vocabulary_size, embedding, dropout), "encoder")
    flow = AttentionFlow(name="attention_flow")(encoded, segment_ids=inputs["segment_ids"], padding_mask=mask)
    modelled = read(flow, "model")
    end = read(modelled, "end")
    logits = span_logits(*(ops.concatenate([flow, x], axis=-1) for x in (modelled, end)), mask)
    return keras.Model(inputs, logits, name="bidaf")
