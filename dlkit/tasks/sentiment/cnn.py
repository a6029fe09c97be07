"""A convolutional network over tokens."""

from __future__ import annotations

from collections.abc import Sequence

from dlkit.lazy import keras, layers, ops


def text_cnn(
    max_tokens: int | None,
    vocabulary_size: int,
    outputs: int,
    *,
    width: int = 128,
    filters: int = 100,
    kernel_sizes: Sequence[int] = (3, 4, 5),
    dropout: float = 0.5,
) -> keras.Model:
    """Build a convolutional text classifier with one layer and global max pooling.

    Source: Kim, 2014, arXiv:1408.5882, trained from random embeddings ("CNN-rand"), with dropout on the embeddings
    too. Filters are centered on tokens, and padding counts as zero.

    Args:
        max_tokens: positive integer, maximum sequence length in tokens; None for any length.
        vocabulary_size: positive integer, number of ids.
        outputs: positive integer, number of logits.
        width: positive integer, width of the embeddings.
        filters: positive integer, number of filters of each kernel size.
        kernel_sizes: sizes of the filters, in tokens.
        dropout: float in [0, 1), dropout rate before the logits; that of the embeddings is half of it.

    Returns:
        keras.Model from `token_ids`: (batch, max_tokens) int32 and `padding_mask`: (batch, max_tokens) bool, true at
        tokens, to `logits`: (batch, outputs) float32.

    Examples:
        >>> network = text_cnn(16, 100, 2, width=8, filters=4)
        >>> network.output["logits"].shape
        (None, 2)
    """
    token_ids = keras.Input((max_tokens,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((max_tokens,), dtype="bool", name="padding_mask")
    x = layers.Embedding(vocabulary_size, width, name="embedding")(token_ids)
    x = layers.SpatialDropout1D(dropout / 2)(x)
    mask = ops.expand_dims(padding_mask, -1)
    x = ops.where(mask, x, 0.0)
    pooled = []
    for kernel_size in kernel_sizes:
        response = layers.Conv1D(
            filters, kernel_size, padding="same", activation="relu", name=f"kernel_size_{kernel_size}"
        )(x)
        # The outputs of a ReLU are not negative: the 0 of padding is never larger than one of a token.
        pooled.append(ops.max(ops.where(mask, response, 0.0), 1))
    x = layers.Dropout(dropout)(ops.concatenate(pooled, -1))
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    return keras.Model(inputs, {"logits": logits}, name="text_cnn")
