"""Packing of a question with each part of a long context: overlapping windows of tokens with their offsets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from dlkit.lazy import keras, tf
from dlkit.limits import Limits

if TYPE_CHECKING:
    from dlkit.text.wordpiece import WordPiece
    from dlkit.text.words import Words

NUM_SPECIAL_TOKENS = 3  # of a window: one before the question, one between, one after the context
NUM_LEXICAL_FEATURES = 4  # of a token
STEM_LENGTH = 5  # characters that two words of the same stem have in common
LENGTH_MULTIPLE = 8  # the length of a batch of windows is rounded up to it, so that there are few different lengths


@keras.saving.register_keras_serializable("dlkit")
class WindowPacker(keras.layers.Layer):
    """Packs `[CLS] question [SEP] part of the context [SEP]`, in as many windows as a context needs.

    A question is truncated to `max_question_tokens`. A context is never truncated: its windows overlap by `overlap`
    tokens, and the last one ends with the context. Each token of a context has one window of maximum context, where
    more tokens of the context surround it than in others. A span is predicted in the window that is the maximum
    context of its first token; it lies within that window if it is at most half of the overlap long. Source: Devlin et
    al., 2018, arXiv:1810.04805, and google-research/bert `run_squad.py`, whose windows have a fixed stride of 128
    tokens instead and whose last window may be short.

    Call with `question` and `context`: (batch,) string, UTF-8. Invalid bytes are read as U+FFFD. Returns a dict with
    the windows of all rows in order; `length` is that of the longest window, rounded up to a multiple of 8:
        token_ids: (windows, length) int32, 0 where padded.
        segment_ids: (windows, length) int32, 1 from the first token of the context to the closing one, else 0.
        padding_mask: (windows, length) bool, true at tokens.
        token_starts, token_ends: (windows, length) int32, the offsets of a token in characters of the context, the end
            excluded; 0 for other tokens.
        is_max_context: (windows, length) bool, whether this window is the maximum context of a token.
        row_ids: (windows,) int32, the row of the batch that a window belongs to.
        context_text: (batch,) string, the context with U+FFFD for invalid UTF-8.
        lexical_features: (windows, length, 4) uint8, with `lexical_features=True`. Each is 1 if the token: occurs in
            the other text; has the first five letters of a word of the other text; has a capital letter; has a digit.
        truncated: (batch,) bool, whether the question was truncated.

    A row with an empty question has no token of maximum context, and so no answer.

    Args:
        tokenizer: a `WordPiece` or `Words` layer, whose method `locate` is called.
        max_tokens: positive integer, maximum length of a window, in tokens.
        max_question_tokens: positive integer, maximum length of a question, in tokens.
        overlap: non-negative integer, number of tokens that consecutive windows have in common.
        lexical_features: whether to return `lexical_features`, which needs a `Words` tokenizer.

    Raises:
        ValueError: a window leaves less than twice the overlap for the context.

    Examples:
        >>> from dlkit.text.words import Words
        >>> packer = WindowPacker(Words(["where", "is", "it", "here"], 16), 16, max_question_tokens=5, overlap=2)
        >>> windows = packer(tf.constant(["Where is it?"]), tf.constant(["It is here."]))
        >>> windows["token_ids"].shape, windows["token_starts"].numpy()[0, 6:9].tolist()
        (TensorShape([1, 16]), [0, 3, 6])
    """

    def __init__(
        self,
        tokenizer: WordPiece | Words,
        max_tokens: int,
        max_question_tokens: int = 48,
        overlap: int = 64,
        lexical_features: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        room = max_tokens - NUM_SPECIAL_TOKENS - max_question_tokens
        if room < 2 * overlap:
            raise ValueError(
                f"a window of {max_tokens} tokens leaves {room} for the context after a question of "
                f"{max_question_tokens}. It must leave twice the overlap of {overlap}: use a larger window, a shorter "
                "question or less overlap."
            )
        self.tokenizer, self.max_tokens, self.max_question_tokens = tokenizer, max_tokens, max_question_tokens
        self.overlap, self.lexical_features = overlap, lexical_features
        vocabulary: list[str] = getattr(tokenizer, "vocabulary", [])
        has_special_tokens = "[CLS]" in vocabulary and "[SEP]" in vocabulary and not lexical_features
        size = tokenizer.vocabulary_size
        self.tokenizer.built = True  # it has nothing to build, and Keras would warn
        special_ids = map(vocabulary.index, ("[CLS]", "[SEP]")) if has_special_tokens else (size, size + 1)
        self._opening_id, self._closing_id = special_ids
        self.vocabulary_size = size if has_special_tokens else size + 2
        self._convert_input_args = False  # Keras does not know string tensors

    @property
    def limits(self) -> dict[str, Limits]:
        """The ranges of its tensors, by which requests that contain them are checked."""
        flags = dict.fromkeys(("segment_ids", "lexical_features"), Limits(0, 1))
        return {"token_ids": Limits(0, self.vocabulary_size - 1), "padding_mask": Limits(nonzero=True), **flags}

    def call(self, question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
        context = tf.strings.unicode_transcode(context, "UTF-8", "UTF-8", errors="replace")
        of_question, of_context = self.tokenizer.locate(question), self.tokenizer.locate(context)
        truncated = of_question["ids"].row_lengths() > self.max_question_tokens
        of_question = {name: values[:, : self.max_question_tokens] for name, values in of_question.items()}
        row_ids, begin, low, high, room = self._split(of_question["ids"].row_lengths(), of_context["ids"].row_lengths())
        question_lengths = tf.gather(_row_lengths(of_question["ids"]), row_ids)
        part_lengths = tf.minimum(room, tf.gather(_row_lengths(of_context["ids"]), row_ids) - begin)
        total = question_lengths + part_lengths + NUM_SPECIAL_TOKENS
        length = tf.reduce_max(tf.concat([total, [NUM_SPECIAL_TOKENS]], 0))
        length = (length + LENGTH_MULTIPLE - 1) // LENGTH_MULTIPLE * LENGTH_MULTIPLE
        position = tf.range(length)[tf.newaxis] * tf.ones_like(row_ids)[:, tf.newaxis]  # (windows, length)
        question_lengths, part_lengths, total = (
            values[:, tf.newaxis] for values in (question_lengths, part_lengths, total)
        )
        context_index = position - question_lengths - 2 + begin[:, tf.newaxis]
        in_question = (position >= 1) & (position <= question_lengths)
        in_context = (position >= question_lengths + 2) & (position < total - 1)

        def gather_context(name: str) -> tf.Tensor:
            return _gather_tokens(of_context[name], row_ids, context_index, in_context)

        question_ids = _gather_tokens(of_question["ids"], row_ids, position - 1, in_question)
        ids = tf.where(in_context, gather_context("ids"), question_ids)
        ids = tf.where((position == question_lengths + 1) | (position == total - 1), self._closing_id, ids)
        in_window = position < total
        is_max_context = in_context & (context_index >= low[:, tf.newaxis]) & (context_index < high[:, tf.newaxis])
        windows = {
            "token_ids": tf.where(position == 0, self._opening_id, ids) * tf.cast(in_window, tf.int32),
            "segment_ids": tf.cast(in_window & (position >= question_lengths + 2), tf.int32),
            "padding_mask": in_window,
            "token_starts": gather_context("starts"),
            "token_ends": gather_context("ends"),
            "is_max_context": is_max_context & (question_lengths > 0),
            "row_ids": row_ids,
            "context_text": context,
            "truncated": truncated,
        }
        if self.lexical_features:
            windows["lexical_features"] = _lexical_features(
                of_question, of_context, row_ids, position - 1, context_index, in_question, in_context
            )
        return windows

    def _split(
        self, question_lengths: tf.Tensor, context_lengths: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Split contexts into windows.

        Returns:
            Five tensors of (windows,) int32: the row of a window, the index of its first token in the context, the
            first and last index (excluded) of which it is the maximum context, and its room for the context.
        """
        questions, contexts = tf.cast(question_lengths, tf.int32), tf.cast(context_lengths, tf.int32)
        room = self.max_tokens - NUM_SPECIAL_TOKENS - questions
        stride = room - self.overlap
        counts = tf.maximum(-((self.overlap - contexts) // stride), 1)
        row_ids = tf.repeat(tf.range(tf.size(counts)), counts)
        number = tf.range(tf.size(row_ids)) - tf.gather(tf.cumsum(counts, exclusive=True), row_ids)
        room, stride, contexts, counts = (tf.gather(values, row_ids) for values in (room, stride, contexts, counts))

        def begin(number: tf.Tensor) -> tf.Tensor:
            return tf.minimum(number * stride, tf.maximum(contexts - room, 0))

        def border(number: tf.Tensor) -> tf.Tensor:  # the middle of the overlap with the window before
            return (begin(number - 1) + room + begin(number)) // 2

        low = tf.where(number == 0, 0, border(number))
        high = tf.where(number == counts - 1, contexts, border(number + 1))
        return row_ids, begin(number), low, high, room

    def compute_output_spec(
        self, question: keras.KerasTensor, context: keras.KerasTensor
    ) -> dict[str, keras.KerasTensor]:
        dtypes = {"token_ids": "int32", "segment_ids": "int32", "padding_mask": "bool", "token_starts": "int32"}
        dtypes |= {"token_ends": "int32", "is_max_context": "bool"}
        specs = {name: keras.KerasTensor((None, None), dtype) for name, dtype in dtypes.items()}
        specs["row_ids"] = keras.KerasTensor((None,), "int32")
        specs["context_text"] = keras.KerasTensor((None,), "string")
        specs["truncated"] = keras.KerasTensor((None,), "bool")
        if self.lexical_features:
            specs["lexical_features"] = keras.KerasTensor((None, None, NUM_LEXICAL_FEATURES), "uint8")
        return specs

    def get_config(self) -> dict[str, Any]:
        own = {
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "max_tokens": self.max_tokens,
            "max_question_tokens": self.max_question_tokens,
            "overlap": self.overlap,
            "lexical_features": self.lexical_features,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("tokenizer")), **config)


def _row_lengths(ragged: tf.RaggedTensor) -> tf.Tensor:
    return tf.cast(ragged.row_lengths(), tf.int32)


def _gather_tokens(ragged: tf.RaggedTensor, row_ids: tf.Tensor, index: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Gather values of a ragged tensor by row and index in the row, (windows, length); 0 where masked."""
    indices = tf.gather(tf.cast(ragged.row_starts(), tf.int32), row_ids)[:, tf.newaxis] + index
    flat = tf.concat([[tf.cast(0, ragged.dtype)], ragged.flat_values], 0)  # never empty
    return tf.gather(flat, tf.where(mask, indices + 1, 0))


def _lexical_features(
    of_question: Mapping[str, tf.RaggedTensor],
    of_context: Mapping[str, tf.RaggedTensor],
    row_ids: tf.Tensor,
    question_index: tf.Tensor,
    context_index: tf.Tensor,
    in_question: tf.Tensor,
    in_context: tf.Tensor,
) -> tf.Tensor:
    """Compute the lexical features of the tokens of windows: (windows, length, 4) uint8."""

    def compute(function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Apply a function of (words,) string to the words of both texts: (windows, length) int32."""
        questions, contexts = (
            tokens["surface"].with_flat_values(function(tokens["surface"].flat_values))
            for tokens in (of_question, of_context)
        )
        question_values = _gather_tokens(questions, row_ids, question_index, in_question)
        return tf.where(in_context, _gather_tokens(contexts, row_ids, context_index, in_context), question_values)

    in_other_text = (in_question[:, :, tf.newaxis] & in_context[:, tf.newaxis]) | (
        in_context[:, :, tf.newaxis] & in_question[:, tf.newaxis]
    )

    def occurs_in_other_text(function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        hashes = compute(function)
        return tf.reduce_any((hashes[:, :, tf.newaxis] == hashes[:, tf.newaxis]) & in_other_text, axis=2)

    features = [
        occurs_in_other_text(_hash_words),
        occurs_in_other_text(lambda words: _hash_words(tf.strings.substr(words, 0, STEM_LENGTH, "UTF8_CHAR"))),
        compute(_has_capital),
        compute(_has_digit),
    ]
    return tf.stack([tf.cast(feature, tf.uint8) for feature in features], axis=-1)


def _hash_words(words: tf.Tensor) -> tf.Tensor:
    lowered = tf.strings.lower(words, encoding="utf-8")
    return tf.cast(tf.strings.to_hash_bucket_fast(lowered, 2**31 - 1), tf.int32)


def _has_capital(words: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.lower(words, encoding="utf-8") != words, tf.int32)


def _has_digit(words: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.regex_full_match(words, r".*\d.*"), tf.int32)
