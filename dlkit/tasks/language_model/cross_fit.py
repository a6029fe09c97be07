"""N-gram models of the other documents, for what n-grams say of a text in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlkit.text.kneser_ney import KneserNey

FOLDS = 5


def assign_folds(sizes: Sequence[int], folds: int = FOLDS) -> list[np.ndarray]:
    """Assign documents to folds of about equal size.

    A document much larger than a fold is cut: its consecutive parts are in different folds. So a text whose words are
    new to the other documents, such as the names in a novel, stays together if it can.

    Args:
        sizes: number of tokens of each document.
        folds: number of folds, 2 or more.

    Returns:
        The fold of each token, by document.

    Examples:
        >>> [fold.tolist() for fold in assign_folds([4, 1, 2, 1], folds=2)]
        [[0, 0, 0, 0], [1], [1, 1], [1]]
    """
    total = sum(sizes)
    largest = max(1, -(-3 * total // (2 * folds)))
    parts = []  # size, document, number of the part
    for document, size in enumerate(sizes):
        count = 1 if size <= largest else -(-size * folds // total)
        edges = np.linspace(0, size, count + 1).astype(int)
        parts += [(int(length), document, number) for number, length in enumerate(np.diff(edges))]
    filled = [0] * folds
    fold_of = {}
    for size, document, number in sorted(parts, key=lambda part: -part[0]):
        fold = int(np.argmin(filled))
        filled[fold] += size
        fold_of[document, number] = fold
    assigned: list[list[np.ndarray]] = [[] for _ in sizes]
    for size, document, number in parts:
        assigned[document].append(np.full(size, fold_of[document, number], np.int8))
    return [np.concatenate(parts) for parts in assigned]


def learn_fold_models(
    documents: Sequence[np.ndarray], folds: Sequence[np.ndarray], vocabulary_size: int, order: int, end_id: int
) -> list[KneserNey]:
    """Learn an n-gram model for each fold from all others.

    Args:
        documents: (tokens,) each, without end tokens.
        folds: of `assign_folds`.
        vocabulary_size, order, end_id: as of `KneserNey`.

    Returns:
        The model for the tokens of each fold.
    """
    models = []
    for fold in range(1 + max(int(own.max()) for own in folds if len(own))):
        rest: list[np.ndarray] = []
        for ids, own in zip(documents, folds, strict=True):
            # A part that is left out splits a document in two.
            for part in np.split(np.arange(len(ids)), np.flatnonzero(np.diff(own)) + 1):
                if len(part) and own[part[0]] != fold:
                    rest += [ids[part], np.array([end_id])]
        models.append(KneserNey(np.concatenate(rest or [np.array([end_id])]), vocabulary_size, order, end_id))
    return models
