"""What the experts of a mixture say of the tokens of windows, computed once before training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlkit.lazy import tf
from dlkit.rows import Encoded
from dlkit.tasks.language_model.cross_fit import assign_folds, learn_fold_models
from dlkit.tasks.language_model.ngram_experts import NgramTable, make_tables, score_next
from dlkit.tasks.language_model.windows import Windows

if TYPE_CHECKING:
    from dlkit.tasks.language_model.ngram_mixture import NgramMixture

MAX_NGRAM_TOKENS = 10_000_000  # of the training text, from its start, that n-grams are counted in
NO_FOLD = -1  # of text in which no n-grams were counted
LOWEST_LOG_PROBABILITY = -60.0  # instead of the logarithm of 0


def encode_windows(windows: Windows) -> Encoded:
    """Return windows as encoded rows of a network without experts."""
    tensors = {"token_ids": windows.token_ids, "segment_ids": windows.segment_ids, "positions": windows.positions}
    return Encoded((tensors, {"logits": windows.targets}), windows.rows.tolist())


def encode_held_out(batches: Iterable[Windows], mixture: NgramMixture) -> Iterator[Encoded]:
    """Yield windows of text that the n-grams do not know, with what the experts say."""
    for windows in batches:
        yield _add_experts(windows, [mixture.tables], np.zeros_like(windows.targets), mixture.vocabulary_size)


def encode_cross_fitted(
    batches: Iterable[Windows], documents: Sequence[np.ndarray], mixture: NgramMixture, end_id: int
) -> Iterator[Encoded]:
    """Yield windows of the training text, with what experts say that do not know the document.

    Otherwise a gate would learn to trust n-grams that it has seen in this very text.

    Args:
        batches: of the windows.
        documents: the tokens of each document, which `batches` completes while it is read.
        mixture: whose n-grams are those of the documents.
        end_id: the token after each document.
    """
    every = list(batches)
    counted = cap_documents(documents)
    folds = assign_folds([len(ids) for ids in counted])
    models = learn_fold_models(counted, folds, mixture.vocabulary_size, mixture.order, end_id)
    tables = [*map(make_tables, models), mixture.tables]
    fold_of_token = np.concatenate([np.append(fold, fold[-1:] if len(fold) else [0]) for fold in folds])
    for windows in every:
        is_counted = (windows.numbers >= 0) & (windows.numbers < len(fold_of_token))
        fold = np.where(is_counted, fold_of_token[np.where(is_counted, windows.numbers, 0)], NO_FOLD)
        fold = np.where(fold == NO_FOLD, len(models), fold)
        yield _add_experts(windows, tables, fold, mixture.vocabulary_size)


def cap_documents(documents: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the documents in which n-grams are counted, the last of them cut."""
    capped, room = [], MAX_NGRAM_TOKENS
    for ids in documents:
        if room <= 0:
            break
        capped.append(ids[:room])
        room -= len(ids)
    return capped


def _add_experts(
    windows: Windows, tables: Sequence[Sequence[NgramTable]], fold: np.ndarray, vocabulary_size: int
) -> Encoded:
    """Return windows with what the experts of the fold of each token say; (windows, length) int `fold`."""
    log_probs = features = None
    for number in np.unique(fold):
        with tf.device("CPU"):
            token_ids, segment_ids, next_ids = map(
                tf.constant, (windows.token_ids, windows.segment_ids, windows.targets)
            )
            experts = score_next(tables[number], vocabulary_size, token_ids, segment_ids, next_ids)
        own = np.maximum(np.log(np.maximum(experts.probabilities, 1e-30)), LOWEST_LOG_PROBABILITY).astype(np.float16)
        known = experts.features.numpy().astype(np.float16)
        is_own = (fold == number)[..., np.newaxis]
        log_probs = own if log_probs is None else np.where(is_own, own, log_probs)
        features = known if features is None else np.where(is_own, known, features)
    (tensors, targets), rows, *_ = encode_windows(windows)
    return Encoded(({**tensors, "expert_log_probs": log_probs, "expert_features": features}, targets), rows)
