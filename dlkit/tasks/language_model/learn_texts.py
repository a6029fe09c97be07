"""What is learned from the training texts before the network: subwords, and the frequencies of bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dlkit.data.table import Table
from dlkit.lazy import tf
from dlkit.tasks.language_model.documents import DocumentText, document_bytes, iterate_blocks
from dlkit.tasks.language_model.metrics import count_bytes
from dlkit.text.subword_tokenizer import learn_subwords
from dlkit.tracing import trace_function

if TYPE_CHECKING:
    from dlkit.tasks.language_model.task import LanguageModel
    from dlkit.text.subword_tokenizer import SubwordTokenizer

BLOCKS_AT_A_TIME = 64
MAX_LEARNING_BYTES = 32 << 20  # of text, spread over the training data: more changes few subwords


def learn_texts(task: LanguageModel, examples: Table) -> tuple[list[str], list[int]]:
    """Learn from training texts.

    Args:
        task: for its options of tokens.
        examples: table with `text`, and maybe `prompt`.

    Returns:
        Tuple of the subwords, none for bytes and presets, and how often each byte occurs in the texts.
    """
    needs_subwords = task.tokens == "subwords" and not task.network.startswith("preset:")
    texts = list(_sample_blocks(examples, "text"))
    if not needs_subwords:
        return [], count_bytes(texts)
    prompts = list(_sample_blocks(examples, "prompt")) if "prompt" in examples.columns else []
    decoded = [text.decode(errors="replace") for text in (*texts, *prompts)]
    return learn_subwords(decoded, task.vocabulary_size, exact=True), count_bytes(texts)


def _sample_blocks(examples: Table, name: str) -> Iterator[bytes]:
    """Yield blocks of the texts of a column, evenly spread, up to the maximum."""
    column = DocumentText()
    total = sum(map(document_bytes, examples.columns[name]))
    every = -(-total // MAX_LEARNING_BYTES) or 1
    number = 0
    for document in examples.columns[name]:
        for block in iterate_blocks(document):
            if number % every == 0:
                yield column.raw(block)
            number += 1


def read_tokens(tokenizer: SubwordTokenizer, examples: Table, most: int) -> list[np.ndarray]:
    """Read the tokens of documents, each after its prompt, up to `most` of them; (tokens,) int32 each."""
    # Some blocks at a time: in a graph, and as `encode` reads them.
    tokenize = trace_function(tokenizer.tokenize, tf.TensorSpec([None], tf.string))
    blocks, parts = _number_blocks(examples), list[tuple[int, np.ndarray]]()
    while most > 0 and (batch := list(itertools.islice(blocks, BLOCKS_AT_A_TIME))):
        tokens = tokenize(tf.constant([block for _, block in batch]))
        rows = np.split(tokens.flat_values.numpy(), tokens.row_splits.numpy()[1:-1])
        parts += zip([number for number, _ in batch], rows, strict=True)
        most -= sum(map(len, rows))
    by_document = itertools.groupby(parts, key=lambda part: part[0])
    return [np.concatenate([tokens for _, tokens in of_document]) for _, of_document in by_document]


def _number_blocks(examples: Table) -> Iterator[tuple[int, bytes]]:
    """Yield the blocks of documents, each after its prompt, with the number of the document."""
    column = DocumentText()
    for row, text in enumerate(examples.columns["text"]):
        prompts = [examples.columns["prompt"][row]] if "prompt" in examples.columns else []
        for block in (*prompts, *iterate_blocks(text)):
            yield row, column.raw(block)
