"""Generation of texts after prompts, with options of each row."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from dlkit.generation.beam_search import SearchState
from dlkit.generation.sample_tokens import Sampling
from dlkit.generation.token_loop import TokenLoop
from dlkit.lazy import keras, tf
from dlkit.tasks.language_model.causal_decoder import CausalDecoder, compute_token_bits, make_decoder
from dlkit.tasks.language_model.stop_strings import StopStringFinder
from dlkit.text.subword_tokenizer import END_ID, decode_bytes, make_spellings

if TYPE_CHECKING:
    from dlkit.tasks.language_model.preset_decoder import PresetDecoder

Prompt = namedtuple("Prompt", "token_ids encoded bits")
"""Prompts that have been read: (rows, tokens) int32, padded on the left; what the decoder keeps; (rows,) float32."""


@keras.saving.register_keras_serializable("dlkit")
class TextGenerator(keras.layers.Layer):
    """Generates text after prompts: greedy, or sampled, with a penalty of repetition and with stop strings.

    The prompts are read in one pass, which also gives their information; one `tf.while_loop` then generates the tokens,
    with cached keys and values. The text of a row does not depend on the other rows of its batch.

    Call with `token_ids`: (batch, context_length) int32 and `padding_mask`: (batch, context_length) bool, padded on the
    left, for the options of the layer. Returns a dict:
        text: (batch,) string, UTF-8, without the stop string. A character that is not complete at the end is left out.
        finish_reason: (batch,) string, "stop" at the end token or a stop string, "length" if the maximum number of
            tokens was generated, or the context is full.
        prompt_bits: (batch,) float32, information of the prompt in bits.

    Args:
        network: a network of `dlkit.tasks.language_model.networks` or `language_model_preset`.
        subwords, byte_ids: those of the `SubwordTokenizer` of the prompts.
        context_length: positive integer, maximum number of tokens that the network reads.
        options: the options of a request and their values, as of `generate`.

    Examples:
        >>> from dlkit.tasks.language_model.networks import gpt
        >>> options = {"max_tokens": 3, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0,
        ...            "seed": 0, "stop": []}
        >>> generator = TextGenerator(gpt(260, width=8, heads=2, blocks=1), ["ab"], True, 4, options)
        >>> sorted(generator(tf.constant([[0, 0, 2, 100]]), tf.constant([[False, False, True, True]])))
        ['finish_reason', 'prompt_bits', 'text']
    """

    def __init__(
        self,
        network: keras.Model,
        subwords: Sequence[str],
        byte_ids: bool,
        context_length: int,
        options: Mapping[str, Any],
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.subwords, self.byte_ids = network, list(subwords), byte_ids
        self.context_length, self.options = context_length, dict(options)

    @functools.cached_property
    def decoder(self) -> CausalDecoder | PresetDecoder:
        """Decodes with the network."""
        with tf.init_scope():  # it may be made while a graph is traced
            return make_decoder(self.network, self.context_length)

    def call(self, token_ids: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(token_ids)[0]
        stop = tf.constant(self.options["stop"], tf.string, [1, len(self.options["stop"])])
        kinds = {"temperature": tf.float32, "top_p": tf.float32, "repetition_penalty": tf.float32}
        options = {
            name: tf.fill([rows], tf.cast(value, kinds.get(name, tf.int32)))
            for name, value in self.options.items()
            if name != "stop"
        }
        return self.generate(token_ids, padding_mask, {**options, "stop": tf.tile(stop, [rows, 1])})

    def generate(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, options: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Generate as `call` does, with options of each row.

        Args:
            token_ids, padding_mask: as of `call`.
            options: `max_tokens`, `top_k`, `seed`: (batch,) int32; `temperature`, `top_p`, `repetition_penalty`:
                (batch,) float32; `stop`: (batch, strings) string, "" for none.

        Returns:
            Dict as of `call`.
        """
        if self.decoder.one_row_at_a_time:
            return self._generate_alone(token_ids, padding_mask, options)
        return self._generate(token_ids, padding_mask, options)

    def start(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, options: Mapping[str, tf.Tensor]
    ) -> tuple[SearchState, Prompt]:
        """Read prompts: the state before the first token, and what stays the same."""
        longest = tf.reduce_max(tf.concat([tf.reduce_sum(tf.cast(padding_mask, tf.int32), 1), [1]], 0))
        ids, mask = token_ids[:, -longest:], padding_mask[:, -longest:]
        # The last token is read by the first step of the loop.
        known = tf.cast(mask[:, :-1], tf.int32)
        features, encoded, cache = self.decoder.begin(ids[:, :-1], known, tf.cumsum(known, 1, exclusive=True))
        bits = tf.reduce_sum(compute_token_bits(self.decoder, features, ids[:, :-1], known * ids[:, 1:]), 1)
        prompt = Prompt(ids, encoded, bits)
        is_done = self._clip_max_tokens(prompt, options) < 1
        return self._make_loop(prompt, options).start(ids[:, -1], cache, is_done), prompt

    def resume(
        self,
        state: SearchState,
        prompt: Prompt,
        options: Mapping[str, tf.Tensor],
        until: tf.Tensor | None = None,
    ) -> SearchState:
        """Generate from a state on, until every row is done or until this step, () int32."""
        return self._make_loop(prompt, options).run(state, prompt.encoded, until)

    def finish(self, state: SearchState, prompt: Prompt, options: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the text so far, as of `call`."""
        ids = tf.where(state.is_done[:, tf.newaxis], state.best_ids, state.ids[:, 0])
        finder = self._make_finder(options)
        text, is_stopped = finder.cut(finder.spell(ids))
        is_ended = is_stopped | tf.reduce_any(ids == END_ID, 1)
        return {
            "text": decode_bytes(text),
            "finish_reason": tf.where(is_ended, "stop", "length"),
            "prompt_bits": prompt.bits,
        }

    @functools.cached_property
    def traced_start(self) -> Any:
        """`start` as a graph."""
        return tf.function(self.start, reduce_retracing=True, autograph=False)

    @functools.cached_property
    def traced_advance(self) -> Any:
        """A graph that generates another token of each row: the state after it, and the text so far."""

        def advance(
            state: SearchState, prompt: Prompt, options: Mapping[str, tf.Tensor]
        ) -> tuple[SearchState, tf.Tensor]:
            state = self.resume(state, prompt, options, until=state.step + 1)
            return state, self.finish(state, prompt, options)["text"]

        return tf.function(advance, reduce_retracing=True, autograph=False)

    def _generate(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, options: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        state, prompt = self.start(token_ids, padding_mask, options)
        return self.finish(self.resume(state, prompt, options), prompt, options)

    def _generate_alone(
        self, token_ids: tf.Tensor, padding_mask: tf.Tensor, options: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Generate for one row after the other."""

        def generate(row: tuple[Any, ...]) -> dict[str, tf.Tensor]:
            ids, mask, own = tf.nest.map_structure(lambda values: values[tf.newaxis], row)
            return {name: values[0] for name, values in self._generate(ids, mask, own).items()}

        kinds = {"text": tf.string, "finish_reason": tf.string, "prompt_bits": tf.float32}
        return tf.map_fn(
            generate,
            (token_ids, padding_mask, dict(options)),
            fn_output_signature={name: tf.TensorSpec([], kind) for name, kind in kinds.items()},
            parallel_iterations=1,
        )

    def _make_loop(self, prompt: Prompt, options: Mapping[str, tf.Tensor]) -> TokenLoop:
        rows = tf.shape(prompt.token_ids)[0]
        # The first token, an end token, is not one that could be repeated.
        is_first = tf.cumsum(tf.cast(prompt.token_ids > 0, tf.int32), 1) == 1
        return TokenLoop(
            self.decoder,
            self._clip_max_tokens(prompt, options),
            tf.ones([rows], tf.int32),
            tf.zeros([rows]),
            limit=self.context_length,
            num_beams=1,
            sampling=Sampling(**{name: options[name] for name in Sampling._fields}),
            prompt_ids=tf.where(is_first, 0, prompt.token_ids),
            is_stopped=self._make_finder(options).is_stopped,
        )

    def _make_finder(self, options: Mapping[str, tf.Tensor]) -> StopStringFinder:
        return StopStringFinder(make_spellings(self.subwords, self.byte_ids), options["stop"])

    def _clip_max_tokens(self, prompt: Prompt, options: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the number of tokens that may be generated, (rows,) int32; the last one is not read."""
        count = tf.reduce_sum(tf.cast(prompt.token_ids > 0, tf.int32), 1)
        return tf.minimum(options["max_tokens"], self.context_length - count + 1)

    def compute_output_spec(
        self, token_ids: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> dict[str, keras.KerasTensor]:
        kinds = {"text": "string", "finish_reason": "string", "prompt_bits": "float32"}
        return {name: keras.KerasTensor(token_ids.shape[:1], kind) for name, kind in kinds.items()}

    def get_config(self) -> dict[str, Any]:
        own = {
            "network": keras.saving.serialize_keras_object(self.network),
            "subwords": self.subwords,
            "byte_ids": self.byte_ids,
            "context_length": self.context_length,
            "options": self.options,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)
