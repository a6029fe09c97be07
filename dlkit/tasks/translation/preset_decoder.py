"""Token-by-token decoding with KerasHub's sequence-to-sequence models, in dlkit's ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlkit.lazy import keras, tf
from dlkit.text.subword_tokenizer import START_ID


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
