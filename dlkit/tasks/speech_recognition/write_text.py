"""Generation of a text, character by character, with a network that has a decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from dlkit.generation.beam_search import compute_mean_probability
from dlkit.generation.token_loop import TokenLoop
from dlkit.lazy import keras, tf
from dlkit.tasks.speech_recognition.ctc_loss import close_padded_frames
from dlkit.tasks.speech_recognition.networks import FIRST_CHARACTER_ID
from dlkit.text.subword_tokenizer import END_ID, START_ID


def shift_characters(characters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Make what a decoder reads and what it is to write next.

    Args:
        characters: (batch, length) int32, class ids of the characters of each text, padded with -1.

    Returns:
        Tuple of the inputs, which begin with the start, and the targets, which end with the end: (batch, length + 1)
        int32 each, ids as of `networks.attention`.

    Examples:
        >>> [each.numpy().tolist() for each in shift_characters(tf.constant([[4, 0, -1]]))]
        [[[1, 7, 3, 0]], [[7, 3, 2, 0]]]
    """
    is_character = characters >= 0
    ids = tf.where(is_character, characters + FIRST_CHARACTER_ID, 0)
    is_end = tf.pad(is_character, [[0, 0], [1, 0]], constant_values=True) & ~tf.pad(characters >= 0, [[0, 0], [0, 1]])
    return (
        tf.pad(ids, [[0, 0], [1, 0]], constant_values=START_ID),
        tf.where(is_end, END_ID, tf.pad(ids, [[0, 0], [0, 1]])),
    )


class CharacterDecoder:
    """Writes one character at a time with a network of `networks.attention`, for `TokenLoop`.

    Args:
        network: the trained functional model, whose weights are used as they are.
        limit: positive integer, maximum number of steps.
    """

    def __init__(self, network: keras.Model, limit: int):
        self._encoder, self._embedding, self._decoder = map(network.get_layer, ("encoder", "embedding", "decoder"))
        self._limit = limit

    def begin(
        self, features: tf.Tensor, padding_mask: tf.Tensor, num_beams: int | tf.Tensor
    ) -> tuple[dict[str, Any], list[Any], dict[str, tf.Tensor]]:
        """Encode clips.

        Args:
            features: (rows, frames, mels) float32.
            padding_mask: (rows, frames) bool.
            num_beams: number of hypotheses of each row.

        Returns:
            Tuple of what stays the same, by row; the cache, by hypothesis; and the outputs of the encoder, `memory` and
            `logits_mask`.
        """
        encoded = self._encoder({"features": features, "padding_mask": padding_mask}, training=False)
        memory, mask = encoded["memory"], encoded["logits_mask"]
        return *self._decoder.begin(memory, mask, num_beams, self._limit), encoded

    def cache_shapes(self) -> list[Any]:
        """Return the shapes of the cache that hold for all steps."""
        return self._decoder.cache_shapes()

    def step(
        self, ids: tf.Tensor, position: tf.Tensor, encoded: Mapping[str, Any], cache: list[Any]
    ) -> tuple[tf.Tensor, list[Any]]:
        """Decode one character of each hypothesis: the logits of the next, (hypotheses, ids), and the new cache."""
        vectors, cache = self._decoder.step(self._embedding(ids), position, encoded, cache)
        return self._embedding(vectors, reverse=True), cache


@keras.saving.register_keras_serializable("dlkit")
class TextWriter(keras.layers.Layer):
    """Writes the texts of clips with a decoder, by greedy decoding or beam search, in one loop in the graph.

    A text has at most as many characters as the encoder has outputs for its clip. A clip whose features are all zero,
    which is silence, gets no text and a score of 1.

    Call with `features`: (batch, frames, mels) float32 and `padding_mask`: (batch, frames) bool. Returns a dict:
        generated_ids: (batch, length) int32, ids as of `networks.attention`: the end, 2, and then 0 after the
            characters of each clip.
        score: (batch,) float32, the geometric mean of the probabilities of the characters and the end.
        logits: (batch, outputs, characters + 1) float32, those of CTC, which tell when a character was said; padded
            ones are blanks.

    Args:
        network: a network of `networks.attention`.
        max_characters: positive integer, the longest text of any clip.
        beam_width: integer from 1 to 16, number of beams.
        length_penalty: non-negative float; higher values favor longer texts.

    Examples:
        >>> from dlkit.tasks.speech_recognition.networks import attention
        >>> writer = TextWriter(attention(8, 5, width=16, blocks=1, heads=2), max_characters=10)
        >>> sorted(writer(tf.ones([1, 20, 8]), tf.ones([1, 20], tf.bool)))
        ['generated_ids', 'logits', 'score']
    """

    def __init__(
        self,
        network: keras.Model,
        max_characters: int,
        beam_width: int = 1,
        length_penalty: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network, self.max_characters = network, max_characters
        self.beam_width, self.length_penalty = beam_width, length_penalty

    def call(self, features: tf.Tensor, padding_mask: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, limit = tf.shape(features)[0], self.max_characters + 1  # the end takes a step
        decoder = CharacterDecoder(self.network, limit)
        same, cache, encoded = decoder.begin(features, padding_mask, self.beam_width)
        outputs = tf.reduce_sum(tf.cast(encoded["logits_mask"], tf.int32), 1)
        loop = TokenLoop(
            decoder,
            tf.minimum(outputs + 1, limit),
            tf.fill([rows], self.beam_width),
            tf.fill([rows], float(self.length_penalty)),
            limit=limit,
            num_beams=self.beam_width,
        )
        is_silent = tf.reduce_all((features == 0) | ~padding_mask[:, :, tf.newaxis], (1, 2))
        state = loop.run(loop.start(tf.fill([rows], START_ID), cache, is_done=is_silent), same)
        logits = self.network.get_layer("logits")(encoded["memory"])
        return {
            "generated_ids": tf.where(is_silent[:, tf.newaxis], END_ID, state.best_ids),
            "score": compute_mean_probability(state),
            "logits": close_padded_frames(logits, encoded["logits_mask"]),
        }

    def compute_output_spec(
        self, features: keras.KerasTensor, padding_mask: keras.KerasTensor
    ) -> dict[str, keras.KerasTensor]:
        rows = features.shape[0]
        return {
            "generated_ids": keras.KerasTensor((rows, None), "int32"),
            "score": keras.KerasTensor((rows,), "float32"),
            "logits": keras.KerasTensor((rows, None, self.network.output["logits"].shape[-1]), "float32"),
        }

    def get_config(self) -> dict[str, Any]:
        own = {
            "network": keras.saving.serialize_keras_object(self.network),
            "max_characters": self.max_characters,
            "beam_width": self.beam_width,
            "length_penalty": self.length_penalty,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)
