"""Generation of tokens in one loop inside the graph: greedy decoding, beam search, and sampling."""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.tasks.translation.incremental_decoder import make_incremental_decoder
from dlkit.tasks.translation.sample_tokens import draw_uniforms, sample_tokens
from dlkit.tasks.translation.subword_tokenizer import END_ID, PADDING_ID, START_ID

MAX_BEAM_WIDTH = 16  # of a request
NEGATIVE_INFINITY = float("-inf")  # the log-probability of impossible tokens

Sampling = namedtuple("Sampling", "temperature top_k top_p seed")
"""How to sample, (batch,) each: float32, int32, float32, int32. A row of temperature 0 uses beam search."""

_State = namedtuple(
    "_State",
    "step last_ids ids log_probs best_ids best_score best_log_prob best_length num_finished is_done cache",
)


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
        max_tokens = tf.clip_by_value(max_tokens, 1, self.max_tokens)
        beam_width = tf.clip_by_value(beam_width, 1, MAX_BEAM_WIDTH)
        uniforms = None
        if sampling is not None:
            beam_width = tf.where(sampling.temperature > 0, 1, beam_width)
            uniforms = draw_uniforms(sampling.seed, self.max_tokens)
        if num_beams is None:
            num_beams = tf.reduce_max(tf.concat([beam_width, [1]], 0))
        source_length = tf.reduce_max(tf.concat([tf.reduce_sum(tf.cast(padding_mask, tf.int32), 1), [1]], 0))
        decoder = make_incremental_decoder(self.network, self.max_tokens)
        encoded, cache = decoder.begin(token_ids[:, :source_length], padding_mask[:, :source_length], num_beams)
        rows = tf.shape(token_ids)[0]

        def is_running(state: _State) -> tf.Tensor:
            return tf.reduce_any(~state.is_done)

        def body(state: _State) -> tuple[_State]:
            logits, cache = decoder.step(state.last_ids, state.step, encoded, state.cache)
            log_probs = tf.reshape(compute_log_probs(logits), [rows, num_beams, logits.shape[-1]])
            if sampling is not None:
                uniform = tf.gather(uniforms, state.step, axis=1)
                log_probs = tf.cond(
                    tf.reduce_any(sampling.temperature > 0),
                    lambda: sample_tokens(log_probs, sampling.temperature, sampling.top_k, sampling.top_p, uniform),
                    lambda: log_probs,
                )
            return (_advance(state, log_probs, cache, max_tokens, beam_width, length_penalty),)

        start = _make_initial_state(rows, num_beams, cache)
        start = start._replace(is_done=token_ids[:, 0] == END_ID)
        shapes = _state_shapes(num_beams, decoder.cache_shapes())
        (state,) = tf.while_loop(is_running, body, (start,), shape_invariants=(shapes,))
        score = tf.exp(state.best_log_prob / tf.cast(tf.maximum(state.best_length, 1), tf.float32))
        is_ended = tf.reduce_any(state.best_ids == END_ID, axis=1) | start.is_done
        finish_reason = tf.where(is_ended, "stop", "length")
        return {"generated_ids": state.best_ids, "score": score, "finish_reason": finish_reason}

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


def compute_log_probs(logits: tf.Tensor) -> tf.Tensor:
    """Compute log-probabilities in which padding and the start token are impossible: (..., vocabulary) float32."""
    mask = tf.one_hot([PADDING_ID, START_ID], logits.shape[-1], on_value=NEGATIVE_INFINITY, off_value=0.0)
    return tf.nn.log_softmax(tf.cast(logits, tf.float32) + tf.reduce_sum(mask, 0))


def _make_initial_state(rows: tf.Tensor, num_beams: int | tf.Tensor, cache: list[Any]) -> _State:
    # All hypotheses of a row are equal at the start: only the first one is possible.
    first = tf.one_hot(0, num_beams, on_value=0.0, off_value=NEGATIVE_INFINITY)
    return _State(
        step=tf.constant(0),
        last_ids=tf.fill([rows * num_beams], START_ID),
        ids=tf.zeros([rows, num_beams, 0], tf.int32),
        log_probs=tf.tile(first[tf.newaxis], [rows, 1]),
        best_ids=tf.zeros([rows, 0], tf.int32),
        best_score=tf.fill([rows], NEGATIVE_INFINITY),
        best_log_prob=tf.zeros([rows]),
        best_length=tf.zeros([rows], tf.int32),
        num_finished=tf.zeros([rows], tf.int32),
        is_done=tf.zeros([rows], tf.bool),
        cache=cache,
    )


