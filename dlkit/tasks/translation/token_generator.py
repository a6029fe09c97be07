"""Generation of the tokens of a translation: greedy decoding, beam search, and sampling."""

from __future__ import annotations

from typing import Any, Self

from dlkit.generation.beam_search import compute_mean_probability
from dlkit.generation.sample_tokens import Sampling
from dlkit.generation.token_loop import TokenLoop
from dlkit.lazy import keras, tf
from dlkit.tasks.translation.incremental_decoder import make_incremental_decoder
from dlkit.text.subword_tokenizer import END_ID, START_ID


@keras.saving.register_keras_serializable("dlkit")
class TokenGenerator(keras.layers.Layer):
    """Generates token ids with an encoder-decoder network, by greedy decoding or beam search.

    One `tf.while_loop` encodes the source once, caches keys and values of the generated tokens, and stops when every
    row is finished. The output of a row does not depend on the other rows of its batch.

    Beam search keeps the `beam_width` best hypotheses. A hypothesis that ends is finished, and its score is its
    log-probability divided by ((5 + tokens) / 6) ** length_penalty: Wu et al., 2016, arXiv:1609.08144, equation 14,
    without coverage. The search of a row stops when `beam_width` hypotheses are finished, as in fairseq, or at its
    maximum number of tokens; the finished hypothesis with the best score is returned. A beam width of 1 is greedy
    decoding. A source of the end token alone gives an empty sequence, with a score of 1.

    Call with `token_ids`: (batch, source_length) int32 and `padding_mask`: (batch, source_length) bool, true at
    tokens. Returns a dict:
        generated_ids: (batch, length) int32, with the end token and then 0 after the tokens of each row.
        score: (batch,) float32, the geometric mean of the probabilities of the tokens, the end token included.
        finish_reason: (batch,) string, "stop" if the end token was generated, "length" if the maximum number of tokens
            was reached before.

    Args:
        network: a network of `dlkit.tasks.translation.networks` or `translation_preset`.
        max_tokens: positive integer, maximum number of tokens to generate, the end token included.
        beam_width: integer from 1 to 16, number of beams.
        length_penalty: non-negative float; higher values favor longer outputs.

    Examples:
        >>> from dlkit.tasks.translation.networks import translation_transformer
        >>> network = translation_transformer(20, width=8, heads=2, feedforward_width=16, blocks=1)
        >>> generator = TokenGenerator(network, max_tokens=6, beam_width=2)
        >>> outputs = generator(tf.constant([[5, 7, 2]]), tf.constant([[True, True, True]]))
        >>> sorted(outputs)
        ['finish_reason', 'generated_ids', 'score']
    """

    def __init__(
        self,
        network: keras.Model,
        max_tokens: int,
        beam_width: int = 1,
        length_penalty: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.max_tokens = network, max_tokens
        self.beam_width, self.length_penalty = beam_width, length_penalty

    def call(self, token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(token_ids)[0]
        return self.generate(
            token_ids,
            padding_mask,
            tf.fill([rows], self.max_tokens),
            tf.fill([rows], self.beam_width),
            tf.fill([rows], self.length_penalty),
            num_beams=self.beam_width,
        )

    def generate(
        self,
        token_ids: tf.Tensor,
        padding_mask: tf.Tensor,
        max_tokens: tf.Tensor,
        beam_width: tf.Tensor,
        length_penalty: tf.Tensor,
        *,
        num_beams: int | None = None,
        sampling: Sampling | None = None,
    ) -> dict[str, tf.Tensor]:
        """Generate as `call` does, with options of each row.

        Args:
            token_ids: (batch, source_length) int32.
            padding_mask: (batch, source_length) bool, true at tokens.
            max_tokens: (batch,) int32, clipped to the range from 1 to the layer's own.
            beam_width: (batch,) int32, clipped to the range from 1 to 16; ignored by rows that sample.
            length_penalty: (batch,) float32.
            num_beams: the largest beam width, if it is known when the graph is built.
            sampling: how to sample, if any row does.

        Returns:
            Dict as of `call`.
        """
        decoder = make_incremental_decoder(self.network, self.max_tokens)
        loop = TokenLoop(
            decoder,
            tf.clip_by_value(max_tokens, 1, self.max_tokens),
            beam_width,
            length_penalty,
            limit=self.max_tokens,
            num_beams=num_beams,
            sampling=sampling,
        )
        source_length = tf.reduce_max(tf.concat([tf.reduce_sum(tf.cast(padding_mask, tf.int32), 1), [1]], 0))
        encoded, cache = decoder.begin(token_ids[:, :source_length], padding_mask[:, :source_length], loop.num_beams)
        rows = tf.shape(token_ids)[0]
        start = loop.start(tf.fill([rows], START_ID), cache, is_done=token_ids[:, 0] == END_ID)
        state = loop.run(start, encoded)
        is_ended = tf.reduce_any(state.best_ids == END_ID, axis=1) | start.is_done
        finish_reason = tf.where(is_ended, "stop", "length")
        return {
            "generated_ids": state.best_ids,
            "score": compute_mean_probability(state),
            "finish_reason": finish_reason,
        }

    def compute_output_spec(
        self, token_ids: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> dict[str, keras.KerasTensor]:
        rows = token_ids.shape[0]
        return {
            "generated_ids": keras.KerasTensor((rows, None), "int32"),
            "score": keras.KerasTensor((rows,), "float32"),
            "finish_reason": keras.KerasTensor((rows,), "string"),
        }

    def get_config(self) -> dict[str, Any]:
        own = {
            "network": keras.saving.serialize_keras_object(self.network),
            "max_tokens": self.max_tokens,
            "beam_width": self.beam_width,
            "length_penalty": self.length_penalty,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)
