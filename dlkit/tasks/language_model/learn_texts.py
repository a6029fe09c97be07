"""What is learned from the training texts before the network: subwords, and the frequencies of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dlkit.data.table import Table
from dlkit.tasks.language_model.documents import DocumentText, document_bytes, iterate_blocks
from dlkit.tasks.language_model.metrics import count_bytes
from dlkit.text.subword_tokenizer import learn_subwords

if TYPE_CHECKING:
    from dlkit.tasks.language_model.task import LanguageModel
    from dlkit.text.subword_tokenizer import SubwordTokenizer

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
    column, documents = DocumentText(), list[np.ndarray]()
    for row, text in enumerate(examples.columns["text"]):
        blocks = [examples.columns["prompt"][row]] if "prompt" in examples.columns else []
        parts = [
            tokenizer.tokenize([column.raw(block)]).flat_values.numpy() for block in (*blocks, *iterate_blocks(text))
        ]
        documents.append(np.concatenate(parts))
        most -= len(documents[-1])
        if most <= 0:
            break
    return documents
