"""The layer that turns the outputs of a CTC network into texts with the times of their words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlkit.lazy import keras, tf
from dlkit.tasks.speech_recognition.ctc_alignment import align
from dlkit.tasks.speech_recognition.ctc_beam_search import IMPOSSIBLE, Automaton, search_greedily, search_texts
from dlkit.tasks.speech_recognition.networks import FIRST_CHARACTER_ID
from dlkit.tasks.speech_recognition.ngram_automaton import NgramAutomaton

SPACE = " "


@keras.saving.register_keras_serializable("dlkit")
class Transcribe(keras.layers.Layer):
    """Finds the most probable text of each row, by beam search with an n-gram model of characters.

    Call with `logits`: (batch, frames, characters + 1) float, the blank last, where padded frames are blanks. Returns a
    dict of `text`: (batch,) string; `score`: (batch,) float32 in [0, 1], the probability of the text under CTC, as the
    geometric mean over its characters (for an empty text, its probability); `words`: (batch,) string, a
    line for each word with its start and end in seconds from the start of the clip and the word, separated by tabs.

    With `generated_ids`, (batch, length) int32, and `score`, as `TextWriter` gives them, the text is the one that the
    ids tell, and only the times of its words are found.

    Args:
        characters: in the order of their class ids.
        frame_seconds: duration of a frame of the logits.
        beam_width: number of texts that the search keeps; 1 takes the best character of each frame, without the n-gram
            model.
        language_weight: weight of the n-gram model's log probability.
        character_bonus: added to the log probability of a text for each of its characters.
        states: number of states of the n-gram model.
        start: the state at the start of a text.

    Examples:
        >>> logits = tf.constant([[[9.0, 0, 0], [0, 0, 9], [0, 9, 0], [9, 0, 0]]])
        >>> Transcribe(["a", " "], 0.5, beam_width=1)(logits)["words"].numpy().tolist()
        [b'0.00\\t0.50\\ta\\n1.50\\t2.00\\ta']
    """

    def __init__(
        self,
        characters: Sequence[str],
        frame_seconds: float,
        beam_width: int = 16,
        language_weight: float = 0.0,
        character_bonus: float = 0.0,
        states: int = 1,
        start: int = 0,
        **kwargs: Any,
    ):
        super().__init__(dtype="float32", **{name: value for name, value in kwargs.items() if name != "dtype"})
        self.characters, self.frame_seconds, self.beam_width = list(characters), frame_seconds, beam_width
        self.language_weight, self.character_bonus = language_weight, character_bonus
        self.states, self.start = states, start
        count = len(self.characters)
        zeros: dict[str, Any] = {"initializer": "zeros", "trainable": False}
        self.log_probs = self.add_weight(shape=(states, count + 1), name="log_probs", **zeros)
        self.next_states = self.add_weight(shape=(states, count), dtype="int32", name="next_states", **zeros)

    @classmethod
    def with_automaton(cls, characters: Sequence[str], automaton: NgramAutomaton, **settings: Any) -> Transcribe:
        """Make the layer with an n-gram model of these characters; `settings` are other arguments of the layer."""
        layer = cls(characters, states=len(automaton.log_probs), start=automaton.start, **settings)
        layer.log_probs.assign(automaton.log_probs)
        layer.next_states.assign(automaton.next_states)
        return layer

    def call(
        self, logits: tf.Tensor, generated_ids: tf.Tensor | None = None, score: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        if generated_ids is not None:
            return {**self._align(logits, generated_ids - FIRST_CHARACTER_ID), "score": score}
        log_probs = _close(logits)
        if self.beam_width == 1:
            characters, score = search_greedily(log_probs)
        else:
            automaton = Automaton(
                tf.convert_to_tensor(self.log_probs), tf.convert_to_tensor(self.next_states), self.start
            )
            characters, score = search_texts(
                log_probs, automaton, self.beam_width, self.language_weight, self.character_bonus
            )
        answer, characters, letters = self._spell(characters, score)
        return {**answer, "words": self._find_words(log_probs, characters, letters)}

    def read_greedily(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `text` and `score` of the best character of each frame, without the n-gram model; as a call does."""
        return self._spell(*search_greedily(_close(logits)))[0]

    def _align(self, logits: tf.Tensor, characters: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `text`, and `words` with their times, of class ids, (batch, length) int32, below 0 for none."""
        answer, characters, letters = self._spell(characters, tf.zeros(tf.shape(characters)[:1]))
        return {"text": answer["text"], "words": self._find_words(_close(logits), characters, letters)}

    def _spell(self, characters: tf.Tensor, score: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """Turn what a search found into `text` and `score`; also return the characters without padding of all rows,
        and their letters.
        """
        count = tf.reduce_sum(tf.cast(characters >= 0, tf.int32), 1)
        characters = characters[:, : tf.maximum(tf.reduce_max(count), 1)]
        score = tf.exp(score / tf.cast(tf.maximum(count, 1), tf.float32))
        none = len(self.characters)
        letters = tf.gather(tf.constant([*self.characters, ""]), tf.where(characters < 0, none, characters))
        text = tf.strings.strip(tf.strings.reduce_join(letters, 1))
        return {"text": text, "score": tf.minimum(score, 1.0)}, characters, letters

    def _find_words(self, log_probs: tf.Tensor, characters: tf.Tensor, letters: tf.Tensor) -> tf.Tensor:
        """Find the words with their times, (batch,) string, from the frames of their characters."""
        first, stop = align(log_probs, characters)
        is_letter = (letters != SPACE) & (characters >= 0)
        begins = is_letter & ~tf.pad(is_letter[:, :-1], [[0, 0], [1, 0]])
        word = tf.cumsum(tf.cast(begins, tf.int32), 1) - 1  # the number of the word of each letter
        words = tf.reduce_max(word) + 1
        is_of = (word[:, tf.newaxis] == tf.range(words)[:, tf.newaxis]) & is_letter[:, tf.newaxis]
        starts = tf.reduce_min(tf.where(is_of, first[:, tf.newaxis], tf.int32.max), 2)
        ends = tf.reduce_max(tf.where(is_of, stop[:, tf.newaxis], 0), 2)
        names = tf.strings.reduce_join(tf.where(is_of, letters[:, tf.newaxis], ""), 2)
        times = [
            tf.strings.as_string(tf.cast(frame, tf.float32) * self.frame_seconds, precision=2)
            for frame in (starts, ends)
        ]
        lines = tf.where(names == "", "", tf.strings.join(["\n", times[0], "\t", times[1], "\t", names]))
        return tf.strings.strip(tf.strings.reduce_join(lines, 1))

    def compute_output_spec(self, logits: keras.KerasTensor, **_: Any) -> dict[str, keras.KerasTensor]:
        batch = logits.shape[0]
        kinds = {"text": "string", "score": "float32", "words": "string"}
        return {name: keras.KerasTensor((batch,), dtype) for name, dtype in kinds.items()}

    def get_config(self) -> dict[str, Any]:
        names = ("characters", "frame_seconds", "beam_width", "language_weight", "character_bonus", "states", "start")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _close(logits: tf.Tensor) -> tf.Tensor:
    """Compute log probabilities, with a certain blank at the end: the frame that an alignment ends with."""
    log_probs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    outputs = logits.shape[-1]
    certain_blank = tf.where(tf.range(outputs) == outputs - 1, 0.0, IMPOSSIBLE)
    return tf.concat([log_probs, tf.zeros([tf.shape(logits)[0], 1, 1]) + certain_blank], 1)
