"""Writing token by token, in one loop inside the graph: greedy, by beam search, or by sampling."""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.tasks.translation.draw_tokens import draw_tokens, uniforms
from dlkit.tasks.translation.steppers import stepper_of
from dlkit.tasks.translation.subwords import END, PADDING, START

MOST_BEAMS = 16  # that a request may ask for
NONE = float("-inf")  # the log-probability of what cannot be

Draw = namedtuple("Draw", "temperature top_k top_p seed")
"""How to sample, for each row, (batch,) each: float32, int32, float32, int32. A row of temperature 0 is searched."""

_State = namedtuple("_State", "step last tokens log_probs best best_score best_log_prob best_length ended done grown")


@keras.saving.register_keras_serializable("dlkit")
class WriteTokens(keras.layers.Layer):
    """Writes what a network was taught to write.

    One `tf.while_loop` reads the source once, keeps the keys and values of what is written, and stops when every row
    has its answer. A row's answer does not depend on its batch.

    Beam search keeps the `width` best beginnings. One that ends is an answer, scored by its log-probability divided by
    ((5 + tokens) / 6) ** penalty: Wu et al., 2016, arXiv:1609.08144, equation 14, without coverage. The search of a row
    ends when `width` answers were found, as fairseq's does, or at its most tokens; the best answer is given. A width
    of 1 is greedy search.

    Call with `token_ids`, (batch, read) int32, and `padding_mask`, (batch, read) bool. Returns a dict of `written_ids`:
    (batch, written) int32, the end and then 0 after each row's; `score`: (batch,) float32, the geometric mean of its
    tokens' probabilities, the end included; and, if asked, `finish_reason`: (batch,) string, "stop" where a row's end
    was written, "length" where its most tokens were before.

    Args:
        network: as `translation_transformer` gives it.
        max_tokens: the most tokens to write, the end included.
        beam_width: integer, 1 to 16.
        length_penalty: float; above 0 it favours longer answers.
        nothing_of_nothing: whether a source of the end token alone is answered by nothing, with a score of 1.
        tell_finish: whether to give `finish_reason`.
    """

    def __init__(
        self,
        network: keras.Model,
        max_tokens: int,
        beam_width: int = 1,
        length_penalty: float = 1.0,
        nothing_of_nothing: bool = False,
        tell_finish: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.max_tokens = network, max_tokens
        self.beam_width, self.length_penalty = beam_width, length_penalty
        self.nothing_of_nothing, self.tell_finish = nothing_of_nothing, tell_finish

    def call(self, token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(token_ids)[0]
        return self.write(
            token_ids,
            padding_mask,
            tf.fill([rows], self.max_tokens),
            tf.fill([rows], self.beam_width),
            tf.fill([rows], self.length_penalty),
            beams=self.beam_width,
        )

    def write(
        self,
        token_ids: tf.Tensor,
        padding_mask: tf.Tensor,
        limit: tf.Tensor,
        width: tf.Tensor,
        penalty: tf.Tensor,
        *,
        beams: int | None = None,
        draw: Draw | None = None,
    ) -> dict[str, tf.Tensor]:
        """As `call`, with the most tokens, (batch,) int32, the width, int32, and the penalty, float32, of each row.

        Args:
            beams: the greatest width, if it is known before.
            draw: how to sample, if any row does; such a row has no use for its width.
        """
        limit = tf.clip_by_value(limit, 1, self.max_tokens)
        width = tf.clip_by_value(width, 1, MOST_BEAMS)
        chance = None
        if draw is not None:
            width = tf.where(draw.temperature > 0, 1, width)
            chance = uniforms(draw.seed, self.max_tokens)
        if beams is None:
            beams = tf.reduce_max(tf.concat([width, [1]], 0))
        read = tf.reduce_max(tf.concat([tf.reduce_sum(tf.cast(padding_mask, tf.int32), 1), [1]], 0))
        stepper = stepper_of(self.network, self.max_tokens)
        fixed, grown = stepper.begin(token_ids[:, :read], padding_mask[:, :read], beams)
        rows = tf.shape(token_ids)[0]

        def going(state: _State) -> tf.Tensor:
            return tf.reduce_any(~state.done)

        def body(state: _State) -> tuple[_State]:
            logits, kept = stepper.step(state.last, state.step, fixed, state.grown)
            log_probs = tf.reshape(possible(logits), [rows, beams, logits.shape[-1]])
            if draw is not None:
                now = tf.gather(chance, state.step, axis=1)
                log_probs = tf.cond(
                    tf.reduce_any(draw.temperature > 0),
                    lambda: draw_tokens(log_probs, draw.temperature, draw.top_k, draw.top_p, now),
                    lambda: log_probs,
                )
            return (_advanced(state, log_probs, kept, limit, width, penalty),)

        start = _started(rows, beams, grown)
        if self.nothing_of_nothing:
            start = start._replace(done=token_ids[:, 0] == END)
        (state,) = tf.while_loop(going, body, (start,), shape_invariants=(_shapes(beams, stepper.shapes()),))
        score = tf.exp(state.best_log_prob / tf.cast(tf.maximum(state.best_length, 1), tf.float32))
        written = {"written_ids": state.best, "score": score}
        if not self.tell_finish:
            return written
        stopped = tf.reduce_any(state.best == END, axis=1) | start.done
        return {**written, "finish_reason": tf.where(stopped, "stop", "length")}

    def compute_output_spec(
        self, token_ids: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> dict[str, keras.KerasTensor]:
        rows = token_ids.shape[0]
        specs = {
            "written_ids": keras.KerasTensor((rows, None), "int32"),
            "score": keras.KerasTensor((rows,), "float32"),
        }
        return {**specs, "finish_reason": keras.KerasTensor((rows,), "string")} if self.tell_finish else specs

    def get_config(self) -> dict[str, Any]:
        own = {
            "network": keras.saving.serialize_keras_object(self.network),
            "max_tokens": self.max_tokens,
            "beam_width": self.beam_width,
            "length_penalty": self.length_penalty,
            "nothing_of_nothing": self.nothing_of_nothing,
            "tell_finish": self.tell_finish,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)


def possible(logits: tf.Tensor) -> tf.Tensor:
    """The log-probabilities of tokens that may be written: not padding, not the start."""
    never = tf.one_hot([PADDING, START], logits.shape[-1], on_value=NONE, off_value=0.0)
    return tf.nn.log_softmax(tf.cast(logits, tf.float32) + tf.reduce_sum(never, 0))


def _started(rows: tf.Tensor, beams: int | tf.Tensor, grown: list[Any]) -> _State:
    first = tf.one_hot(0, beams, on_value=0.0, off_value=NONE)  # all hypotheses are the same: one counts
    return _State(
        step=tf.constant(0),
        last=tf.fill([rows * beams], START),
        tokens=tf.zeros([rows, beams, 0], tf.int32),
        log_probs=tf.tile(first[tf.newaxis], [rows, 1]),
        best=tf.zeros([rows, 0], tf.int32),
        best_score=tf.fill([rows], NONE),
        best_log_prob=tf.zeros([rows]),
        best_length=tf.zeros([rows], tf.int32),
        ended=tf.zeros([rows], tf.int32),
        done=tf.zeros([rows], tf.bool),
        grown=grown,
    )


def _shapes(beams: int | tf.Tensor, grown: list[Any]) -> _State:
    row, beams = tf.TensorShape([None]), None if tf.is_tensor(beams) else beams
    return _State(
        step=tf.TensorShape([]),
        last=row,
        tokens=tf.TensorShape([None, beams, None]),
        log_probs=tf.TensorShape([None, beams]),
        best=tf.TensorShape([None, None]),
        best_score=row,
        best_log_prob=row,
        best_length=row,
        ended=row,
        done=row,
        grown=grown,
    )


def _advanced(
    state: _State, log_probs: tf.Tensor, grown: list[Any], limit: tf.Tensor, width: tf.Tensor, penalty: tf.Tensor
) -> _State:
    """The state after a step.

    Args:
        state: before it.
        log_probs: (rows, beams, vocabulary) float32, of the next tokens.
        grown: what the network keeps of the step, by hypothesis.
        limit, width, penalty: (rows,) each.
    """
    rows, beams, size = tf.shape(log_probs)[0], tf.shape(log_probs)[1], log_probs.shape[-1]
    total = tf.reshape(state.log_probs[:, :, tf.newaxis] + log_probs, [rows, -1])
    values, places = tf.math.top_k(total, 2 * beams)  # at least half of them go on
    parents, tokens = places // size, places % size
    ends, rank = tokens == END, tf.range(2 * beams)
    length = tf.fill([rows], state.step + 1)

    answers = ends & (values > NONE) & (rank < width[:, tf.newaxis]) & ~state.done[:, tf.newaxis]
    found = tf.reduce_max(tf.where(answers, values, NONE), 1)
    chosen = tf.argmax(tf.cast(answers, tf.int32), 1, tf.int32)  # the first, which is the best
    parent = tf.gather(parents, chosen, batch_dims=1)
    written = tf.pad(tf.gather(state.tokens, parent, batch_dims=1), [[0, 0], [0, 1]], constant_values=END)
    state = _with_better(state, written, found, length, penalty)
    ended = state.ended + tf.reduce_sum(tf.cast(answers, tf.int32), 1)

    going_on, order = tf.math.top_k(tf.where(ends, NONE, values), beams)
    going_on = tf.where(tf.range(beams) < width[:, tf.newaxis], going_on, NONE)
    parents, tokens = (tf.gather(each, order, batch_dims=1) for each in (parents, tokens))
    history = tf.concat([tf.gather(state.tokens, parents, batch_dims=1), tokens[:, :, tf.newaxis]], 2)

    last = state.step + 1 >= limit
    unanswered = last & ~state.done & (ended == 0)
    state = _with_better(state, history[:, 0], tf.where(unanswered, going_on[:, 0], NONE), length, penalty, add=False)
    if log_probs.shape[1] != 1:  # else every hypothesis goes on with its own
        origin = tf.reshape(tf.range(rows)[:, tf.newaxis] * beams + parents, [-1])
        grown = tf.nest.map_structure(lambda kept: tf.gather(kept, origin), grown)
    return state._replace(
        step=state.step + 1,
        last=tf.reshape(tokens, [-1]),
        tokens=history,
        log_probs=going_on,
        ended=ended,
        done=state.done | last | (ended >= width),
        grown=grown,
    )


def _with_better(
    state: _State, written: tf.Tensor, log_prob: tf.Tensor, length: tf.Tensor, penalty: tf.Tensor, *, add: bool = True
) -> _State:
    """The state with these answers where they are better than those before; -inf for none."""
    score = log_prob / ((5.0 + tf.cast(length, tf.float32)) / 6.0) ** penalty
    better = score > state.best_score
    before = tf.pad(state.best, [[0, 0], [0, 1]]) if add else state.best
    return state._replace(
        best=tf.where(better[:, tf.newaxis], written, before),
        best_score=tf.where(better, score, state.best_score),
        best_log_prob=tf.where(better, log_prob, state.best_log_prob),
        best_length=tf.where(better, length, state.best_length),
    )
