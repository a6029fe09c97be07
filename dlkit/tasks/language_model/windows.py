"""Windows of token ids: long documents are cut with a stride, short ones share a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

PADDING_ID = 0
MAX_OPEN_WINDOWS = 32  # windows that wait for a document that fits: more leave less padding, but take longer
BATCH_WINDOWS = 64  # windows that are returned together


class Piece(NamedTuple):
    """A part of a document that lies in one window.

    Attributes:
        inputs: the tokens that the network reads, (tokens,) int32; the first of a document is the end token, which
            stands for its start.
        targets: the token after each, (tokens,) int32; `PADDING_ID` where it has no loss.
        row: the row of the source that it is from.
        first: the number of its first target, counted over all documents with their end tokens.
    """

    inputs: np.ndarray
    targets: np.ndarray
    row: int
    first: int


class Windows(NamedTuple):
    """Windows of `length` tokens, (windows, length) int32 each, and the rows that they start with, (windows,) int64.

    Attributes:
        token_ids: the tokens that the network reads, `PADDING_ID` after the last.
        segment_ids: the number of the piece that a token belongs to, from 1; 0 for padding. Tokens attend to those of
            their own piece only.
        positions: the position of each token in its piece, from 0.
        targets: the next token, `PADDING_ID` where it has no loss.
        numbers: the number of the next token, counted over all documents with their end tokens; -1 for padding.
        rows: the source row of the first token of each.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray
    positions: np.ndarray
    targets: np.ndarray
    numbers: np.ndarray
    rows: np.ndarray


@dataclass
class WindowCounts:
    """What was cut to windows.

    Attributes:
        documents: number of documents.
        cut_documents: those longer than a window.
        tokens: number of tokens with a loss.
        windows: number of windows.
        places: number of places for tokens, padding included.
        read: number of tokens that are read, those of the overlap of windows counted each time.
    """

    documents: int = 0
    cut_documents: int = 0
    tokens: int = 0
    windows: int = 0
    places: int = 0
    read: int = 0


