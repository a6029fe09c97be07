"""Rows of documents: cleaned, split, and cut into windows of token ids."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dlkit.data.table import Table
from dlkit.errors import DataError
from dlkit.options import option
from dlkit.report import Report
from dlkit.rows import Encoded, Rows
from dlkit.tasks.language_model.documents import cut_document, document_bytes, find_boundary, iterate_blocks
from dlkit.tasks.language_model.expert_windows import encode_cross_fitted, encode_held_out, encode_windows
from dlkit.tasks.language_model.windows import WindowCounts, WindowCutter, Windows

if TYPE_CHECKING:
    from dlkit.tasks.language_model.task import LanguageModel
    from dlkit.training.store import Store

PROMPT, TEXT = "prompt", "text"
"""The columns of documents: text whose tokens have no loss, which may be missing, and what is learned."""
IS_LEARNED = "is_learned"
"""A tensor that `LanguageModel.encode` returns beside `token_ids`, (tokens,) bool: whether a token is of `TEXT`."""
MIN_DOCUMENTS = 20  # fewer are not split by document: the end of each is held out
MAX_REQUESTS, REQUEST_WORDS = 64, 8  # that are saved as examples, at most; words of a prompt
BOUNDARY_BYTES = 1 << 14  # before the place of a cut, in which a boundary is looked for


class DocumentRows(Rows):
    """Documents, or prompts with their responses.

    Attributes:
        counts: what `regroup` has cut to windows.
    """

    task: LanguageModel

    def __init__(self, task: Any, table: Table):
        super().__init__(task, table)
        self.counts = WindowCounts()
        self._ends_document: list[bool] = []  # of each row of `to_encode`
        self._windows_per_row = 1
        self._is_learned = False  # whether n-grams are counted in these documents

    def cleaned(self) -> Self:
        """Drop documents without text; says how many."""
        sizes = [
            sum(document_bytes(self.table.columns[name][row]) for name in self._text_columns())
            for row in range(len(self))
        ]
        kept = [row for row, size in enumerate(sizes) if size]
        if len(kept) == len(self):
            return self
        if not kept:
            raise DataError(f"{self.table.source}: all {len(self)} documents are empty.")
        table = self.table.take(kept)
        table.remarks = (
            *self.table.remarks, f"{len(self) - len(kept)} of {len(self)} documents are empty: dropped"
        )  # fmt: skip
        return self.with_table(table)

    def hold_out(self, fraction: float) -> tuple[Self, Self | None]:
        if not fraction or (len(self) < 2 and self._has_prompts()):
            return self.to_train(), None
        rest, held_out = self._split(fraction)
        return self.with_table(rest).to_train(), self.with_table(held_out) if len(held_out) else None

    def to_train(self) -> Self:
        rows = self.with_table(self.table)
        rows._is_learned = True
        return rows

    def _split(self, fraction: float) -> tuple[Table, Table]:
        """Split by document or, of a few documents, hold out the last part of each."""
        if len(self) >= MIN_DOCUMENTS or (self._has_prompts() and len(self) > 1):
            return super()._split(fraction)
        return split_ends(self.table, TEXT, fraction)

    @property
    def windows_per_row(self) -> int:
        return self._windows_per_row

    def to_encode(self) -> Table:
        """Return the documents, long ones in parts that are read one at a time."""
        origins, texts, ends = [], [], []
        stride, most_windows = self._stride(), 0
        for row, document in enumerate(self.table.columns[TEXT]):
            for text in iterate_blocks(document):
                origins.append(row)
                texts.append(text)
                ends.append(False)
            ends[-1] = True
            size = document_bytes(document)
            if self._has_prompts():
                size += document_bytes(self.table.columns[PROMPT][row])
            most_windows += math.ceil((size + 1) / stride)  # no token is shorter than a byte
        columns = {name: [values[row] for row in origins] for name, values in self.table.columns.items()}
        columns[TEXT] = texts
        if self._has_prompts():
            begins = [True, *ends[:-1]]
            columns[PROMPT] = [prompt if begin else "" for prompt, begin in zip(columns[PROMPT], begins, strict=True)]
        self._ends_document = ends
        self._windows_per_row = max(1, math.ceil(most_windows / len(texts)))
        where = self.table.where
        return Table(self.table.source, columns, lambda row: where(origins[row]), strict=self.table.strict)

    def regroup(self, chunks: Iterator[Encoded]) -> Iterable[Encoded]:
        """Cut windows from the tokens of documents.

        Args:
            chunks: `token_ids` and `IS_LEARNED`, (tokens,) each, of the rows of `to_encode`.

        Returns:
            Windows of `context_length` tokens: tensors `token_ids`, `segment_ids` and `positions`, and the target
            `logits`, as those of `dlkit.tasks.language_model.windows.Windows`; with n-grams also `expert_log_probs` and
            `expert_features`.
        """
        mixture = self.task.mixture
        if mixture is None:
            return map(encode_windows, self._cut_windows(chunks, []))
        if not self._is_learned:
            return encode_held_out(self._cut_windows(chunks, []), mixture)
        documents: list[np.ndarray] = []
        return encode_cross_fitted(self._cut_windows(chunks, documents), documents, mixture, self.task.end_id)

    def _cut_windows(self, chunks: Iterator[Encoded], documents: list[np.ndarray]) -> Iterator[Windows]:
        """Yield windows of the tokens of documents, which are added to `documents`."""
        cutter = WindowCutter(self.task.context_length, self._stride(), self.task.end_id, self.task.packs)
        self.counts = cutter.counts
        current, parts = -1, list[np.ndarray]()  # the row of the last token; the tokens of its document
        for chunk in chunks:
            tensors, rows = chunk.rows[0], np.asarray(chunk.source_rows)
            ids, is_learned = np.asarray(tensors["token_ids"]), np.asarray(tensors[IS_LEARNED])
            starts = np.flatnonzero(np.diff(rows, prepend=-1))
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
                row = int(rows[start])
                if current >= 0 and any(self._ends_document[current:row]):
                    cutter.end_document(current)
                    documents.append(np.concatenate(parts))
                    parts = []
                cutter.add(ids[start:stop], is_learned[start:stop], row)
                parts.append(ids[start:stop])
                current = row
            yield from cutter.full()
        if current >= 0:
            cutter.end_document(current)
            documents.append(np.concatenate(parts))
        yield from cutter.finish()

    def remarks(self, store: Store) -> list[str]:
        counts = self.counts
        texts = []
        if counts.cut_documents:
            stride = self._stride()
            overlap = f", {stride} tokens apart" if stride < self.task.context_length else ""
            texts.append(
                f"{counts.cut_documents} of {counts.documents} documents are longer than {option('context_length')} "
                f"({self.task.context_length} tokens) and are cut into windows{overlap}"
            )
        padding = 1 - counts.read / max(counts.places, 1)
        if padding > 0.1:
            texts.append(
                f"{padding:.0%} of the places of {counts.windows} windows are padding: the documents are short for "
                f"{option('context_length')} ({self.task.context_length} tokens)"
            )
        return texts

    def requests(self) -> Table:
        """Return the prompts of the first rows or, of documents, their first words."""
        rows = range(min(len(self), MAX_REQUESTS))
        if self._has_prompts():
            return self.table.take(rows)
        firsts = [next(iterate_blocks(self.table.columns[TEXT][row])) for row in rows]
        texts = [self.task.target[TEXT].raw(first) for first in firsts]
        prompts = [b" ".join(text.split(b" ")[:REQUEST_WORDS]) for text in texts]
        return Table(self.table.source, {PROMPT: prompts}, self.table.where)

    def with_errors(self, row: int, target: dict[str, Any], answer: dict[str, Any]) -> list[dict[str, Any]]:
        """Add the text to its score."""
        del row
        return [{"true_text": target[TEXT].decode(errors="replace"), **answer}]

    def inspect(self, report: Report, validation: Self | None) -> None:
        from dlkit.tasks.language_model.inspect_documents import inspect_documents

        report.statistics["documents"] = {"train": len(self)} | (
            {} if validation is None else {"validation": len(validation)}
        )
        tables = [self.table, *([] if validation is None else [validation.table])]
        report.remarks += dict.fromkeys(remark for table in tables for remark in table.remarks)
        inspect_documents(report, self.table, None if validation is None else validation.table, TEXT)

    def baseline_metrics(self, targets: dict[str, list]) -> dict[str, Any]:
        """Return the bits per byte of the n-gram model alone, if there is one, and of xz without the training data."""
        from dlkit.tasks.language_model.compression import lzma_bits

        texts = targets[TEXT]
        size = max(sum(map(len, texts)), 1)
        metrics = {"xz_bits_per_byte": lzma_bits(b"", b"\n".join(texts)) / size}
        mixture = self.task.mixture
        if mixture is None:
            return metrics
        model, tokenizer = mixture.to_model(self.task.end_id), self.task.tokenizer
        column, bits = self.task.inputs[PROMPT], 0.0
        prompts = self.table.columns.get(PROMPT, [""] * len(texts))
        for prompt, text in zip(prompts, texts, strict=True):
            before, ids = (tokenizer.tokenize([part]).flat_values.numpy() for part in (column.raw(prompt), text))
            bits += model.bits(np.concatenate([before, ids]))[len(before) :].sum()
        return {**metrics, "ngram_bits_per_byte": float(bits) / size}

    def _text_columns(self) -> list[str]:
        return [name for name in (PROMPT, TEXT) if name in self.table.columns]

    def _has_prompts(self) -> bool:
        return PROMPT in self.table.columns and any(map(document_bytes, self.table.columns[PROMPT]))

    def _stride(self) -> int:
        """Return the number of tokens between two windows."""
        return self.task.stride or self.task.context_length


def split_ends(table: Table, name: str, fraction: float) -> tuple[Table, Table]:
    """Split the last part of each document off, after a line or before a blank if there is one.

    Documents that are too short stay whole.

    Args:
        table: the documents.
        name: the column with their text.
        fraction: of the bytes of each document.

    Returns:
        Tuple of the rest and the ends, both with a remark.

    Raises:
        DataError: no document can be cut.
    """
    rest, ends, origins = [], [], []
    for row, document in enumerate(table.columns[name]):
        size = document_bytes(document)
        goal = size - round(fraction * size)
        first = max(0, goal - BOUNDARY_BYTES)
        before = cut_document(document, [first, goal])[1]
        data = before if isinstance(before, bytes) else before.read()
        cut = first + find_boundary(data) if len(data) > 1 else 0
        if not 0 < cut < size:
            rest.append(document)
            continue
        head, tail = cut_document(document, [cut])
        rest.append(head)
        ends.append(tail)
        origins.append(row)
    if not ends:
        raise DataError(f"{table.source} is too short to hold out a part of it. Give separate data.")
    remark = f"{len(table)} documents are few: the last {fraction:.0%} of each is held out"
    held_out = table.take(origins)
    held_out.columns[name] = ends
    kept = table.take(range(len(table)))
    kept.columns[name] = rest
    kept.remarks = (*table.remarks, remark)
    return kept, held_out
