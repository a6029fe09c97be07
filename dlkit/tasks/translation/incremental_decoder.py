"""Token-by-token decoding with networks that were trained on whole texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlkit.lazy import keras, tf
    from dlkit.tasks.translation.preset_decoder import PresetIncrementalDecoder


class IncrementalDecoder:
    """Decodes token by token with a network of `dlkit.tasks.translation.networks`.

    Args:
        network: the trained functional model, whose weights are used as they are.
        max_tokens: positive integer, maximum number of steps.
    """

    def __init__(self, network: keras.Model, max_tokens: int):
        self._max_tokens = max_tokens
        self._embedding, self._decoder = network.get_layer("embedding"), network.get_layer("decoder")
        self._encoder = network.get_layer("encoder")

    def begin(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, num_beams: int | tf.Tensor
    ) -> tuple[dict[str, Any], list[Any]]:
        """Encode the sources.

        Args:
            token_ids, padding_mask: (rows, source_length).
            num_beams: number of hypotheses of each row.

        Returns:
            Tuple of what stays the same, by row; and the cache, which changes with each step, by hypothesis: (rows *
            num_beams, ...), those of a row side by side.
        """
        memory = self._encoder(self._embedding(token_ids), padding_mask)
        return self._decoder.begin(memory, padding_mask, num_beams, self._max_tokens)

    def cache_shapes(self) -> list[Any]:
        """Return the shapes of the cache that hold for all steps."""
        return self._decoder.cache_shapes()

    def step(
        self, ids: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, Any], cache: list[Any]
    ) -> tuple[tf.Tensor, list[Any]]:
        """Decode one token of each hypothesis.

        Args:
            ids: (hypotheses,) int32, the last token of each.
            position: () int32, the number of tokens before it.
            encoded, cache: those of `begin`, and the cache of the last step.

        Returns:
            Tuple of the logits of the next token, (hypotheses, vocabulary), and the cache after this step.
        """
        features, cache = self._decoder.step(self._embedding(ids), position, encoded, cache)
        return self._embedding(features, reverse=True), cache


def make_incremental_decoder(network: keras.Model, max_tokens: int) -> IncrementalDecoder | PresetIncrementalDecoder:
    """Make the incremental decoder of a network.

    Args:
        network: one of `dlkit.tasks.translation.networks`, or of `translation_preset`.
        max_tokens: positive integer, maximum number of steps.
    """
    if any(layer.name == "decoder" for layer in network.layers):
        return IncrementalDecoder(network, max_tokens)
    from dlkit.tasks.translation.preset_decoder import PresetIncrementalDecoder

    return PresetIncrementalDecoder(network, max_tokens)