def _state_shapes(num_beams: int | tf.Tensor, cache_shapes: list[Any]) -> _State:
    row, beams = tf.TensorShape([None]), None if tf.is_tensor(num_beams) else num_beams
    return _State(
        step=tf.TensorShape([]),
        last_ids=row,
        ids=tf.TensorShape([None, beams, None]),
        log_probs=tf.TensorShape([None, beams]),
        best_ids=tf.TensorShape([None, None]),
        best_score=row,
        best_log_prob=row,
        best_length=row,
        num_finished=row,
        is_done=row,
        cache=cache_shapes,
    )


def _advance(
    state: _State,
    log_probs: tf.Tensor,
    cache: list[Any],
    max_tokens: tf.Tensor,
    beam_width: tf.Tensor,
    length_penalty: tf.Tensor,
) -> _State:
    """Compute the state after a step of beam search.

    Args:
        state: the state before the step.
        log_probs: (rows, beams, vocabulary) float32, of the next tokens.
        cache: the decoder's cache after the step, by hypothesis.
        max_tokens, beam_width, length_penalty: (rows,) each.
    """
    rows, num_beams, vocabulary_size = tf.shape(log_probs)[0], tf.shape(log_probs)[1], log_probs.shape[-1]
    total = tf.reshape(state.log_probs[:, :, tf.newaxis] + log_probs, [rows, -1])
    values, indices = tf.math.top_k(total, 2 * num_beams)  # at least half of them do not end
    parents, tokens = indices // vocabulary_size, indices % vocabulary_size
    is_end, rank = tokens == END_ID, tf.range(2 * num_beams)
    length = tf.fill([rows], state.step + 1)

    is_finished = is_end & (values > NEGATIVE_INFINITY) & (rank < beam_width[:, tf.newaxis])
    is_finished &= ~state.is_done[:, tf.newaxis]
    finished_log_prob = tf.reduce_max(tf.where(is_finished, values, NEGATIVE_INFINITY), 1)
    chosen = tf.argmax(tf.cast(is_finished, tf.int32), 1, tf.int32)  # the first one, which is the best
    parent = tf.gather(parents, chosen, batch_dims=1)
    ids = tf.pad(tf.gather(state.ids, parent, batch_dims=1), [[0, 0], [0, 1]], constant_values=END_ID)
    state = _update_best(state, ids, finished_log_prob, length, length_penalty)
    num_finished = state.num_finished + tf.reduce_sum(tf.cast(is_finished, tf.int32), 1)

    beam_log_probs, order = tf.math.top_k(tf.where(is_end, NEGATIVE_INFINITY, values), num_beams)
    beam_log_probs = tf.where(tf.range(num_beams) < beam_width[:, tf.newaxis], beam_log_probs, NEGATIVE_INFINITY)
    parents, tokens = (tf.gather(each, order, batch_dims=1) for each in (parents, tokens))
    beam_ids = tf.concat([tf.gather(state.ids, parents, batch_dims=1), tokens[:, :, tf.newaxis]], 2)

    is_last = state.step + 1 >= max_tokens
    is_unfinished = is_last & ~state.is_done & (num_finished == 0)
    unfinished_log_prob = tf.where(is_unfinished, beam_log_probs[:, 0], NEGATIVE_INFINITY)
    state = _update_best(state, beam_ids[:, 0], unfinished_log_prob, length, length_penalty, extend=False)
    if log_probs.shape[1] != 1:  # with one beam every hypothesis keeps its cache
        hypotheses = tf.reshape(tf.range(rows)[:, tf.newaxis] * num_beams + parents, [-1])
        cache = tf.nest.map_structure(lambda values: tf.gather(values, hypotheses), cache)
    return state._replace(
        step=state.step + 1,
        last_ids=tf.reshape(tokens, [-1]),
        ids=beam_ids,
        log_probs=beam_log_probs,
        num_finished=num_finished,
        is_done=state.is_done | is_last | (num_finished >= beam_width),
        cache=cache,
    )


def _update_best(
    state: _State,
    ids: tf.Tensor,
    log_prob: tf.Tensor,
    length: tf.Tensor,
    length_penalty: tf.Tensor,
    *,
    extend: bool = True,
) -> _State:
    """Replace the best hypotheses of rows where `ids`, of log-probability -inf for none, have a better score."""
    score = log_prob / ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** length_penalty
    is_better = score > state.best_score
    previous = tf.pad(state.best_ids, [[0, 0], [0, 1]]) if extend else state.best_ids
    return state._replace(
        best_ids=tf.where(is_better[:, tf.newaxis], ids, previous),
        best_score=tf.where(is_better, score, state.best_score),
        best_log_prob=tf.where(is_better, log_prob, state.best_log_prob),
        best_length=tf.where(is_better, length, state.best_length),
    )
