"""A transformer encoder over tokens."""

from __future__ import annotations

import keras_hub

from dlkit.lazy import keras, layers
from dlkit.tasks.sentiment.attention_pooling import AttentionPooling


def text_transformer(
    max_tokens: int | None,
    vocabulary_size: int,
    outputs: int,
    *,
    width: int = 128,
    heads: int = 4,
    feedforward_width: int = 256,
    blocks: int = 2,
    dropout: float = 0.2,
) -> keras.Model:
    """Build a transformer encoder with attention pooling.

    Source: Vaswani et al., 2017, arXiv:1706.03762, the encoder, with layer normalization before each sublayer (Xiong
    et al., 2020, arXiv:2002.04745), which trains from scratch without warmup. The position encoding is sinusoidal: no
    weight depends on `max_tokens`.

    Args:
        max_tokens: positive integer, maximum sequence length in tokens; None for any length.
        vocabulary_size: positive integer, number of ids.
        outputs: positive integer, number of logits.
        width: positive integer, width of the embeddings and of every block; a multiple of `heads`.
        heads: positive integer, number of attention heads.
        feedforward_width: positive integer, width of the feed-forward layers.
        blocks: positive integer, number of encoder blocks.
        dropout: float in [0, 1), dropout rate after the embeddings, in the blocks and after the pooling.

    Returns:
        keras.Model from `token_ids`: (batch, max_tokens) int32 and `padding_mask`: (batch, max_tokens) bool, true at
        tokens, to `logits`: (batch, outputs) float32.

    Raises:
        ValueError: `width` is not a multiple of `heads`.

    Examples:
        >>> network = text_transformer(16, 100, 2, width=8, heads=2, feedforward_width=16, blocks=1)
        >>> network.output["logits"].shape
        (None, 2)
    """
    if width % heads:
        raise ValueError(f"`width` must be a multiple of `heads`. Received: width={width}, heads={heads}.")
    token_ids = keras.Input((max_tokens,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((max_tokens,), dtype="bool", name="padding_mask")
    # As large as the position encoding, so that neither dominates the other.
    initializer = keras.initializers.RandomNormal(stddev=0.5)
    x = layers.Embedding(vocabulary_size, width, embeddings_initializer=initializer, name="embedding")(token_ids)
    x = x + keras_hub.layers.SinePositionEncoding(name="positions")(x)
    x = layers.Dropout(dropout)(x)
    for block in range(blocks):
        encoder = keras_hub.layers.TransformerEncoder(
            feedforward_width, heads, dropout=dropout, activation="gelu", normalize_first=True, name=f"block_{block}"
        )
        x = encoder(x, padding_mask=padding_mask)
    x = layers.LayerNormalization(name="norm")(x)
    x = AttentionPooling(width, name="pooling")(x, padding_mask=padding_mask)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    return keras.Model(inputs, {"logits": logits}, name="text_transformer")
