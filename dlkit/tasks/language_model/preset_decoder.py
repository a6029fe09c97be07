"""Token-by-token decoding with KerasHub's causal language models, in dlkit's ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlkit.lazy import keras, tf
from dlkit.text.subword_tokenizer import END_ID


class PresetDecoder:
    """Reads prompts and decodes token by token with a network of `language_model_preset`; see `CausalDecoder`.

    KerasHub's caches have one position for all rows: rows are read one at a time.

    Args:
        network: the trained functional model.
        context_length: positive integer, the length of the cache.
    """

    one_row_at_a_time = True

    def __init__(self, network: keras.Model, context_length: int):
        from dlkit.tasks.language_model.preset import find_causal_class

        self._ids, backbone = network.get_layer("ids"), network.get_layer("backbone")
        self._begin, self._backbone = network.get_layer("begin"), backbone.backbone
        self._model = find_causal_class(type(self._backbone))(backbone=self._backbone, preprocessor=None)
        self.vocabulary_size = len(self._ids.preset_ids)
        # The shape of the cache is known to KerasHub alone, which reads a whole prompt to make one.
        traced = tf.function(self._model._build_cache, autograph=False)
        spec = tf.TensorSpec([1, context_length], tf.int32)
        self._cache_shape = traced.get_concrete_function(spec).structured_outputs[1].shape
        self.width = self._backbone.output.shape[-1]

    def begin(
        self, token_ids: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.Tensor]]:
        """Read the prompt of one row, without padding: its features, its length, and the cache."""
        del segment_ids
        count = tf.shape(token_ids)[1]
        # KerasHub reads one token at least; `step` reads it again, at the same place.
        read = tf.pad(token_ids, [[0, 0], [0, 1]], constant_values=END_ID)[:, : tf.maximum(count, 1)]
        place = tf.pad(positions, [[0, 0], [0, 1]])[:, : tf.maximum(count, 1)]
        cache = tf.zeros([1, *self._cache_shape[1:]], self._model.compute_dtype)
        _, hidden, cache = self._model.call_with_cache(self._ids(self._begin(read, place)), cache, 0)
        return hidden[:, :count], {"count": count}, [tf.ensure_shape(cache, [None, *self._cache_shape[1:]])]

    def features(self, token_ids: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Compute the features of windows, (rows, tokens, width)."""
        mask = tf.cast(segment_ids > 0, tf.int32)
        return self._backbone({"token_ids": self._ids(self._begin(token_ids, positions)), "padding_mask": mask})

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """Compute the logits of the next tokens: (..., width) to (..., vocabulary) float32."""
        return self._ids(self._backbone.token_embedding(features, reverse=True), reverse=True)

    def cache_shapes(self) -> list[tf.TensorShape]:
        """Return the shapes of the cache, whose length is constant."""
        return [tf.TensorShape([None, *self._cache_shape[1:]])]

    def step(
        self, ids: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, tf.Tensor], cache: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Decode one token of one row: the logits of the next one, (1, vocabulary), and the cache."""
        place = encoded["count"] + position
        read = self._begin(ids[:, tf.newaxis], tf.reshape(place, [1, 1]))
        logits, _, new_cache = self._model.call_with_cache(self._ids(read), cache[0], place)
        return self._ids(logits, reverse=True)[:, 0], [tf.ensure_shape(new_cache, [None, *self._cache_shape[1:]])]