@dataclass
class WindowCutter:
    """Cuts documents to windows of token ids, in the order in which their tokens arrive.

    A document that fits into a window is never cut. A longer one is cut into windows that start `stride` tokens after
    one another; a token that two of them contain has a loss in the first only, so that each token is learned once. What
    remains at its end shares a window with others, as short documents do.

    Args:
        length: number of tokens of a window that the network reads.
        stride: number of tokens between the starts of two windows of a document, from 1 to `length`.
        end_id: the token before and after each document.
        packs: whether documents share windows.

    Examples:
        >>> cutter = WindowCutter(length=4, stride=4, end_id=2)
        >>> windows = cutter.cut([np.array([5, 6, 7]), np.array([8]), np.array([9])])
        >>> windows.token_ids.tolist(), windows.segment_ids.tolist()
        ([[2, 5, 6, 7], [2, 8, 2, 9]], [[1, 1, 1, 1], [1, 1, 2, 2]])
        >>> windows.targets.tolist()
        [[5, 6, 7, 2], [8, 2, 9, 2]]
    """

    length: int
    stride: int
    end_id: int
    packs: bool = True
    counts: WindowCounts = field(default_factory=WindowCounts)

    def __post_init__(self) -> None:
        if self.length < 2:
            raise ValueError(f"`length` must be 2 or more. Received: length={self.length}.")
        if not 1 <= self.stride <= self.length:
            raise ValueError(f"`stride` must be from 1 to {self.length}, the length. Received: stride={self.stride}.")
        self._first = 0  # the number of the next token that the current document begins with
        self._open: list[tuple[int, list[Piece]]] = []  # the room that is left, and what lies in the window
        self._full: list[list[Piece]] = []
        self._ids = self._has_loss = np.zeros(0, np.int32)
        self._begin_document()

    def cut(self, documents: Iterable[np.ndarray]) -> Windows:
        """Cut whole documents, each (tokens,) without end tokens, all of whose tokens have a loss."""
        for row, ids in enumerate(documents):
            self.add(ids, np.ones(len(ids), bool), row)
            self.end_document(row)
        return self.concatenate(self.finish())

    def add(self, ids: np.ndarray, has_loss: np.ndarray, row: int) -> None:
        """Add tokens to the current document.

        Args:
            ids: (tokens,) integers, without end tokens.
            has_loss: (tokens,) bool, whether a token is to be learned.
            row: the row of the source that they are from.
        """
        self._ids = np.concatenate([self._ids, np.asarray(ids, np.int32)])
        self._has_loss = np.concatenate([self._has_loss, np.asarray(has_loss, bool)])
        while len(self._ids) > self.length:  # as many inputs and a target after the last
            self._take(self.length, row)
            self._ids, self._has_loss = self._ids[self.stride :], self._has_loss[self.stride :]
            self._first += self.stride
            self._scored = self.length - self.stride

    def end_document(self, row: int) -> None:
        """End the current document; `row` is that of its end."""
        self.add(np.array([self.end_id]), np.array([True]), row)
        if len(self._ids) - 1 > self._scored:
            self._take(len(self._ids) - 1, row)
        self._first += len(self._ids) - 1
        self.counts.documents += 1
        self.counts.cut_documents += self._pieces > 1
        self._begin_document()

    def full(self) -> Iterator[Windows]:
        """Yield the windows that are finished, in batches."""
        while len(self._full) >= BATCH_WINDOWS:
            yield self._pop()

    def finish(self) -> Iterator[Windows]:
        """Yield all windows that are left, in batches."""
        self._full += [pieces for _, pieces in self._open]
        self._open = []
        while self._full:
            yield self._pop()

    def concatenate(self, batches: Iterable[Windows]) -> Windows:
        """Concatenate batches of windows; none gives zero windows."""
        found = list(batches) or [self._pack([])]
        return Windows(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))

    def _begin_document(self) -> None:
        self._ids, self._has_loss = np.array([self.end_id], np.int32), np.array([False])
        self._scored = 0  # targets of the current window that a previous one has
        self._pieces = 0

    def _take(self, count: int, row: int) -> None:
        """Put the first tokens of the current document into a window."""
        self._pieces += 1
        targets = np.where(self._has_loss[1 : count + 1], self._ids[1 : count + 1], PADDING_ID)
        targets[: self._scored] = PADDING_ID
        learned = int((targets != PADDING_ID).sum())
        if not learned:
            return  # nothing to learn, such as a long prompt
        self.counts.tokens += learned
        self._place(Piece(self._ids[:count], targets, row, self._first))

    def _place(self, piece: Piece) -> None:
        """Place a piece in the open window that it fills best, or in a new one."""
        size = len(piece.inputs)
        fitting = [(room, index) for index, (room, _) in enumerate(self._open) if room >= size]
        room, pieces = self._open.pop(min(fitting)[1]) if fitting else (self.length, [])
        pieces.append(piece)
        if room - size < 2 or not self.packs:  # a document has an end token at least, and one more token
            self._full.append(pieces)
            return
        self._open.append((room - size, pieces))
        if len(self._open) > MAX_OPEN_WINDOWS:
            fullest = min(range(len(self._open)), key=lambda index: self._open[index][0])
            self._full.append(self._open.pop(fullest)[1])

    def _pop(self) -> Windows:
        batch, self._full = self._full[:BATCH_WINDOWS], self._full[BATCH_WINDOWS:]
        return self._pack(batch)

    def _pack(self, batch: list[list[Piece]]) -> Windows:
        """Make arrays of the pieces of windows."""
        arrays = [np.zeros((len(batch), self.length), np.int32) for _ in range(5)]
        token_ids, segment_ids, positions, targets, numbers = arrays
        numbers -= 1
        for window, pieces in enumerate(batch):
            start = 0
            for number, piece in enumerate(pieces, 1):
                end = start + len(piece.inputs)
                token_ids[window, start:end] = piece.inputs
                segment_ids[window, start:end] = number
                positions[window, start:end] = np.arange(end - start)
                targets[window, start:end] = piece.targets
                numbers[window, start:end] = piece.first + np.arange(end - start)
                start = end
            self.counts.read += start
        self.counts.windows += len(batch)
        self.counts.places += token_ids.size
        rows = np.array([pieces[0].row for pieces in batch], np.int64)
        return Windows(token_ids, segment_ids, positions, targets, numbers, rows)
