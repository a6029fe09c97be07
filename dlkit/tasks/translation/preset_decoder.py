"""Token-by-token decoding with KerasHub's sequence-to-sequence models, in dlkit's ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.text.subword_tokenizer import START_ID


@keras.saving.register_keras_serializable("dlkit")
class PresetIds(keras.layers.Layer):
    """Converts dlkit's ids, of which 0 is padding, 1 the start and 2 the end token, to those of a preset.

    Call with ids, (...) int32, to get the preset's; or with `reverse=True` and the preset's logits, (..., vocabulary),
    to get logits in the order of dlkit's ids, float32.

    Args:
        preset_ids: list of int, the preset's id for each of dlkit's.

    Examples:
        >>> ids = PresetIds([3, 0, 2, 1])
        >>> ids(tf.constant([[1, 3]])).numpy().tolist()
        [[0, 1]]
    """

    def __init__(self, preset_ids: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.preset_ids = list(preset_ids)

    def call(self, inputs: tf.Tensor, reverse: bool = False) -> tf.Tensor:
        if reverse:
            return tf.gather(tf.cast(inputs, tf.float32), self.preset_ids, axis=-1)
        return tf.gather(self.preset_ids, inputs)

    def compute_output_spec(self, inputs: keras.KerasTensor, reverse: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, "float32" if reverse else "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preset_ids": self.preset_ids}


class PresetIncrementalDecoder:
    """Decodes token by token with a network of `translation_preset`, by KerasHub's caches; see `IncrementalDecoder`.

    Args:
        network: the trained functional model.
        max_tokens: positive integer, maximum number of steps, which is the length of the caches.
    """

    def __init__(self, network: keras.Model, max_tokens: int):
        self._ids, self._model = network.get_layer("ids"), network.get_layer("preset")
        self._max_tokens = max_tokens

    def begin(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, num_beams: int | tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Encode the sources: what stays the same, and the cache, both by hypothesis."""
        hidden = self._model.call_encoder(self._ids(token_ids), padding_mask=padding_mask)
        hidden, mask = (tf.repeat(each, num_beams, axis=0) for each in (hidden, padding_mask))
        first = tf.fill([tf.shape(hidden)[0], 1], START_ID)
        target_ids = tf.zeros([tf.shape(hidden)[0], self._max_tokens], tf.int32)
        cache, cross_cache = self._model._initialize_cache(mask, target_ids)
        # Keys and values of the source are computed along with a first token, which `step` decodes again.
        cross_cache = self._model.call_decoder_with_cache(hidden, mask, self._ids(first), cache, 0, cross_cache, 0)[3]
        return {"hidden": hidden, "mask": mask, "cross_cache": cross_cache}, [cache]

    def cache_shapes(self) -> list[tf.TensorShape]:
        """Return the shapes of the cache, whose length is constant."""
        backbone = self._model.backbone
        depth = getattr(backbone, "key_value_dim", None) or backbone.hidden_dim // backbone.num_heads
        return [tf.TensorShape([None, backbone.num_layers, 2, self._max_tokens, backbone.num_heads, depth])]

    def step(
        self, ids: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, tf.Tensor], cache: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Decode one token of each hypothesis: the logits of the next one, (hypotheses, vocabulary), and the cache."""
        logits, _, new_cache, _ = self._model.call_decoder_with_cache(
            encoded["hidden"],
            encoded["mask"],
            self._ids(ids[:, tf.newaxis]),
            cache[0],
            position,
            encoded["cross_cache"],
            None,
        )
        return self._ids(logits, reverse=True)[:, 0], [new_cache]
