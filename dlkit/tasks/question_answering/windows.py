"""A question with each part of a long context: overlapping windows of tokens that know where they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from dlkit.lazy import keras, tf
from dlkit.limits import Limits

if TYPE_CHECKING:
    from dlkit.text.wordpiece import WordPiece
    from dlkit.text.words import Words

SPECIAL = 3  # tokens of a window beside question and context: one before, one between, one behind
SURFACE = 4  # what `surface` tells of a token
STEM = 5  # characters that two words of one stem share
STEP = 8  # windows are as long as the longest needs, rounded up: few different lengths


@keras.saving.register_keras_serializable("dlkit")
class Windows(keras.layers.Layer):
    """Packs `[open] question [close] part of the context [close]`, as often as a context needs.

    A question is cut to `max_question`; a context never is: its windows overlap by `overlap` tokens, and the last one
    ends with it. Each token of a context belongs to one window, `own`: the one where it has more context around it.
    So a span is looked for once, in the window that owns its first token; it fits if it is no longer than half of
    the overlap. Source: Devlin et al., 2018, arXiv:1810.04805, and google-research/bert `run_squad.py`, whose
    windows start every 128 tokens instead and whose last one may be short.

    Call with `question` and `context`: (batch,) string, UTF-8. Invalid bytes read as U+FFFD. Returns a dict, where
    windows are all those of the batch in order and `length` is that of the longest, rounded up to 8:
        token_ids: (windows, length) int32, 0 where padded.
        segment_ids: (windows, length) int32, 1 from the context's first token to the closing one.
        padding_mask: (windows, length) bool, true at tokens.
        starts, ends: (windows, length) int32, the characters of the context that a token stands at; 0 for others.
        own: (windows, length) bool, the tokens of the context that belong to this window.
        row: (windows,) int32, the row of the batch.
        context_text: (batch,) string, the context with U+FFFD for what was no UTF-8.
        surface: (windows, length, 4) uint8, if asked: 1 where a token stands in the other text too; shares its first
            five letters with a word there; has a capital; has a digit.
        truncated: (batch,) bool, if asked: whether the question was cut.

    Args:
        tokenizer: `WordPiece` or `Words`, whose `locate` is called.
        width: the longest window, in tokens.
        max_question: the longest question.
        overlap: tokens that two neighbours share.
        surface: whether to give `surface`, for which the tokenizer must be `Words`.
        tell_truncated: whether to give `truncated`.
        nothing_of_nothing: whether a row without a question owns no token, and so has no answer.
    """

    def __init__(
        self,
        tokenizer: WordPiece | Words,
        width: int,
        max_question: int = 48,
        overlap: int = 64,
        surface: bool = False,
        tell_truncated: bool = False,
        nothing_of_nothing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if width - SPECIAL - max_question < 2 * overlap:
            raise ValueError(
                f"a window of {width} tokens leaves {width - SPECIAL - max_question} for the context after a "
                f"question of {max_question}. It must leave twice the overlap of {overlap}: use a larger window, a "
                "shorter question or less overlap."
            )
        self.tokenizer, self.width, self.max_question = tokenizer, width, max_question
        self.overlap, self.surface = overlap, surface
        self.tell_truncated, self.nothing_of_nothing = tell_truncated, nothing_of_nothing
        vocabulary: list[str] = getattr(tokenizer, "vocabulary", [])
        special = "[CLS]" in vocabulary and "[SEP]" in vocabulary and not surface
        size = tokenizer.vocabulary_size
        self.tokenizer.built = True  # it has nothing to build, and Keras would warn
        self._open, self._close = map(vocabulary.index, ("[CLS]", "[SEP]")) if special else (size, size + 1)
        self.vocabulary_size = size if special else size + 2
        self._convert_input_args = False  # Keras knows no string tensors

    @property
    def limits(self) -> dict[str, Limits]:
        """What its tensors can be, where a request brings them."""
        flags = dict.fromkeys(("segment_ids", "surface"), Limits(0, 1))
        return {"token_ids": Limits(0, self.vocabulary_size - 1), "padding_mask": Limits(nonzero=True), **flags}

    def call(self, question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
        context = tf.strings.unicode_transcode(context, "UTF-8", "UTF-8", errors="replace")
        asked, text = self.tokenizer.locate(question), self.tokenizer.locate(context)
        truncated = asked["ids"].row_lengths() > self.max_question
        asked = {name: values[:, : self.max_question] for name, values in asked.items()}
        row, begin, low, high, room = self._cut(asked["ids"].row_lengths(), text["ids"].row_lengths())
        questions = tf.gather(_lengths(asked["ids"]), row)
        parts = tf.minimum(room, tf.gather(_lengths(text["ids"]), row) - begin)
        total = questions + parts + SPECIAL
        length = (tf.reduce_max(tf.concat([total, [SPECIAL]], 0)) + STEP - 1) // STEP * STEP
        place = tf.range(length)[tf.newaxis] * tf.ones_like(row)[:, tf.newaxis]  # (windows, length)
        questions, parts, total = (values[:, tf.newaxis] for values in (questions, parts, total))
        token = place - questions - 2 + begin[:, tf.newaxis]  # of the context
        of_question = (place >= 1) & (place <= questions)
        of_context = (place >= questions + 2) & (place < total - 1)

        def pick(name: str, values: tf.RaggedTensor | None = None) -> tf.Tensor:
            return _pick(text[name] if values is None else values, row, token, of_context)

        def pack(name: str, fill: int = 0) -> tf.Tensor:
            mine = _pick(asked[name], row, place - 1, of_question, fill)
            return tf.where(of_context, pick(name), mine)

        ids = pack("ids")
        ids = tf.where((place == questions + 1) | (place == total - 1), self._close, ids)
        inside = place < total
        made = {
            "token_ids": tf.where(place == 0, self._open, ids) * tf.cast(inside, tf.int32),
            "segment_ids": tf.cast(inside & (place >= questions + 2), tf.int32),
            "padding_mask": inside,
            "starts": pick("starts"),
            "ends": pick("ends"),
            "own": of_context & (token >= low[:, tf.newaxis]) & (token < high[:, tf.newaxis]),
            "row": row,
            "context_text": context,
        }
        if self.tell_truncated:
            made["truncated"] = truncated
        if self.nothing_of_nothing:
            made["own"] &= questions > 0
        if self.surface:
            made["surface"] = _surface(asked, text, row, place - 1, token, of_question, of_context)
        return made

    def _cut(
        self, questions: tf.Tensor, contexts: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """For each window its row, its first token, the tokens that it owns and its room for context."""
        questions, contexts = tf.cast(questions, tf.int32), tf.cast(contexts, tf.int32)
        room = self.width - SPECIAL - questions
        stride = room - self.overlap
        counts = tf.maximum(-((self.overlap - contexts) // stride), 1)
        row = tf.repeat(tf.range(tf.size(counts)), counts)
        number = tf.range(tf.size(row)) - tf.gather(tf.cumsum(counts, exclusive=True), row)
        room, stride, contexts, counts = (tf.gather(values, row) for values in (room, stride, contexts, counts))

        def begin(number: tf.Tensor) -> tf.Tensor:
            return tf.minimum(number * stride, tf.maximum(contexts - room, 0))

        def border(number: tf.Tensor) -> tf.Tensor:  # the middle of what two neighbours share
            return (begin(number - 1) + room + begin(number)) // 2

        low = tf.where(number == 0, 0, border(number))
        high = tf.where(number == counts - 1, contexts, border(number + 1))
        return row, begin(number), low, high, room

    def compute_output_spec(
        self, question: keras.KerasTensor, context: keras.KerasTensor
    ) -> dict[str, keras.KerasTensor]:
        kinds = {"token_ids": "int32", "segment_ids": "int32", "padding_mask": "bool", "starts": "int32"}
        kinds |= {"ends": "int32", "own": "bool"}
        specs = {name: keras.KerasTensor((None, None), dtype) for name, dtype in kinds.items()}
        specs["row"] = keras.KerasTensor((None,), "int32")
        specs["context_text"] = keras.KerasTensor((None,), "string")
        if self.tell_truncated:
            specs["truncated"] = keras.KerasTensor((None,), "bool")
        if self.surface:
            specs["surface"] = keras.KerasTensor((None, None, SURFACE), "uint8")
        return specs

    def get_config(self) -> dict[str, Any]:
        own = {
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "width": self.width,
            "max_question": self.max_question,
            "overlap": self.overlap,
            "surface": self.surface,
            "tell_truncated": self.tell_truncated,
            "nothing_of_nothing": self.nothing_of_nothing,
        }
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("tokenizer")), **config)


def _lengths(ragged: tf.RaggedTensor) -> tf.Tensor:
    return tf.cast(ragged.row_lengths(), tf.int32)


def _pick(ragged: tf.RaggedTensor, row: tf.Tensor, token: tf.Tensor, where: tf.Tensor, fill: int = 0) -> tf.Tensor:
    """Values of a ragged tensor by row and token, (windows, length); `fill` where not asked for."""
    places = tf.gather(tf.cast(ragged.row_starts(), tf.int32), row)[:, tf.newaxis] + token
    flat = tf.concat([[tf.cast(fill, ragged.dtype)], ragged.flat_values], 0)  # never empty
    return tf.gather(flat, tf.where(where, places + 1, 0))


def _surface(
    asked: Mapping[str, tf.RaggedTensor],
    text: Mapping[str, tf.RaggedTensor],
    row: tf.Tensor,
    asked_token: tf.Tensor,
    token: tf.Tensor,
    of_question: tf.Tensor,
    of_context: tf.Tensor,
) -> tf.Tensor:
    def pack(of: Callable[[Mapping[str, tf.RaggedTensor]], tf.RaggedTensor]) -> tf.Tensor:
        mine = _pick(of(asked), row, asked_token, of_question)
        return tf.where(of_context, _pick(of(text), row, token, of_context), mine)

    def of(kind: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        return pack(lambda texts: texts["surface"].with_flat_values(kind(texts["surface"].flat_values)))

    other = (of_question[:, :, tf.newaxis] & of_context[:, tf.newaxis]) | (
        of_context[:, :, tf.newaxis] & of_question[:, tf.newaxis]
    )

    def shared(kind: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        hashes = of(kind)
        return tf.reduce_any((hashes[:, :, tf.newaxis] == hashes[:, tf.newaxis]) & other, axis=2)

    kinds = [shared(_hash), shared(lambda words: _hash(tf.strings.substr(words, 0, STEM, "UTF8_CHAR")))]
    kinds += [of(_capital), of(_digit)]
    return tf.stack([tf.cast(kind, tf.uint8) for kind in kinds], axis=-1)


def _hash(words: tf.Tensor) -> tf.Tensor:
    lowered = tf.strings.lower(words, encoding="utf-8")
    return tf.cast(tf.strings.to_hash_bucket_fast(lowered, 2**31 - 1), tf.int32)


def _capital(words: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.lower(words, encoding="utf-8") != words, tf.int32)


def _digit(words: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.regex_full_match(words, r".*\d.*"), tf.int32)
