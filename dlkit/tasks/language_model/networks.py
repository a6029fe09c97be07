"""Networks of language models."""

from __future__ import annotations

from typing import Any, Literal

from dlkit.generation.token_embedding import TokenEmbedding
from dlkit.lazy import keras, layers
from dlkit.tasks.language_model.causal_gru import CausalGru
from dlkit.tasks.language_model.gpt import GptDecoder
from dlkit.tasks.language_model.ngram_experts import num_experts, num_features
from dlkit.tasks.language_model.ngram_mixture import NgramMixture


def gpt(
    vocabulary_size: int,
    *,
    context_length: int = 256,
    width: int = 256,
    heads: int = 4,
    feedforward_width: int = 1024,
    blocks: int = 4,
    feedforward: Literal["gelu", "swiglu"] = "gelu",
    positions: Literal["rotary", "learned"] = "rotary",
    dropout: float = 0.0,
    mixture: NgramMixture | None = None,
) -> keras.Model:
    """Build a causal transformer with pre-normalization and tied embeddings.

    Source: Radford et al., 2019, GPT-2, section 2.3, with rotary positions and RMS normalization as in Touvron et al.,
    2023, arXiv:2302.13971, section 2.2.

    Args:
        vocabulary_size: positive integer, number of ids.
        context_length: positive integer, number of learned positions.
        width: positive integer, width of the embeddings and of every block; an even multiple of `heads`.
        heads: positive integer, number of attention heads.
        feedforward_width: positive integer, hidden width of the feed-forward networks.
        blocks: positive integer, number of blocks.
        feedforward: "gelu", or "swiglu" for gated feed-forward networks.
        positions: "rotary" positions, or "learned" position embeddings.
        dropout: float in [0, 1), dropout rate after the embeddings and of the output of each sublayer.
        mixture: of the network with n-grams; None for the network alone.

    Returns:
        keras.Model from `token_ids`, `segment_ids` and `positions`, (batch, steps) int32 each, to `logits`: (batch,
        steps, vocabulary_size) float32, of the next tokens. Tokens attend to earlier ones of the same segment; 0 is the
        segment of padding. With a mixture, `expert_log_probs` and `expert_features` are inputs too, and `logits` are
        its outputs.

    Examples:
        >>> network = gpt(300, width=16, heads=2, feedforward_width=32, blocks=1)
        >>> network.output["logits"].shape
        (None, None, 300)
    """
    decoder = GptDecoder(
        blocks, heads, feedforward_width, context_length, feedforward, positions, dropout, name="decoder"
    )
    return _connect(vocabulary_size, width, decoder, mixture, "gpt")


def causal_gru(
    vocabulary_size: int,
    *,
    width: int = 256,
    blocks: int = 2,
    dropout: float = 0.0,
    mixture: NgramMixture | None = None,
) -> keras.Model:
    """Build a recurrent language model with tied embeddings.

    Args:
        vocabulary_size: positive integer, number of ids.
        width: positive integer, width of the embeddings and of the recurrent states.
        blocks: positive integer, number of recurrent layers.
        dropout: float in [0, 1), dropout rate.
        mixture: as of `gpt`.

    Returns:
        keras.Model with the inputs and outputs of `gpt`.

    Examples:
        >>> causal_gru(300, width=16).output["logits"].shape
        (None, None, 300)
    """
    return _connect(vocabulary_size, width, CausalGru(blocks, dropout, name="decoder"), mixture, "causal_gru")


def make_window_inputs() -> dict[str, keras.KerasTensor]:
    """Make the inputs of a network: `token_ids`, `segment_ids` and `positions`."""
    names = ("token_ids", "segment_ids", "positions")
    return {name: keras.Input((None,), dtype="int32", name=name) for name in names}


def _connect(
    vocabulary_size: int, width: int, decoder: layers.Layer, mixture: NgramMixture | None, name: str
) -> keras.Model:
    inputs: dict[str, Any] = make_window_inputs()
    embedding = TokenEmbedding(vocabulary_size, width, name="embedding")
    features = decoder(embedding(inputs["token_ids"]), inputs["segment_ids"], inputs["positions"])
    logits = embedding(features, reverse=True)
    if mixture is not None:
        sizes = {"expert_log_probs": num_experts(mixture.order), "expert_features": num_features(mixture.order)}
        experts = {name: keras.Input((None, size), dtype="float16", name=name) for name, size in sizes.items()}
        inputs |= experts
        logits = mixture(features, logits, *experts.values())
    return keras.Model(inputs, {"logits": logits}, name=name)
