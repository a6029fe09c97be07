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


def make_decoder(network: keras.Model, context_length: int) -> CausalDecoder | PresetDecoder:
    """Make the decoder of a network.

    Args:
        network: one of `dlkit.tasks.language_model.networks`, or of `language_model_preset`.
        context_length: positive integer, maximum number of tokens that the network reads.
    """
    if any(layer.name == "decoder" for layer in network.layers):
        return CausalDecoder(network)
    from dlkit.tasks.language_model.preset_decoder import PresetDecoder

    return PresetDecoder(network, context_length)


def compute_token_bits(decoder: CausalDecoder | PresetDecoder, features: tf.Tensor, next_ids: tf.Tensor) -> tf.Tensor:
    """Compute the information of tokens, given those before them, in bits.

    Args:
        decoder: of the network.
        features: (rows, tokens, width), of the tokens before each.
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
    bits = -array.concat() / tf.math.log(2.0)
    return tf.reshape(tf.where(ids > 0, bits, 0.0), tf.shape(next_ids))
