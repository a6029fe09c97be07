"""A convolutional network over tokens."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import keras, layers, ops


def text_cnn(
    max_tokens: int | None,
    vocabulary_size: int,
    outputs: int,
    *,
    embedding: int = 128,
    filters: int = 100,
    widths: Sequence[int] = (3, 4, 5),
    dropout: float = 0.5,
) -> keras.Model:
    """One-layer convolutional text classifier: the strongest response of each filter anywhere in the text.

    Source: Kim, 2014, arXiv:1408.5882, trained from random embeddings ("CNN-rand"), with dropout on the embeddings
    too. Filters are centred on tokens and see zeros beyond the text, so short texts need no padding tokens.

    Args:
        max_tokens: positive integer, the width of `token_ids`.
        vocabulary_size: positive integer, number of ids.
        outputs: positive integer, number of logits.
        embedding: width of the embeddings.
        filters: number of filters of each width.
        widths: widths of the filters, in tokens.
        dropout: float in [0, 1), before the logits, and half of it on the embeddings.

    Returns:
        keras.Model from `token_ids`: (batch, max_tokens) int32 and `padding_mask`: (batch, max_tokens) bool, true at
        tokens, to `logits`: (batch, outputs) float32.
    """
    token_ids = keras.Input((max_tokens,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((max_tokens,), dtype="bool", name="padding_mask")
    x = layers.Embedding(vocabulary_size, embedding, name="embedding")(token_ids)
    x = layers.SpatialDropout1D(dropout / 2)(x)
    mask = ops.expand_dims(padding_mask, -1)
    x = ops.where(mask, x, 0.0)
    pooled = []
    for width in widths:
        response = layers.Conv1D(filters, width, padding="same", activation="relu", name=f"width_{width}")(x)
        # A relu's answers are 0 or more: 0 at padding never wins.
        pooled.append(ops.max(ops.where(mask, response, 0.0), 1))
    x = layers.Dropout(dropout)(ops.concatenate(pooled, -1))
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    return keras.Model(inputs, {"logits": logits}, name="text_cnn")
