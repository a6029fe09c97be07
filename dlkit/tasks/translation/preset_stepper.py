"""KerasHub's sequence-to-sequence models in dlkit's ids, and token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.translation.subwords import START


@keras.saving.register_keras_serializable("dlkit")
class PresetIds(keras.layers.Layer):
    """Between dlkit's ids, of which 0 is padding, 1 the start and 2 the end, and those of a preset.

    Call with ids, (...) int32, for the preset's; or with `reverse=True` and the preset's logits, (..., vocabulary), for
    logits in the order of dlkit's ids, float32.

    Args:
        order: list of int: the preset's id of each of dlkit's.
    """

    def __init__(self, order: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.order = list(order)

    def call(self, inputs: tf.Tensor, reverse: bool = False) -> tf.Tensor:
        if reverse:
            return tf.gather(tf.cast(inputs, tf.float32), self.order, axis=-1)
        return tf.gather(self.order, inputs)

    def compute_output_spec(self, inputs: keras.KerasTensor, reverse: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, "float32" if reverse else "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "order": self.order}


class PresetStepper:
    """A network of `translation_preset`, one token after another, by KerasHub's own caches. See `Stepper`.

    Args:
        network: the functional model.
        max_tokens: the most steps: the caches have room for them.
    """

    def __init__(self, network: keras.Model, max_tokens: int):
        self._ids, self._model = network.get_layer("ids"), network.get_layer("preset")
        self._room = max_tokens

    def begin(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, beams: int | tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """What stays and what grows, both by hypothesis."""
        hidden = self._model.call_encoder(self._ids(token_ids), padding_mask=padding_mask)
        hidden, mask = (tf.repeat(each, beams, axis=0) for each in (hidden, padding_mask))
        first = tf.fill([tf.shape(hidden)[0], 1], START)
        room = tf.zeros([tf.shape(hidden)[0], self._room], tf.int32)
        grown, read = self._model._initialize_cache(mask, room)
        # The keys and values of the source are made with a first token, whose own are made again.
        read = self._model.call_decoder_with_cache(hidden, mask, self._ids(first), grown, 0, read, 0)[3]
        return {"hidden": hidden, "mask": mask, "read": read}, [grown]

    def shapes(self) -> list[tf.TensorShape]:
        """The shapes of the caches, which have their room from the start."""
        backbone = self._model.backbone
        depth = getattr(backbone, "key_value_dim", None) or backbone.hidden_dim // backbone.num_heads
        return [tf.TensorShape([None, backbone.num_layers, 2, self._room, backbone.num_heads, depth])]

    def step(
        self, ids: tf.Tensor, position: tf.Tensor, fixed: Mapping[str, tf.Tensor], grown: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The logits, (hypotheses, vocabulary), after the token that each has now, and the caches."""
        logits, _, cache, _ = self._model.call_decoder_with_cache(
            fixed["hidden"],
            fixed["mask"],
            self._ids(ids[:, tf.newaxis]),
            grown[0],
            position,
            fixed["read"],
            None,
        )
        return self._ids(logits, reverse=True)[:, 0], [cache]
