"""Networks that read one text and write another."""

from __future__ import annotations

from typing import Any, Literal

from dlkit.lazy import keras, layers
from dlkit.tasks.translation.gru_stacks import GruDecoder, GruEncoder
from dlkit.tasks.translation.token_embedding import TokenEmbedding
from dlkit.tasks.translation.transformer_stacks import TransformerDecoder, TransformerEncoder


def translation_transformer(
    vocabulary_size: int,
    *,
    width: int = 256,
    heads: int = 4,
    hidden: int = 1024,
    blocks: int = 2,
    dropout: float = 0.1,
    positions: Literal["sines", "relative"] = "sines",
) -> keras.Model:
    """Encoder-decoder transformer, normalized before each part, with one matrix for all embeddings.

    Source: Vaswani et al., 2017, arXiv:1706.03762; normalization as in Xiong et al., 2020, arXiv:2002.04745; relative
    positions as in T5, Raffel et al., 2020, arXiv:1910.10683.

    Args:
        vocabulary_size: positive integer, number of ids of both languages together.
        width: width of the embeddings and of every block; a multiple of `heads`.
        heads: number of attention heads.
        hidden: width of the feed-forward parts.
        blocks: number of blocks of the encoder, and of the decoder.
        dropout: float in [0, 1), after the embeddings and of what each part of a block adds.
        positions: "sines" or "relative".

    Returns:
        keras.Model from `token_ids`: (batch, read) int32, `padding_mask`: (batch, read) bool, true at tokens, and
        `decoder_ids`: (batch, written) int32, what is written, moved on by one, to `logits`: (batch, written,
        vocabulary_size) float32.
    """
    stack: dict[str, Any] = {
        "blocks": blocks,
        "heads": heads,
        "hidden": hidden,
        "dropout": dropout,
        "positions": positions,
    }
    encoder, decoder = TransformerEncoder(**stack, name="encoder"), TransformerDecoder(**stack, name="decoder")
    return _joined(vocabulary_size, width, encoder, decoder, "translation_transformer")


def translation_gru(
    vocabulary_size: int,
    *,
    width: int = 256,
    blocks: int = 1,
    attention: Literal["bahdanau", "luong"] = "luong",
    dropout: float = 0.1,
) -> keras.Model:
    """Recurrent encoder that reads both ways, recurrent decoder with attention, one matrix for all embeddings.

    Source: Bahdanau et al., 2015, arXiv:1409.0473, and Luong et al., 2015, arXiv:1508.04025, as `GruDecoder` says.

    Args:
        vocabulary_size: positive integer, number of ids of both languages together.
        width: width of the embeddings and of the states; an even number.
        blocks: recurrent layers of the encoder, and of the decoder.
        attention: "bahdanau" or "luong".
        dropout: float in [0, 1).

    Returns:
        keras.Model as of `translation_transformer`.
    """
    encoder = GruEncoder(blocks, dropout, name="encoder")
    decoder = GruDecoder(blocks, attention, dropout, name="decoder")
    return _joined(vocabulary_size, width, encoder, decoder, "translation_gru")


def _joined(vocabulary_size: int, width: int, encoder: layers.Layer, decoder: layers.Layer, name: str) -> keras.Model:
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
    decoder_ids = keras.Input((None,), dtype="int32", name="decoder_ids")
    embedding = TokenEmbedding(vocabulary_size, width, name="embedding")
    memory = encoder(embedding(token_ids), padding_mask)
    written = decoder(embedding(decoder_ids), memory, padding_mask)
    inputs = {"token_ids": token_ids, "padding_mask": padding_mask, "decoder_ids": decoder_ids}
    return keras.Model(inputs, {"logits": embedding(written, reverse=True)}, name=name)
