"""Reading of texts of any length in windows, in the graph: their information, and their mean features."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from dlkit.lazy import tf
from dlkit.tasks.language_model.causal_decoder import compute_token_bits
from dlkit.text.subword_tokenizer import END_ID

if TYPE_CHECKING:
    from dlkit.tasks.language_model.causal_decoder import CausalDecoder
    from dlkit.tasks.language_model.preset_decoder import PresetDecoder
    from dlkit.text.subword_tokenizer import SubwordTokenizer

WINDOWS_AT_A_TIME = 16


class TextWindows(NamedTuple):
    """Windows of tokens, (windows, tokens) int32 each, and the row of each, (windows,) int32.

    Attributes:
        token_ids: the tokens that the network reads, 0 after them.
        next_ids: the token after each, 0 where it is not scored in this window.
        rows: the row of the texts.
    """

    token_ids: tf.Tensor
    next_ids: tf.Tensor
    rows: tf.Tensor


def cut_windows(prompt: tf.RaggedTensor, text: tf.RaggedTensor, length: int, stride: int) -> TextWindows:
    """Cut texts, each after its prompt, into windows in which every token of the text is scored once.

    Windows start `stride` tokens after one another; those after the first one score their last `stride` tokens.

    Args:
        prompt, text: (rows, (tokens)) ragged int32.
        length: positive integer, maximum number of tokens of a window.
        stride: integer from 1 to `length`.

    Examples:
        >>> prompt, text = tf.ragged.constant([[7]]), tf.ragged.constant([[8, 9, 10, 11]])
        >>> windows = cut_windows(prompt, text, length=3, stride=2)
        >>> windows.token_ids.numpy().tolist(), windows.next_ids.numpy().tolist()
        ([[2, 7, 8], [8, 9, 10]], [[0, 8, 9], [0, 10, 11]])
    """
    rows = tf.shape(prompt.row_starts())[0]
    ids = tf.concat([tf.fill([rows, 1], END_ID), tf.cast(prompt, tf.int32), tf.cast(text, tf.int32)], 1)
    counts = tf.cast(ids.row_lengths(), tf.int32)
    first_scored = 1 + tf.cast(prompt.row_lengths(), tf.int32)
    num_windows = 1 + (tf.maximum(counts - 1 - length, 0) + stride - 1) // stride
    row = tf.repeat(tf.range(rows), num_windows)
    start = tf.ragged.range(num_windows).flat_values * stride
    offset = tf.range(tf.minimum(length, tf.maximum(tf.reduce_max(tf.concat([counts, [2]], 0)) - 1, 1)))
    place = start[:, tf.newaxis] + offset  # in the row, (windows, tokens)
    flat = tf.pad(ids.flat_values, [[0, 1]])
    limit = tf.gather(counts, row)[:, tf.newaxis]
    begin = tf.gather(tf.cast(ids.row_starts(), tf.int32), row)[:, tf.newaxis]
    is_read = place + 1 < limit  # nothing follows the last token
    is_scored = is_read & (place + 1 >= tf.gather(first_scored, row)[:, tf.newaxis])
    is_scored &= (start == 0)[:, tf.newaxis] | (offset >= length - stride)
    token_ids = tf.where(is_read, tf.gather(flat, tf.where(is_read, begin + place, 0)), 0)
    next_ids = tf.where(is_scored, tf.gather(flat, tf.where(is_scored, begin + place + 1, 0)), 0)
    return TextWindows(token_ids, next_ids, row)


def score_texts(
    tokenizer: SubwordTokenizer,
    decoder: CausalDecoder | PresetDecoder,
    prompt: tf.Tensor,
    text: tf.Tensor,
    length: int,
    stride: int,
) -> dict[str, tf.Tensor]:
    """Compute the information of texts, each after its prompt.

    Args:
        tokenizer: exact.
        decoder: of the network.
        prompt, text: (rows,) string, UTF-8.
        length, stride: of the windows, as of `cut_windows`.

    Returns:
        Dict, (rows,) each: `bits` float32, `bytes` and `tokens` int32, `bits_per_byte` and `perplexity` float32, 0 and
        1 for an empty text.
    """
    tokens = tokenizer.tokenize(text)
    windows = cut_windows(tokenizer.tokenize(prompt), tokens, length, stride)

    def count_bits(token_ids: tf.Tensor, next_ids: tf.Tensor) -> tf.Tensor:
        features = decoder.features(*describe(token_ids))
        return tf.reduce_sum(compute_token_bits(decoder, features, token_ids, next_ids), 1)[:, tf.newaxis]

    bits = _add_by_row(windows, tf.shape(text)[0], 1, count_bits)[:, 0]
    size, count = tf.strings.length(text), tf.cast(tokens.row_lengths(), tf.int32)
    return {
        "bits": bits,
        "bytes": size,
        "tokens": count,
        "bits_per_byte": bits / tf.cast(tf.maximum(size, 1), tf.float32),
        "perplexity": 2.0 ** (bits / tf.cast(tf.maximum(count, 1), tf.float32)),
    }


def embed_texts(
    tokenizer: SubwordTokenizer, decoder: CausalDecoder | PresetDecoder, text: tf.Tensor, length: int
) -> tf.Tensor:
    """Compute the mean of the features of all tokens of texts, and of the end token before them.

    Args:
        tokenizer, decoder: as of `score_texts`.
        text: (rows,) string, UTF-8.
        length: of the windows, which do not overlap.

    Returns:
        (rows, width) float32.
    """
    rows = tf.shape(text)[0]
    tokens = tf.concat([tokenizer.tokenize(text), tf.fill([rows, 1], END_ID)], 1)  # which is not read
    windows = cut_windows(tokens[:, :0], tokens, length, length)

    def add(token_ids: tf.Tensor, next_ids: tf.Tensor) -> tf.Tensor:
        del next_ids
        features = tf.cast(decoder.features(*describe(token_ids)), tf.float32)
        mask = tf.cast(token_ids > 0, tf.float32)[..., tf.newaxis]
        return tf.concat([tf.reduce_sum(features * mask, 1), tf.reduce_sum(mask, 1)], 1)

    sums = _add_by_row(windows, rows, decoder.width + 1, add)
    return sums[:, :-1] / sums[:, -1:]


def describe(token_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return windows of one segment each, padded after it: token ids, segment ids and positions."""
    positions = tf.broadcast_to(tf.range(tf.shape(token_ids)[1]), tf.shape(token_ids))
    return token_ids, tf.cast(token_ids > 0, tf.int32), positions


def _add_by_row(
    windows: TextWindows, rows: tf.Tensor, width: int, compute: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Sum what is computed of windows, some at a time: (rows, width) float32."""
    count = tf.shape(windows.rows)[0]

    def add_part(start: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        part = slice(start, start + WINDOWS_AT_A_TIME)
        found = compute(windows.token_ids[part], windows.next_ids[part])
        sums += tf.math.unsorted_segment_sum(found, windows.rows[part], rows)
        return start + WINDOWS_AT_A_TIME, sums

    start = (tf.constant(0), tf.zeros([rows, width]))
    shapes = (tf.TensorShape([]), tf.TensorShape([None, width]))
    return tf.while_loop(
        lambda start, _: start < count, add_part, start, shape_invariants=shapes, parallel_iterations=1
    )[1]
