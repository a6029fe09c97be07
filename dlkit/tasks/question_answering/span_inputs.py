"""What all networks that point at spans share: their inputs, and logits at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dlkit.lazy import keras, layers, ops
from dlkit.tasks.question_answering.windows import SURFACE

FAR = -1e9  # the logit of padding: finite, and far enough for exp to be 0 beside a token


def token_inputs() -> dict[str, keras.KerasTensor]:
    """The inputs of a window by name, as `Windows` gives them, without `surface`."""
    return {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
        "segment_ids": keras.Input((None,), dtype="int32", name="segment_ids"),
        "padding_mask": keras.Input((None,), dtype="bool", name="padding_mask"),
    }


def surface_inputs() -> dict[str, keras.KerasTensor]:
    """The inputs of a window by name, with `surface`."""
    return {**token_inputs(), "surface": keras.Input((None, SURFACE), dtype="uint8", name="surface")}


def embed(
    inputs: Mapping[str, keras.KerasTensor], vocabulary_size: int, width: int, dropout: float
) -> keras.KerasTensor:
    """Embeddings with what is known of each token beside its id: (windows, length, width + 6).

    That is `surface`, the segment, and how rare a token is: ids go by frequency, 1 is what is not in the vocabulary.
    Source: Chen et al., 2017, arXiv:1704.00051, section 3.2, where such features are worth as much as anything else.
    """
    ids = inputs["token_ids"]
    start = keras.initializers.RandomNormal(stddev=0.3)
    x = layers.Embedding(vocabulary_size, width, embeddings_initializer=start, name="embedding")(ids)
    x = layers.Dropout(dropout)(x)
    rank = ops.cast(ops.where(ids == 1, vocabulary_size, ops.maximum(ids, 1)), x.dtype)
    rarity = ops.log(rank) / math.log(vocabulary_size)
    segment = ops.cast(inputs["segment_ids"], x.dtype)
    known = [ops.cast(inputs["surface"], x.dtype), segment[:, :, None], rarity[:, :, None]]
    return ops.concatenate([x, *known], axis=-1)


def span_logits(
    start: keras.KerasTensor, end: keras.KerasTensor, padding_mask: keras.KerasTensor
) -> dict[str, keras.KerasTensor]:
    """A logit for each token to be a span's first or last, by dense layers: two of (windows, length) float32."""
    logits = {}
    for name, features in (("start_logits", start), ("end_logits", end)):
        values = layers.Dense(1, dtype="float32", name=name)(features)[:, :, 0]
        logits[name] = ops.where(padding_mask, values, FAR)
    return logits
