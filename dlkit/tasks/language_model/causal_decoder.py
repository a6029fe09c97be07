"""Reading of prompts and decoding of the tokens after them, with networks that were trained on windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlkit.generation.beam_search import compute_log_probs
from dlkit.lazy import keras, tf

if TYPE_CHECKING:
    from dlkit.tasks.language_model.preset_decoder import PresetDecoder

LOGITS_AT_A_TIME = 1 << 23  # numbers: the logits of all tokens of all prompts may not fit into memory


class CausalDecoder:
    """Reads prompts and decodes token by token with a network of `dlkit.tasks.language_model.networks`.

    Args:
        network: the trained functional model, whose weights are used as they are.

    Attributes:
        one_row_at_a_time: whether prompts of different length cannot share a batch.
        vocabulary_size: number of ids.
        width: of the features.
    """

    one_row_at_a_time = False

    def __init__(self, network: keras.Model):
        self._embedding, self._decoder = network.get_layer("embedding"), network.get_layer("decoder")
        self.vocabulary_size, self.width = self._embedding.vocabulary_size, self._embedding.width

    def begin(
        self, token_ids: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, Any], list[Any]]:
        """Read prompts in one pass.

        Args:
            token_ids, segment_ids, positions: (rows, tokens) int32, of one segment each, padded on the left.

        Returns:
            Tuple of the features, (rows, tokens, width), of which `logits` computes the next tokens; what stays the
            same in all steps; and the cache.
        """
        return self._decoder.begin(self._embedding(token_ids), segment_ids, positions)

    def features(self, token_ids: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """Compute the features of windows, (rows, tokens, width)."""
        return self._decoder(self._embedding(token_ids), segment_ids, positions)

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """Compute the logits of the next tokens: (..., width) to (..., vocabulary) float32."""
        return self._embedding(features, reverse=True)

    def cache_shapes(self) -> list[Any]:
        """Return the shapes of the cache that hold for all steps."""
        return self._decoder.cache_shapes()

    def step(
        self, ids: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, Any], cache: list[Any]
    ) -> tuple[tf.Tensor, list[Any]]:
        """Decode one token of each row.

        Args:
            ids: (rows,) int32, the last token of each.
            position: () int32, the number of tokens since those of `begin`.
            encoded, cache: those of `begin`, and the cache of the last step.

        Returns:
            Tuple of the logits of the next token, (rows, vocabulary), and the cache after this step.
        """
        features, cache = self._decoder.step(self._embedding(ids), position, encoded, cache)
        return self.logits(features), cache


class MixtureDecoder(CausalDecoder):
    """Decodes with a network that has a mixture with n-grams, whose logits are the mixed log-probabilities."""

    def __init__(self, network: keras.Model):
        super().__init__(network)
        self._mixture = network.get_layer("mixture")

    def begin(
        self, token_ids: tf.Tensor, segment_ids: tf.Tensor, positions: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, Any], list[Any]]:
        features, encoded, cache = super().begin(token_ids, segment_ids, positions)
        return features, encoded, [*cache, token_ids]

    def cache_shapes(self) -> list[Any]:
        return [*super().cache_shapes(), tf.TensorShape([None, None])]

    def step(
        self, ids: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, Any], cache: list[Any]
    ) -> tuple[tf.Tensor, list[Any]]:
        *cache, before = cache
        so_far = tf.concat([before, ids[:, tf.newaxis]], 1)
        features, cache = self._decoder.step(self._embedding(ids), position, encoded, cache)
        segment_ids = tf.cast(so_far > 0, tf.int32)
        return self._mixture.mix(features, self.logits(features), so_far, segment_ids), [*cache, so_far]

    def mix(self, features: tf.Tensor, log_probs: tf.Tensor, token_ids: tf.Tensor, next_ids: tf.Tensor) -> tf.Tensor:
        """Mix the network's log-probabilities of the next tokens, (rows, tokens), with those of n-grams."""
        experts = self._mixture.score(token_ids, tf.cast(token_ids > 0, tf.int32), next_ids)
        return self._mixture.log_probs_of(features, log_probs, experts)


def make_decoder(network: keras.Model, context_length: int) -> CausalDecoder | PresetDecoder:
    """Make the decoder of a network.

    Args:
        network: one of `dlkit.tasks.language_model.networks`, or of `language_model_preset`.
        context_length: positive integer, maximum number of tokens that the network reads.
    """
    names = {layer.name for layer in network.layers}
    if "mixture" in names:
        return MixtureDecoder(network)
    if "decoder" in names:
        return CausalDecoder(network)
    from dlkit.tasks.language_model.preset_decoder import PresetDecoder

    return PresetDecoder(network, context_length)


def compute_token_bits(
    decoder: CausalDecoder | PresetDecoder, features: tf.Tensor, token_ids: tf.Tensor, next_ids: tf.Tensor
) -> tf.Tensor:
    """Compute the information of tokens, given those before them, in bits.

    Args:
        decoder: of the network.
        features: (rows, tokens, width), of the tokens before each.
        token_ids: (rows, tokens) int32, the tokens before each; of a row, they are one text.
        next_ids: (rows, tokens) int32; 0 where there is none.

    Returns:
        (rows, tokens) float32, 0 where there is no token.
    """
    flat, ids = tf.reshape(features, [-1, features.shape[-1]]), tf.reshape(next_ids, [-1])
    part, count = max(1, LOGITS_AT_A_TIME // decoder.vocabulary_size), tf.shape(flat)[0]

    def add_part(start: tf.Tensor, bits: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        log_probs = compute_log_probs(decoder.logits(flat[start : start + part]))
        found = tf.gather(log_probs, ids[start : start + part], batch_dims=1)
        return start + part, bits.write(start // part, found)

    array = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False, element_shape=[None])
    # One turn at least, though of no tokens: there is nothing to join otherwise.
    _, array = tf.while_loop(
        lambda start, _: (start < count) | (start == 0), add_part, (0, array), parallel_iterations=1
    )
    log_probs = tf.reshape(array.concat(), tf.shape(next_ids))
    if isinstance(decoder, MixtureDecoder):
        log_probs = decoder.mix(features, log_probs, token_ids, next_ids)
    return tf.where(next_ids > 0, -log_probs / tf.math.log(2.0), 0.0)
