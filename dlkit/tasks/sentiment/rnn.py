"""Recurrent networks over tokens."""

from __future__ import annotations

from dlkit.lazy import keras, layers
from dlkit.tasks.sentiment.attention_pooling import AttentionPooling

CELLS = {"lstm": layers.LSTM, "gru": layers.GRU}


def text_rnn(
    max_tokens: int | None,
    vocabulary_size: int,
    outputs: int,
    *,
    cell: str = "gru",
    width: int = 128,
    rnn_units: int = 64,
    blocks: int = 1,
    attention_width: int = 64,
    dropout: float = 0.3,
) -> keras.Model:
    """Build a bidirectional recurrent text classifier with attention pooling.

    Source: Yang et al., 2016, "Hierarchical Attention Networks", the word level; LSTM of Hochreiter and Schmidhuber,
    1997; GRU of Cho et al., 2014, arXiv:1406.1078.

    Args:
        max_tokens: positive integer, maximum sequence length in tokens; None for any length.
        vocabulary_size: positive integer, number of ids.
        outputs: positive integer, number of logits.
        cell: "lstm" or "gru".
        width: positive integer, width of the embeddings.
        rnn_units: positive integer, number of recurrent units per direction.
        blocks: positive integer, number of stacked recurrent layers.
        attention_width: positive integer, width of the hidden layer of the attention pooling.
        dropout: float in [0, 1), dropout rate after the embeddings, each recurrent layer and the pooling.

    Returns:
        keras.Model from `token_ids`: (batch, max_tokens) int32 and `padding_mask`: (batch, max_tokens) bool, true at
        tokens, to `logits`: (batch, outputs) float32.

    Examples:
        >>> network = text_rnn(16, 100, 2, cell="lstm", width=8, rnn_units=4)
        >>> network.output["logits"].shape
        (None, 2)
    """
    if cell not in CELLS:
        raise ValueError(f"`cell` must be one of {', '.join(CELLS)}. Received: cell={cell!r}.")
    token_ids = keras.Input((max_tokens,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((max_tokens,), dtype="bool", name="padding_mask")
    x = layers.Embedding(vocabulary_size, width, name="embedding")(token_ids)
    x = layers.Dropout(dropout)(x)
    for _ in range(blocks):
        # cuDNN's kernels refuse rows without a token, and a graph with them does not run elsewhere.
        recurrent = CELLS[cell](rnn_units, return_sequences=True, use_cudnn=False)
        x = layers.Bidirectional(recurrent)(x, mask=padding_mask)
        x = layers.Dropout(dropout)(x)
    x = AttentionPooling(attention_width, name="pooling")(x, padding_mask=padding_mask)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(outputs, dtype="float32", name="logits")(x)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
    return keras.Model(inputs, {"logits": logits}, name=f"text_{cell}")
