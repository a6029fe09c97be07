"""Encoder-decoder networks for translation."""

from __future__ import annotations

from typing import Any, Literal

from dlkit.generation.token_embedding import TokenEmbedding
from dlkit.layers.transformer_stacks import TransformerDecoder, TransformerEncoder
from dlkit.lazy import keras, layers
from dlkit.tasks.translation.gru_stacks import GruDecoder, GruEncoder


def translation_transformer(
    vocabulary_size: int,
    *,
    width: int = 256,
    heads: int = 4,
    feedforward_width: int = 1024,
    blocks: int = 2,
    dropout: float = 0.1,
    positions: Literal["sinusoidal", "relative"] = "sinusoidal",
) -> keras.Model:
    """Build an encoder-decoder transformer with pre-layer normalization and tied embeddings.

    Source: Vaswani et al., 2017, arXiv:1706.03762; normalization as in Xiong et al., 2020, arXiv:2002.04745; relative
    positions as in T5, Raffel et al., 2020, arXiv:1910.10683.

    Args:
        vocabulary_size: positive integer, number of ids of both languages together.
        width: positive integer, width of the embeddings and of every block; a multiple of `heads`.
        heads: positive integer, number of attention heads.
        feedforward_width: positive integer, width of the feed-forward layers.
        blocks: positive integer, number of encoder blocks, and of decoder blocks.
        dropout: float in [0, 1), dropout rate after the embeddings and of the output of each sublayer.
        positions: "sinusoidal" position encoding, or T5's "relative" position biases.

    Returns:
        keras.Model from `token_ids`: (batch, source_length) int32, `padding_mask`: (batch, source_length) bool, true at
        tokens, and `decoder_ids`: (batch, target_length) int32, the target shifted right by one, to `logits`: (batch,
        target_length, vocabulary_size) float32.

    Examples:
        >>> network = translation_transformer(300, width=16, heads=2, feedforward_width=32, blocks=1)
        >>> network.output["logits"].shape
        (None, None, 300)
    """
    options: dict[str, Any] = {
        "blocks": blocks,
        "heads": heads,
        "feedforward_width": feedforward_width,
        "dropout": dropout,
        "positions": positions,
    }
    encoder, decoder = TransformerEncoder(**options, name="encoder"), TransformerDecoder(**options, name="decoder")
    return _connect(vocabulary_size, width, encoder, decoder, "translation_transformer")


def translation_gru(
    vocabulary_size: int,
    *,
    width: int = 256,
    blocks: int = 1,
    attention: Literal["bahdanau", "luong"] = "luong",
    dropout: float = 0.1,
) -> keras.Model:
    """Build a bidirectional recurrent encoder and a recurrent decoder with attention, with tied embeddings.

    Source: Bahdanau et al., 2015, arXiv:1409.0473, and Luong et al., 2015, arXiv:1508.04025, as described in
    `GruDecoder`.

    Args:
        vocabulary_size: positive integer, number of ids of both languages together.
        width: positive even integer, width of the embeddings and of the recurrent states.
        blocks: positive integer, number of recurrent layers of the encoder, and of the decoder.
        attention: "bahdanau" or "luong".
        dropout: float in [0, 1), dropout rate.

    Returns:
        keras.Model with the inputs and outputs of `translation_transformer`.

    Examples:
        >>> network = translation_gru(300, width=16)
        >>> network.output["logits"].shape
        (None, None, 300)
    """
    encoder = GruEncoder(blocks, dropout, name="encoder")
    decoder = GruDecoder(blocks, attention, dropout, name="decoder")
    return _connect(vocabulary_size, width, encoder, decoder, "translation_gru")


def _connect(vocabulary_size: int, width: int, encoder: layers.Layer, decoder: layers.Layer, name: str) -> keras.Model:
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    decoder_ids = keras.Input((None,), dtype="int32", name="decoder_ids")
    embedding = TokenEmbedding(vocabulary_size, width, name="embedding")
    memory = encoder(embedding(token_ids), padding_mask)
    outputs = decoder(embedding(decoder_ids), memory, padding_mask)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask, "decoder_ids": decoder_ids}
    return keras.Model(inputs, {"logits": embedding(outputs, reverse=True)}, name=name)
