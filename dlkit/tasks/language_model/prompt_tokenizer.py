"""Tokens of prompts, padded on the left, so that generation goes on after the last one."""

from __future__ import annotations

from typing import Any, Self

from dlkit.lazy import keras, tf
from dlkit.limits import Limits
from dlkit.options import option
from dlkit.text.subword_tokenizer import END_ID, SubwordTokenizer, make_spellings


@keras.saving.register_keras_serializable("dlkit")
class PromptTokenizer(keras.layers.Layer):
    """Splits prompts into tokens, after an end token, which stands before every text.

    Call with `prompt`: (batch,) string, UTF-8. Returns a dict:
        token_ids: (batch, context_length) int32, padded with 0 on the left.
        padding_mask: (batch, context_length) bool, true at tokens.
        prompt_bytes: (batch,) int32, size of the prompt; of a truncated one, of the tokens after its first.
        truncated: (batch,) bool, whether the prompt was truncated.
        error: (batch,) string, why a prompt is refused; "" for others.

    Args:
        tokenizer: an exact `SubwordTokenizer`.
        context_length: positive integer, maximum number of tokens.
        room: integer below `context_length`. Prompts of more than `context_length` tokens are refused if it is 0, and
            otherwise truncated to their last tokens, so that this number of tokens can be generated after them.

    Examples:
        >>> layer = PromptTokenizer(SubwordTokenizer([" good"], 8, exact=True), context_length=4)
        >>> layer(tf.constant(["a good"]))["token_ids"].numpy().tolist()
        [[0, 2, 100, 259]]
    """

    def __init__(self, tokenizer: SubwordTokenizer, context_length: int, room: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.tokenizer, self.context_length, self.room = tokenizer, context_length, room
        self._convert_input_args = False  # Keras does not know string tensors

    def build(self, shape: Any) -> None:
        """Do nothing: the tokenizer has no weights."""

    @property
    def limits(self) -> dict[str, Limits]:
        """The ranges of its tensors, by which requests that contain them are checked."""
        return {**self.tokenizer.limits, "prompt_bytes": Limits(0)}

    def call(self, prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = tf.concat([tf.fill([tf.shape(prompt)[0], 1], END_ID), self.tokenizer.tokenize(prompt)], 1)
        counts, size = tf.cast(ids.row_lengths(), tf.int32), tf.strings.length(prompt)
        is_long = counts > self.context_length
        if self.room:
            kept = tf.where(is_long, self.context_length - self.room, counts)
            size = tf.where(is_long, self._count_bytes(ids, counts - kept + 1), size)
            error = tf.fill(tf.shape(prompt), "")
        else:
            kept, size = tf.where(is_long, 1, counts), tf.where(is_long, 0, size)
            error = tf.where(is_long, self._refuse(counts), "")
        column = tf.range(self.context_length) - (self.context_length - kept)[:, tf.newaxis]
        first = tf.cast(ids.row_starts(), tf.int32) + (counts - kept if self.room else 0)
        places = tf.where(column >= 0, first[:, tf.newaxis] + column, 0)
        return {
            "token_ids": tf.where(column >= 0, tf.gather(tf.concat([ids.flat_values, [0]], 0), places), 0),
            "padding_mask": column >= 0,
            "prompt_bytes": size,
            "truncated": is_long & (self.room > 0),
            "error": error,
        }

    def _count_bytes(self, ids: tf.RaggedTensor, first: tf.Tensor) -> tf.Tensor:
        """Count the bytes of the tokens of each row from its `first` one on."""
        sizes = tf.constant([len(text) for text in make_spellings(self.tokenizer.subwords, self.tokenizer.byte_ids)])
        counts = ids.row_lengths()
        is_counted = tf.ragged.range(tf.cast(counts, tf.int32)).flat_values >= tf.repeat(first, counts)
        counted = tf.where(is_counted, tf.gather(sizes, ids.flat_values), 0)
        return tf.reduce_sum(ids.with_flat_values(counted), 1)

    def _refuse(self, counts: tf.Tensor) -> tf.Tensor:
        return tf.strings.join(
            [
                "the prompt has ",
                tf.strings.as_string(counts - 1),
                f" tokens, and {self.context_length - 1} fit into the context. Shorten it, or train with "
                f"{option('long_prompts', 'truncate')}, which reads the last ones.",
            ]
        )

    def compute_output_spec(self, prompt: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        rows, shape = prompt.shape[:1], (prompt.shape[0], self.context_length)
        return {
            "token_ids": keras.KerasTensor(shape, "int32"),
            "padding_mask": keras.KerasTensor(shape, "bool"),
            "prompt_bytes": keras.KerasTensor(rows, "int32"),
            "truncated": keras.KerasTensor(rows, "bool"),
            "error": keras.KerasTensor(rows, "string"),
        }

    def get_config(self) -> dict[str, Any]:
        own = {
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "context_length": self.context_length,
            "room": self.room,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("tokenizer")), **config)
