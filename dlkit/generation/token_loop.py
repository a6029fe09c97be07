"""The loop that generates tokens, in the graph: greedy decoding, beam search, and sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from dlkit.generation.beam_search import (
    SearchState,
    advance,
    compute_log_probs,
    make_initial_state,
    make_state_shapes,
)
from dlkit.generation.sample_tokens import Sampling, draw_uniforms, penalize_repetition, sample_tokens
from dlkit.lazy import tf

MAX_BEAM_WIDTH = 16  # of a request


class Decoder(Protocol):
    """What decodes one token of each hypothesis at a time."""

    def cache_shapes(self) -> list[Any]:
        """Return the shapes of the cache that hold for all steps."""

    def step(self, ids: tf.Tensor, position: tf.Tensor, encoded: Any, cache: list[Any]) -> tuple[tf.Tensor, list[Any]]:
        """Decode the last tokens, (hypotheses,) int32: the logits of the next ones, (hypotheses, vocabulary), and the
        cache after this step. `position` is the number of tokens that were generated before, () int32.
        """


class TokenLoop:
    """One `tf.while_loop` for the requests of a batch, in which each row has options of its own.

    The loop stops when every row is done. The output of a row does not depend on the other rows of its batch.

    Args:
        decoder: decodes one token of each hypothesis at a time.
        max_tokens: (rows,) int32, maximum number of tokens to generate.
        beam_width: (rows,) int32, clipped to the range from 1 to 16; ignored by rows that sample.
        length_penalty: (rows,) float32.
        limit: positive integer, an upper bound of `max_tokens`.
        num_beams: the largest beam width, if it is known when the graph is built.
        sampling: how tokens are chosen, if any row samples or has a penalty of repetition.
        prompt_ids: (rows, tokens) int32, tokens before the generated ones, which count as repeated; None for none.
        is_stopped: maps the tokens of each row so far, of its best hypothesis, to whether it ends with them.
    """

    def __init__(
        self,
        decoder: Decoder,
        max_tokens: tf.Tensor,
        beam_width: tf.Tensor,
        length_penalty: tf.Tensor,
        *,
        limit: int,
        num_beams: int | None = None,
        sampling: Sampling | None = None,
        prompt_ids: tf.Tensor | None = None,
        is_stopped: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ):
        self._decoder, self._max_tokens = decoder, max_tokens
        self._length_penalty, self._sampling = length_penalty, sampling
        self._prompt_ids, self._is_stopped = prompt_ids, is_stopped
        beam_width = tf.clip_by_value(beam_width, 1, MAX_BEAM_WIDTH)
        if sampling is not None:
            beam_width = tf.where(sampling.temperature > 0, 1, beam_width)
            self._uniforms = draw_uniforms(sampling.seed, limit)
        self._beam_width = beam_width
        self.num_beams: Any = num_beams or tf.reduce_max(tf.concat([beam_width, [1]], 0))

    def start(self, first_ids: tf.Tensor, cache: list[Any], is_done: tf.Tensor) -> SearchState:
        """Make the state before the first step; see `make_initial_state`."""
        return make_initial_state(first_ids, self.num_beams, cache, is_done)

    def run(self, state: SearchState, encoded: Any, until: tf.Tensor | None = None) -> SearchState:
        """Generate tokens.

        Args:
            state: of `start`, or of the last call.
            encoded: what stays the same in all steps, for the decoder.
            until: () int32, the step to pause at; None to generate until every row is done.
        """

        def is_running(state: SearchState) -> tf.Tensor:
            running = tf.reduce_any(~state.is_done)
            return running if until is None else running & (state.step < until)

        shapes = make_state_shapes(self.num_beams, self._decoder.cache_shapes())
        (state,) = tf.while_loop(
            is_running, lambda state: (self._step(state, encoded),), (state,), shape_invariants=(shapes,)
        )
        return state

    def _step(self, state: SearchState, encoded: Any) -> SearchState:
        logits, cache = self._decoder.step(state.last_ids, state.step, encoded, state.cache)
        rows = tf.shape(state.is_done)[0]
        sampling = self._sampling
        if sampling is not None and sampling.repetition_penalty is not None:
            logits = self._penalize(logits, state.ids, sampling.repetition_penalty)
        log_probs = tf.reshape(compute_log_probs(logits), [rows, self.num_beams, logits.shape[-1]])
        if sampling is not None:
            log_probs = self._sample(log_probs, state.step, sampling)
        return advance(
            state, log_probs, cache, self._max_tokens, self._beam_width, self._length_penalty, self._is_stopped
        )

    def _penalize(self, logits: tf.Tensor, ids: tf.Tensor, penalty: tf.Tensor) -> tf.Tensor:
        def penalize() -> tf.Tensor:
            seen = tf.reshape(ids, [-1, tf.shape(ids)[2]])
            if self._prompt_ids is not None:
                seen = tf.concat([tf.repeat(self._prompt_ids, self.num_beams, axis=0), seen], 1)
            return penalize_repetition(tf.cast(logits, tf.float32), seen, tf.repeat(penalty, self.num_beams))

        return tf.cond(tf.reduce_any(penalty != 1), penalize, lambda: tf.cast(logits, tf.float32))

    def _sample(self, log_probs: tf.Tensor, step: tf.Tensor, sampling: Sampling) -> tf.Tensor:
        uniform = tf.gather(self._uniforms, step, axis=1)
        return tf.cond(
            tf.reduce_any(sampling.temperature > 0),
            lambda: sample_tokens(log_probs, sampling.temperature, sampling.top_k, sampling.top_p, uniform),
            lambda: log_probs,
        )
