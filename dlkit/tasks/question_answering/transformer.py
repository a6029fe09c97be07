"""A transformer encoder that reads question and context as one text."""

from __future__ import annotations

import keras_hub

from dlkit.lazy import keras, layers
from dlkit.tasks.question_answering.span_inputs import embed, span_logits, surface_inputs


def span_transformer(
    vocabulary_size: int, *, width: int = 128, heads: int = 4, hidden: int = 256, blocks: int = 3, dropout: float = 0.1
) -> keras.Model:
    """Transformer encoder with a logit for each token to begin or end the answer.

    Source: Vaswani et al., 2017, arXiv:1706.03762, the encoder, with layer normalization before each part (Xiong et
    al., 2020, arXiv:2002.04745); the way to point is that of Devlin et al., 2018, arXiv:1810.04805, section 4.2.

    Args:
        vocabulary_size: positive integer, number of ids.
        width: width of the embeddings and of every block; a multiple of `heads`.
        heads: number of attention heads.
        hidden: width of the feed-forward layers.
        blocks: number of encoder blocks.
        dropout: float in [0, 1), after the embeddings and in the blocks.

    Returns:
        keras.Model with the inputs and outputs of `bidaf`.
    """
    if width % heads:
        raise ValueError(f"`width` must be a multiple of `heads`. Received: width={width}, heads={heads}.")
    inputs = surface_inputs()
    x = layers.Dense(width, name="features")(embed(inputs, vocabulary_size, width, dropout))
    x = x + keras_hub.layers.SinePositionEncoding(name="positions")(x)
    for block in range(blocks):
        encoder = keras_hub.layers.TransformerEncoder(
            hidden, heads, dropout=dropout, activation="gelu", normalize_first=True, name=f"block_{block}"
        )
        x = encoder(x, padding_mask=inputs["padding_mask"])
    x = layers.LayerNormalization(name="norm")(x)
    return keras.Model(inputs, span_logits(x, x, inputs["padding_mask"]), name="span_transformer")
