"""How networks that were taught whole texts write them token by token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlkit.lazy import keras, tf
    from dlkit.tasks.translation.preset_stepper import PresetStepper


class Stepper:
    """A network of `dlkit.tasks.translation.networks`, one token after another.

    Args:
        network: the functional model that was trained; its weights are used as they are.
        max_tokens: the most steps.
    """

    def __init__(self, network: keras.Model, max_tokens: int):
        self._steps = max_tokens
        self._embedding, self._decoder = network.get_layer("embedding"), network.get_layer("decoder")
        self._encoder = network.get_layer("encoder")

    def begin(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, beams: int | tf.Tensor
    ) -> tuple[dict[str, Any], list[Any]]:
        """Reads the sources.

        Args:
            token_ids, padding_mask: (rows, read).
            beams: hypotheses of each row.

        Returns:
            What stays, by row; and what grows, by hypothesis: (rows * beams, ...), those of a row side by side.
        """
        memory = self._encoder(self._embedding(token_ids), padding_mask)
        return self._decoder.begin(memory, padding_mask, beams, self._steps)

    def shapes(self) -> list[Any]:
        """The shapes of what grows, over all steps."""
        return self._decoder.shapes()

    def step(
        self, ids: tf.Tensor, position: tf.Tensor, fixed: Mapping[str, Any], grown: list[Any]
    ) -> tuple[tf.Tensor, list[Any]]:
        """The logits, (hypotheses, vocabulary), after each one's token, (hypotheses,) int32, and what has grown."""
        written, grown = self._decoder.step(self._embedding(ids), position, fixed, grown)
        return self._embedding(written, reverse=True), grown


def stepper_of(network: keras.Model, max_tokens: int) -> Stepper | PresetStepper:
    """What steps through a network, by its layers.

    Args:
        network: of `dlkit.tasks.translation.networks`, or with a preset's backbone inside.
        max_tokens: the most steps.
    """
    if any(layer.name == "decoder" for layer in network.layers):
        return Stepper(network, max_tokens)
    from dlkit.tasks.translation.preset_stepper import PresetStepper

    return PresetStepper(network, max_tokens)
