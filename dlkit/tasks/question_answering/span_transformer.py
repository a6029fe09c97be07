"""A transformer encoder that reads question and context as one sequence."""

from __future__ import annotations

import keras_hub

from dlkit.lazy import keras, layers
from dlkit.tasks.question_answering.span_inputs import compute_span_logits, embed_tokens, make_lexical_inputs


def span_transformer(
    vocabulary_size: int,
    *,
    width: int = 128,
    heads: int = 4,
    feedforward_width: int = 256,
    blocks: int = 3,
    dropout: float = 0.1,
) -> keras.Model:
    """Build a transformer encoder with a logit for each token to be the first or last one of the answer.

    Source: Vaswani et al., 2017, arXiv:1706.03762, the encoder, with layer normalization before each sublayer (Xiong
    et al., 2020, arXiv:2002.04745); the output layers are those of Devlin et al., 2018, arXiv:1810.04805, section 4.2.

    Args:
        vocabulary_size: positive integer, number of ids.
        width: positive integer, width of the embeddings and of every block; a multiple of `heads`.
        heads: positive integer, number of attention heads.
        feedforward_width: positive integer, width of the feed-forward layers.
        blocks: positive integer, number of encoder blocks.
        dropout: float in [0, 1), dropout rate of the embeddings and in the blocks.

    Returns:
        keras.Model with the inputs and outputs of `bidaf`.

    Raises:
        ValueError: `width` is not a multiple of `heads`.

    Examples:
        >>> network = span_transformer(100, width=8, heads=2, feedforward_width=16, blocks=1)
        >>> sorted(network.output)
        ['end_logits', 'start_logits']
    """
    if width % heads:
        raise ValueError(f"`width` must be a multiple of `heads`. Received: width={width}, heads={heads}.")
    inputs = make_lexical_inputs()
    x = layers.Dense(width, name="features")(embed_tokens(inputs, vocabulary_size, width, dropout))
    x = x + keras_hub.layers.SinePositionEncoding(name="positions")(x)
    for block in range(blocks):
        encoder = keras_hub.layers.TransformerEncoder(
            feedforward_width, heads, dropout=dropout, activation="gelu", normalize_first=True, name=f"block_{block}"
        )
        x = encoder(x, padding_mask=inputs["padding_mask"])
    x = layers.LayerNormalization(name="norm")(x)
    return keras.Model(inputs, compute_span_logits(x, x, inputs["padding_mask"]), name="span_transformer")
