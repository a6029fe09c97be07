"""What all span networks have in common: their inputs, the embedding of tokens, and the output layers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dlkit.lazy import keras, layers, ops
from dlkit.tasks.question_answering.window_packer import NUM_LEXICAL_FEATURES

MASKED_LOGIT = -1e9  # the logit of padding: finite, and low enough for exp to be 0 beside a token


def make_token_inputs() -> dict[str, keras.KerasTensor]:
    """Make the inputs of a network for windows by name, as `WindowPacker` returns them, without lexical features."""
    return {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
        "segment_ids": keras.Input((None,), dtype="int32", name="segment_ids"),
        "padding_mask": keras.Input((None,), dtype="bool", name="padding_mask"),
    }


def make_lexical_inputs() -> dict[str, keras.KerasTensor]:
    """Make the inputs of a network for windows by name, with `lexical_features`."""
    features = keras.Input((None, NUM_LEXICAL_FEATURES), dtype="uint8", name="lexical_features")
    return {**make_token_inputs(), "lexical_features": features}


def embed_tokens(
    inputs: Mapping[str, keras.KerasTensor], vocabulary_size: int, width: int, dropout: float
) -> keras.KerasTensor:
    """Embed tokens and concatenate their other features: (windows, length, width + 6).

    The features are `lexical_features`, the segment, and how rare a token is: ids are sorted by frequency, and 1 is
    the unknown token. Source: Chen et al., 2017, arXiv:1704.00051, section 3.2, where such features matter as much as
    anything else.

    Args:
        inputs: those of `make_lexical_inputs`.
        vocabulary_size: positive integer, number of ids.
        width: positive integer, width of the embeddings.
        dropout: float in [0, 1), dropout rate of the embeddings.
    """
    ids = inputs["token_ids"]
    initializer = keras.initializers.RandomNormal(stddev=0.3)
    x = layers.Embedding(vocabulary_size, width, embeddings_initializer=initializer, name="embedding")(ids)
    x = layers.Dropout(dropout)(x)
    rank = ops.cast(ops.where(ids == 1, vocabulary_size, ops.maximum(ids, 1)), x.dtype)
    rarity = ops.log(rank) / math.log(vocabulary_size)
    segment = ops.cast(inputs["segment_ids"], x.dtype)
    features = [ops.cast(inputs["lexical_features"], x.dtype), segment[:, :, None], rarity[:, :, None]]
    return ops.concatenate([x, *features], axis=-1)


def compute_span_logits(
    start_features: keras.KerasTensor, end_features: keras.KerasTensor, padding_mask: keras.KerasTensor
) -> dict[str, keras.KerasTensor]:
    """Add the output layers: dense layers for the logits of each token to be the first or last one of a span.

    Args:
        start_features, end_features: (windows, length, channels).
        padding_mask: (windows, length) bool, true at tokens.

    Returns:
        `start_logits` and `end_logits`: (windows, length) float32 each.
    """
    logits = {}
    for name, features in (("start_logits", start_features), ("end_logits", end_features)):
        values = layers.Dense(1, dtype="float32", name=name)(features)[:, :, 0]
        logits[name] = ops.where(padding_mask, values, MASKED_LOGIT)
    return logits
